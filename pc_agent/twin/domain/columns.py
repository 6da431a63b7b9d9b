"""Text columns to numbers without touching a row in Python.

A table is its bytes and, for each field, where it starts and ends. Numbers are read digit by digit over all rows at
once, exactly: an integer mantissa and a count of decimals.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]

_NEWLINE, _RETURN, _DOT, _ZERO, _COLON = b"\n\r.0:"

# More digits than this do not fit the mantissa.
_MAX_DIGITS = 18


class MalformedRowError(ValueError):
    """Row `row` (0: the first after the header) is not what was expected."""

    def __init__(self, row: int, expected: str) -> None:
        super().__init__(f"row {row}: expected {expected}")
        self.row = row
        self.expected = expected


@dataclass(frozen=True)
class Column:
    """One field of every row."""

    text: Bytes
    start: Ints
    end: Ints

    def part(self, offset: int, length: int) -> "Column":
        """The same rows' characters from `offset`, `length` of them."""
        return Column(self.text, self.start + offset, self.start + offset + length)

    def char(self, offset: int) -> Bytes:
        """The character at `offset` of each row; 0 where the field is shorter."""
        at = self.start + offset
        return np.where(at < self.end, self.text[np.minimum(at, len(self.text) - 1)], np.uint8(0))


@dataclass(frozen=True)
class Decimals:
    """Numbers exactly as written: mantissa / 10^places."""

    mantissa: Ints
    places: Ints

    def floats(self) -> NDArray[np.float64]:
        """The nearest doubles, up to 15 digits: one correctly rounded division of two exact integers."""
        return self.mantissa / 10.0**self.places

    def floor(self) -> Ints:
        return self.mantissa // 10**self.places


def split(body: bytes, columns: int, separator: bytes = b",") -> list[Column]:
    """Cut separated lines into their columns.

    Raises:
        MalformedRowError: a line with another number of fields.
    """
    text = np.frombuffer(body.rstrip(b"\r\n") + b"\n", np.uint8)
    ends = np.flatnonzero((text == ord(separator)) | (text == _NEWLINE))
    last_of_row = text[ends] == _NEWLINE
    expected = np.arange(len(ends)) % columns == columns - 1
    wrong = np.flatnonzero(last_of_row != expected)
    if len(wrong):
        raise MalformedRowError(int(wrong[0]) // columns, f"{columns} fields")
    starts = np.concatenate((np.zeros(1, ends.dtype), ends[:-1] + 1))
    last_ends = ends[columns - 1 :: columns]
    last_ends -= text[last_ends - 1] == _RETURN
    return [Column(text, starts[i::columns], ends[i::columns]) for i in range(columns)]


def carried(column: Column) -> Column:
    """Every empty field replaced by the last one above it that is not; those with none above stay empty."""
    rows = np.arange(len(column.start))
    source = np.maximum.accumulate(np.where(column.end > column.start, rows, 0))
    return Column(column.text, column.start[source], column.end[source])


def decimals(column: Column, expected: str, *, empty_is_zero: bool = False) -> Decimals:
    """Read unsigned decimal numbers: digits with at most one dot among them.

    Raises:
        MalformedRowError: with `expected`, for the first field that is none.
    """
    width = column.end - column.start
    rows = len(width)
    mantissa, digits, dots, places = (np.zeros(rows, np.int64) for _ in range(4))
    good = width <= _MAX_DIGITS + 1
    for offset in range(min(int(width.max(initial=0)), _MAX_DIGITS + 1)):
        char = column.char(offset)
        inside = offset < width
        is_digit = (char >= _ZERO) & (char < _ZERO + 10)
        is_dot = char == _DOT
        good &= is_digit | is_dot | ~inside
        mantissa = np.where(is_digit, mantissa * 10 + (char.astype(np.int64) - _ZERO), mantissa)
        digits += is_digit
        dots += is_dot
        places += is_digit & (dots > 0)
    good &= (digits > 0) & (digits <= _MAX_DIGITS) & (dots <= 1)
    if empty_is_zero:
        good |= width == 0
    require(good, expected)
    return Decimals(mantissa, places)


def days(column: Column, expected: str, between: bytes = b"-") -> Ints:
    """Days since 1970 of fields that begin with YYYY-MM-DD, with `between` between the three."""
    require((column.char(4) == ord(between)) & (column.char(7) == ord(between)), expected)
    year, month, day = (_whole(column.part(*place), expected) for place in ((0, 4), (5, 2), (8, 2)))
    require((year >= 1970) & (month >= 1) & (month <= 12), expected)
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    dates = months.astype("datetime64[D]") + (day - 1)
    require((day >= 1) & (dates.astype("datetime64[M]") == months), expected)
    return dates.astype(np.int64)


def clock_ms(column: Column, expected: str) -> Ints:
    """Milliseconds of fields that are HH:MM:SS or HH:MM:SS.fraction, floored."""
    require((column.char(2) == _COLON) & (column.char(5) == _COLON), expected)
    hour, minute = (_whole(column.part(*place), expected) for place in ((0, 2), (3, 2)))
    second = decimals(Column(column.text, column.start + 6, column.end), expected)
    require((hour < 24) & (minute < 60) & (second.floor() < 60) & (second.places <= 9), expected)
    seconds_ms = Decimals(second.mantissa * 1000, second.places).floor()
    return hour * 3_600_000 + minute * 60_000 + seconds_ms


def _whole(column: Column, expected: str) -> Ints:
    number = decimals(column, expected)
    for offset in range(int((column.end - column.start).max(initial=0))):
        require(column.char(offset) != _DOT, expected)
    return number.mantissa


def require(good: NDArray[np.bool_], expected: str) -> None:
    """Raise MalformedRowError for the first row that is not `good`."""
    if not good.all():
        raise MalformedRowError(int(np.argmin(good)), expected)
