"""The argument rules of the MetaTrader5 package, as observed: what it refuses, and with which words.

It checks before it asks the terminal. Most refusals are error -2; a number that does not fit raises SystemError.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pc_agent.twin.constants import RES_E_INVALID_PARAMS
from pc_agent.twin.results import TradeRequest
from pc_agent.twin.wire import TerminalError

MAX_TEXT = 29  # characters in a symbol or a comment

_FLOATS = ("volume", "price", "stoplimit", "sl", "tp")
_TEXTS = ("symbol", "comment")
_INT32_MIN = -(2**31)


def invalid(what: str) -> TerminalError:
    return TerminalError(RES_E_INVALID_PARAMS, what)


def invalid_arguments() -> TerminalError:
    return invalid("Invalid arguments")


def invalid_named(name: str) -> TerminalError:
    return invalid(f'Invalid "{name}" argument')


def exception_set(function: str) -> SystemError:
    """What the interpreter makes of an extension that failed to read a number and went on."""
    return SystemError(f"<built-in function {function}> returned a result with an exception set")


def only_named(arguments: tuple[object, ...]) -> None:
    if arguments:
        raise invalid("Unnamed arguments not allowed")


def unsigned(function: str, name: str, value: object) -> int:
    """An unsigned 64-bit integer."""
    if not isinstance(value, int):
        raise invalid_named(name)
    if not 0 <= value < 2**64:
        raise exception_set(function)
    return int(value)


def optional_unsigned(function: str, name: str, named: Mapping[str, object]) -> int | None:
    return unsigned(function, name, named[name]) if name in named else None


def optional_text(name: str, named: Mapping[str, object]) -> str | None:
    if name not in named:
        return None
    value = named[name]
    if not isinstance(value, str):
        raise invalid_named(name)
    return value


def symbol_of(arguments: tuple[object, ...]) -> str:
    """The one argument of a function that takes a symbol."""
    match arguments:
        case (str(symbol),):
            return symbol
    raise invalid_arguments()


def seconds(value: object) -> int:
    """A date, or whole seconds since 1970. What does not fit 32 bits becomes their least, as a conversion in C does."""
    if isinstance(value, datetime):
        moment = int(value.timestamp())
    elif isinstance(value, int):
        moment = int(value)
    else:
        raise invalid_arguments()
    return moment if _INT32_MIN <= moment < 2**31 else _INT32_MIN


def two_dates(arguments: tuple[object, ...]) -> tuple[int, int]:
    """Begin and end of a part of history; an end of 0 is the end of time."""
    match arguments:
        case (since, until):
            return seconds(since), seconds(until) or 2**31 - 1
    raise invalid_arguments()


def trade_request(function: str, arguments: tuple[object, ...], named: Mapping[str, object]) -> TradeRequest:
    """The request, given as one dict or by name; keys that it does not know are ignored."""
    given: Mapping[str, object]
    if arguments and named:
        raise invalid("Unnamed arguments not allowed")
    match arguments:
        case ():
            given = dict(named)
        case (dict() as request,):
            given = request
        case (_,):
            raise invalid_arguments()
        case _:
            raise invalid("Invalid number of arguments")
    if not arguments and not named:
        raise invalid("Invalid number of arguments")
    fields: dict[str, Any] = {
        name: _field(function, name, given[name]) for name in TradeRequest._fields if name in given
    }
    return TradeRequest(**fields)


def _field(function: str, name: str, value: object) -> object:
    if name in _FLOATS:
        if not isinstance(value, float):  # an int is refused too
            raise invalid_named(name)
        return float(value)
    if name in _TEXTS:
        if not isinstance(value, str) or len(value) > MAX_TEXT:
            raise invalid_named(name)
        return value
    return unsigned(function, name, value)
