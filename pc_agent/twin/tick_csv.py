"""Files of ticks that can be replayed: CSV or CSV.gz, in the shapes of the header table below."""

import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pc_agent.twin.domain.columns import Column, Ints, MalformedRowError, clock_ms, days, decimals, require, split
from pc_agent.twin.domain.ticks import Ticks, quotes_to_ticks

_DAY_MS = 86_400_000
_UTC = b"+00:00"


class TickFileError(Exception):
    """A file that can not be replayed; says which, where and what was expected."""


@dataclass(frozen=True)
class ParsedTicks:
    """A whole file: its ticks in order and the most decimals any of its prices has."""

    ticks: Ticks
    digits: int


def _date_and_ms_of_day(date: Column, ms_of_day: Column) -> Ints:
    expected = "date as YYYY-MM-DD"
    require(date.end - date.start == 10, expected)
    day = days(date, expected)
    expected = "ms_of_day_utc as a number from 0 to below 86400000"
    ms = decimals(ms_of_day, expected).floor()
    require(ms < _DAY_MS, expected)
    return day * _DAY_MS + ms


def _timestamp(timestamp: Column) -> Ints:
    expected = "timestamp as YYYY-MM-DD HH:MM:SS[.fraction]+00:00"
    require(timestamp.end - timestamp.start >= len("YYYY-MM-DD HH:MM:SS") + len(_UTC), expected)
    zone = Column(timestamp.text, timestamp.end - len(_UTC), timestamp.end)
    for offset, char in enumerate(_UTC):
        require(zone.char(offset) == char, expected)
    separator = timestamp.char(10)
    require((separator == ord(" ")) | (separator == ord("T")), expected)
    clock = Column(timestamp.text, timestamp.start + 11, zone.start)
    return days(timestamp, expected) * _DAY_MS + clock_ms(clock, expected)


# Header → how many leading columns make the time, and how. Bid and ask follow.
_SHAPES: dict[bytes, tuple[int, Callable[..., Ints]]] = {
    b"date,ms_of_day_utc,bid,ask": (2, _date_and_ms_of_day),
    b"timestamp,bid,ask": (1, _timestamp),
}
_BARS = b"timestamp,open,high,low,close"


def check_shape(path: Path) -> None:
    """Read the header only.

    Raises:
        TickFileError: the file can not be read or is of no shape that can be replayed.
    """
    _shape(path, _read(path, header_only=True).split(b"\n", 1)[0])


def read_ticks(path: Path) -> ParsedTicks:
    """Parse a whole file; times are milliseconds UTC, fractions floored.

    Raises:
        TickFileError: naming file, line and what was expected there.
    """
    header, _, body = _read(path).partition(b"\n")
    time_columns, time_of = _shape(path, header)
    if not body.strip():
        raise TickFileError(f"{path}: expected ticks after the header, found none")
    try:
        columns = split(body, time_columns + 2)
        time_msc = time_of(*columns[:time_columns])
        bid, ask = (decimals(column, "bid and ask as decimal numbers") for column in columns[-2:])
        require((bid.mantissa > 0) & (ask.mantissa > 0), "bid and ask above zero")
        require(np.diff(time_msc, prepend=time_msc[0]) >= 0, "a time not before that of the line above")
    except MalformedRowError as error:
        raise TickFileError(
            f"{path}, line {error.row + 2}: expected {error.expected}{_found(body, error.row)}"
        ) from None
    digits = int(max(bid.places.max(), ask.places.max()))
    return ParsedTicks(quotes_to_ticks(time_msc, bid.floats(), ask.floats()), digits)


def _found(body: bytes, row: int) -> str:
    lines = body.split(b"\n", row + 1)
    return f", found {lines[row].decode(errors='replace')[:80]!r}" if row < len(lines) else ""


def _shape(path: Path, header: bytes) -> tuple[int, Callable[..., Ints]]:
    header = header.removeprefix(b"\xef\xbb\xbf").strip()
    if header in _SHAPES:
        return _SHAPES[header]
    known = " or ".join(repr(shape.decode()) for shape in _SHAPES)
    if header == _BARS:
        raise TickFileError(f"{path}, line 1: these are bars, only ticks can be replayed: expected {known}")
    found = header.decode(errors="replace")[:80]
    raise TickFileError(f"{path}, line 1: expected the header {known}, found {found!r}")


def _read(path: Path, *, header_only: bool = False) -> bytes:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return file.readline(4096) if header_only else file.read()
    except OSError as error:
        raise TickFileError(f"{path} can not be read: {error.strerror or error}") from None
    except (EOFError, zlib.error):
        raise TickFileError(f"{path} can not be read: its compressed data is damaged or cut short") from None
