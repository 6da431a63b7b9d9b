"""How the package is called: three conventions, and what becomes of a call that fails."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from pc_agent.twin.arguments import ArgumentError, pending
from pc_agent.twin.wire import SUCCESS, TerminalError

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F")

Admission = Callable[[str, tuple[Any, ...], dict[str, Any]], None]


class Calls:
    """Functions that do not raise but return `failed`, and leave in `last_error` how it went; (0, "") before any.

    What the conventions forbid is a TypeError and leaves `last_error` alone.
    """

    def __init__(self) -> None:
        self.last_error: tuple[int, str] = (0, "")

    def alone(self, failed: F) -> Callable[[Callable[P, T]], Callable[P, T | F]]:
        """It takes no arguments."""
        return self._convention(failed, failed, takes_no_arguments)

    def placed(self, failed: F) -> Callable[[Callable[P, T]], Callable[P, T | F]]:
        """Its arguments have places, not names."""
        return self._convention(failed, failed, _no_names)

    def named(self, failed: F) -> Callable[[Callable[P, T]], Callable[P, T | F]]:
        return self._convention(failed, failed, _any)

    def named_false_if_refused(self, failed: F) -> Callable[[Callable[P, T]], Callable[P, T | F | bool]]:
        """It returns False in place of `failed` where its arguments are wrong."""
        return self._convention(failed, False, _any)

    def _convention(self, failed: Any, refused: Any, admit: Admission) -> Callable[[Callable[P, T]], Callable[P, Any]]:
        def decorate(function: Callable[P, T]) -> Callable[P, Any]:
            name = function.__name__

            @wraps(function)
            def call(*args: P.args, **kwargs: P.kwargs) -> Any:
                admit(name, args, kwargs)
                result = self._outcome(failed, refused, lambda: function(*args, **kwargs))
                if pending.take():
                    raise SystemError(f"<built-in function {name}> returned a result with an exception set")
                return result

            return call

        return decorate

    def _outcome(self, failed: Any, refused: Any, function: Callable[[], T]) -> Any:
        try:
            result = function()
        except TerminalError as error:
            self.last_error = error.code, error.message
            return refused if isinstance(error, ArgumentError) else failed
        self.last_error = SUCCESS
        return result


def takes_no_arguments(name: str, args: tuple[Any, ...], named: dict[str, Any]) -> None:
    if named:
        raise TypeError(f"MetaTrader5._core.{name}() takes no keyword arguments")
    if args:
        raise TypeError(f"MetaTrader5._core.{name}() takes no arguments ({len(args)} given)")


def _no_names(name: str, args: tuple[Any, ...], named: dict[str, Any]) -> None:
    if named:
        raise TypeError(f"{name}() takes no keyword arguments")


def _any(name: str, args: tuple[Any, ...], named: dict[str, Any]) -> None:
    pass
