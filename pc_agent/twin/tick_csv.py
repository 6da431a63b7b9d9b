"""Text files of ticks that can be replayed, gzipped or not: the shapes of the header table below."""

import gzip
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pc_agent.twin.domain.columns import Column, Ints, MalformedRowError, clock_ms, days, decimals, require, split
from pc_agent.twin.domain.mt5_export import EXPORT_COLUMNS, export_ticks
from pc_agent.twin.domain.ticks import ParsedTicks, quotes_to_ticks

_DAY_MS = 86_400_000
_UTC = b"+00:00"


class TickFileError(Exception):
    """A file that can not be replayed; says which, where and what was expected."""


@dataclass(frozen=True)
class Shape:
    """How lines are cut, and what makes ticks of the columns; `ticks_of` raises MalformedRowError."""

    separator: bytes
    columns: int
    ticks_of: Callable[[Sequence[Column]], ParsedTicks]


def _date_and_ms_of_day(columns: Sequence[Column]) -> ParsedTicks:
    date, ms_of_day, bid, ask = columns
    expected = "date as YYYY-MM-DD"
    require(date.end - date.start == 10, expected)
    day = days(date, expected)
    expected = "ms_of_day_utc as a number from 0 to below 86400000"
    ms = decimals(ms_of_day, expected).floor()
    require(ms < _DAY_MS, expected)
    return _quotes(day * _DAY_MS + ms, bid, ask)


def _timestamp(columns: Sequence[Column]) -> ParsedTicks:
    timestamp, bid, ask = columns
    expected = "timestamp as YYYY-MM-DD HH:MM:SS[.fraction]+00:00"
    require(timestamp.end - timestamp.start >= len("YYYY-MM-DD HH:MM:SS") + len(_UTC), expected)
    zone = Column(timestamp.text, timestamp.end - len(_UTC), timestamp.end)
    for offset, char in enumerate(_UTC):
        require(zone.char(offset) == char, expected)
    separator = timestamp.char(10)
    require((separator == ord(" ")) | (separator == ord("T")), expected)
    clock = Column(timestamp.text, timestamp.start + 11, zone.start)
    return _quotes(days(timestamp, expected) * _DAY_MS + clock_ms(clock, expected), bid, ask)


def _quotes(time_msc: Ints, bid: Column, ask: Column) -> ParsedTicks:
    bids, asks = (decimals(column, "bid and ask as decimal numbers") for column in (bid, ask))
    require((bids.mantissa > 0) & (asks.mantissa > 0), "bid and ask above zero")
    digits = int(max(bids.places.max(), asks.places.max()))
    return ParsedTicks(quotes_to_ticks(time_msc, bids.floats(), asks.floats()), digits)


_SHAPES: dict[bytes, Shape] = {
    b"date,ms_of_day_utc,bid,ask": Shape(b",", 4, _date_and_ms_of_day),
    b"timestamp,bid,ask": Shape(b",", 3, _timestamp),
    b"\t".join(EXPORT_COLUMNS): Shape(b"\t", len(EXPORT_COLUMNS), export_ticks),
}
_BARS = (
    b"timestamp,open,high,low,close",
    b"<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>",
)


def check_text(path: Path) -> None:
    """Read the header only.

    Raises:
        TickFileError: the file can not be read or is of no shape that can be replayed.
    """
    shape_of(path, _read(path, header_only=True).split(b"\n", 1)[0])


def read_text(path: Path) -> ParsedTicks:
    """Parse a whole file; times are milliseconds, fractions floored.

    Raises:
        TickFileError: naming file, line and what was expected there.
    """
    header, _, body = _read(path).partition(b"\n")
    shape = shape_of(path, header)
    if not body.strip():
        raise TickFileError(f"{path}: expected ticks after the header, found none")
    try:
        parsed = shape.ticks_of(split(body, shape.columns, shape.separator))
        time_msc = parsed.ticks["time_msc"]
        require(np.diff(time_msc, prepend=time_msc[0]) >= 0, "a time not before that of the line above")
    except MalformedRowError as error:
        raise TickFileError(
            f"{path}, line {error.row + 2}: expected {error.expected}{_found(body, error.row)}"
        ) from None
    return parsed


def _found(body: bytes, row: int) -> str:
    lines = body.split(b"\n", row + 1)
    return f", found {lines[row].decode(errors='replace')[:80]!r}" if row < len(lines) else ""


def shape_of(path: Path, header: bytes) -> Shape:
    """Of a file that begins with this line.

    Raises:
        TickFileError: of none that can be replayed.
    """
    header = header.removeprefix(b"\xef\xbb\xbf").strip()
    if header in _SHAPES:
        return _SHAPES[header]
    known = " or ".join(repr(shape.decode()) for shape in _SHAPES)
    if header in _BARS:
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
