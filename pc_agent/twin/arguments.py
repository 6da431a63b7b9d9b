"""The argument rules of the MetaTrader5 package, as observed: what it refuses, and with which words.

It checks before it asks the terminal. Most refusals are error -2. Where its C code fails to convert a value, an
exception is left pending: the call goes on or ends, and the interpreter raises SystemError in place of its result.
"""

import math
from collections.abc import Mapping
from datetime import datetime
from operator import index
from typing import Any

from pc_agent.twin.constants import RES_E_INVALID_PARAMS
from pc_agent.twin.results import TradeRequest
from pc_agent.twin.wire import TerminalError

# The longest texts, in UTF-16 units.
MAX_TEXT = 29  # a symbol, a comment
MAX_SECRET = 253  # a password, a server
MAX_PATH = 257

_FLOATS = ("volume", "price", "stoplimit", "sl", "tp")
_TEXTS = ("symbol", "comment")
_NARROW = ("action", "type", "type_filling", "type_time")
_INT32_MIN = -(2**31)
# Windows converts a time without a zone only from here to there.
_NAIVE = datetime(1970, 1, 2), datetime(3001, 1, 18)  # noqa: DTZ001 - naive times are what this is about


class Pending:
    """Whether C code has set an exception and gone on: one call at a time, as the package has it."""

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        self._set = True

    def take(self) -> bool:
        was, self._set = self._set, False
        return was


pending = Pending()


class ArgumentError(TerminalError):
    """Refused before the terminal was asked."""


def invalid(what: str) -> ArgumentError:
    return ArgumentError(RES_E_INVALID_PARAMS, what)


def invalid_arguments() -> TerminalError:
    return invalid("Invalid arguments")


def invalid_named(name: str) -> TerminalError:
    return invalid(f'Invalid "{name}" argument')


def _unconverted(refusal: TerminalError) -> TerminalError:
    pending.set()
    return refusal


# Arguments by name

_PLACES = ("1st", "2nd", "3rd")


def _unnamed(place: int) -> TerminalError:
    return invalid(f"Invalid {_PLACES[place]} unnamed argument")


def at_most(count: int, arguments: tuple[object, ...]) -> None:
    if len(arguments) > count:
        raise invalid("Invalid number of arguments")


def only_named(arguments: tuple[object, ...]) -> None:
    if arguments:
        raise invalid("Unnamed arguments not allowed")


def _unsigned(value: object, bits: int, refusal: TerminalError) -> int:
    if not isinstance(value, int):
        raise refusal
    if not 0 <= value < 2**bits:
        raise _unconverted(refusal)
    return int(value)


def _text(value: object, most: float, refusal: TerminalError) -> str:
    if not isinstance(value, str) or len(value.encode("utf-16-le", "surrogatepass")) > 2 * most:
        raise refusal
    return str(value)


def unsigned(name: str, named: Mapping[str, object], bits: int = 64) -> int | None:
    """The unsigned integer of that name; None: it is not given."""
    return _unsigned(named[name], bits, invalid_named(name)) if name in named else None


def text(name: str, named: Mapping[str, object], most: float = math.inf) -> str | None:
    """The text of that name; None: it is not given."""
    return _text(named[name], most, invalid_named(name)) if name in named else None


def unnamed_unsigned(place: int, arguments: tuple[object, ...]) -> int | None:
    return _unsigned(arguments[place], 64, _unnamed(place)) if place < len(arguments) else None


def unnamed_text(place: int, arguments: tuple[object, ...], most: float = math.inf) -> str | None:
    return _text(arguments[place], most, _unnamed(place)) if place < len(arguments) else None


# Arguments by place


def exactly(count: int, arguments: tuple[object, ...]) -> None:
    if len(arguments) != count:
        raise invalid_arguments()


def symbol(value: object) -> str:
    return _text(value, MAX_TEXT, invalid_arguments())


def symbol_of(arguments: tuple[object, ...]) -> str:
    """The one argument of a function that takes a symbol."""
    exactly(1, arguments)
    return symbol(arguments[0])


def int32(value: object) -> int:
    """Anything that is an integer or says which one it stands for."""
    try:
        number = index(value)  # type: ignore[arg-type]
    except TypeError:
        raise _unconverted(invalid_arguments()) from None
    if not _INT32_MIN <= number < 2**31:
        raise _unconverted(invalid_arguments())
    return number


def int32_masked(value: object) -> int:
    """An integer of any size, of which the last 32 bits count."""
    if not isinstance(value, int):
        raise _unconverted(invalid_arguments())
    return value % 2**32


def double(value: object) -> float:
    try:
        return math.fsum([value])  # type: ignore[list-item]  # takes what C takes for a double, and no text
    except (TypeError, OverflowError):
        raise _unconverted(invalid_arguments()) from None


def seconds(value: object) -> int:
    """A date, or seconds since 1970. An integer that does not fit 32 bits is -1 and leaves an exception pending; a
    fraction or date that does not becomes their least, as a conversion in C does."""
    if isinstance(value, int):
        if _INT32_MIN <= value < 2**31:
            return int(value)
        pending.set()
        return -1
    if isinstance(value, datetime):
        if value.tzinfo is None and not _NAIVE[0] <= value < _NAIVE[1]:
            raise _unconverted(invalid_arguments())
        value = value.timestamp()
    if not isinstance(value, float):
        raise invalid_arguments()
    return int(value) if _INT32_MIN <= value < 2**31 else _INT32_MIN


def two_dates(arguments: tuple[object, ...]) -> tuple[int, int]:
    """Begin and end of a part of history; an end of 0 is the end of time."""
    exactly(2, arguments)
    since, until = seconds(arguments[0]), seconds(arguments[1])
    return since, until or 2**31 - 1


# The request


def trade_request(arguments: tuple[object, ...], named: Mapping[str, object]) -> TradeRequest:
    """The request, given as one dict or by name; keys that it does not know are ignored."""
    if arguments and named:
        raise invalid("Unnamed arguments not allowed")
    if len(arguments) > 1 or not (arguments or named):
        raise invalid("Invalid number of arguments")
    given = arguments[0] if arguments else named
    if not isinstance(given, dict):
        raise invalid_arguments()
    fields: dict[str, Any] = {name: _field(name, given[name]) for name in TradeRequest._fields if name in given}
    return TradeRequest(**fields)


def _field(name: str, value: object) -> object:
    refusal = invalid_named(name)
    if name in _FLOATS:
        if not isinstance(value, float):  # an int is refused too
            raise refusal
        return float(value)
    if name in _TEXTS:
        return _text(value, MAX_TEXT, refusal)
    if name == "expiration":
        return _signed64(value, refusal)
    return _unsigned(value, 32 if name in _NARROW else 64, refusal)


def _signed64(value: object, refusal: TerminalError) -> int:
    if not isinstance(value, int):
        raise refusal
    if not -(2**63) <= value < 2**63:
        raise _unconverted(refusal)
    return int(value)
