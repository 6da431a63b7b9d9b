"""Parquet files of ticks: what `suho ticks export` writes, and plain ones.

pyarrow is imported when a parquet file is read: the twin runs without it otherwise.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pc_agent.twin.domain.ticks import TICK_DTYPE, ParsedTicks, quotes_to_ticks
from pc_agent.twin.tick_csv import TickFileError

_TIMES = ("time_msc", "timestamp")
_SIDES = ("bid", "ask")
_OPTIONAL = ("last", "volume", "volume_real", "flags")
_MAX_DIGITS = 8


def check_parquet(path: Path) -> None:
    """Read the schema only.

    Raises:
        TickFileError: it can not be read, or a column is missing or of the wrong type.
    """
    with _opened(path) as file:
        _check_schema(path, file.schema_arrow)


def read_parquet(path: Path) -> ParsedTicks:
    """Parse a whole file: `time_msc` (milliseconds) or `timestamp`, bid, ask; last, volume, volume_real and flags
    where it has them. Fractions of a millisecond are floored.

    Raises:
        TickFileError: naming file, row (from 1) and what was expected there.
    """
    with _opened(path) as file:
        clock = _check_schema(path, file.schema_arrow)
        names = [name for name in (clock, *_SIDES, *_OPTIONAL) if name in file.schema_arrow.names]
        try:
            table = file.read(columns=names)
        except OSError as error:  # pyarrow's own errors are of this kind
            raise TickFileError(f"{path} can not be read: {error}") from None
    if not table.num_rows:
        raise TickFileError(f"{path}: expected ticks, found none")
    columns = {name: _numbers(path, name, table.column(name)) for name in names}
    time_msc = columns.pop(clock)
    bid, ask = (columns.pop(side) for side in _SIDES)
    _require(path, np.isfinite(bid) & np.isfinite(ask) & (bid > 0) & (ask > 0), "bid and ask above zero")
    _require(path, np.diff(time_msc, prepend=time_msc[0]) >= 0, "a time not before that of the row above")
    ticks = quotes_to_ticks(time_msc, bid, ask)
    for name, values in columns.items():
        ticks[name] = values
    return ParsedTicks(ticks, max(_digits(bid), _digits(ask)))


def _opened(path: Path) -> Any:
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError:
        raise TickFileError(f"{path} needs pyarrow to be read: pip install pyarrow, or give the ticks as CSV") from None
    try:
        return parquet.ParquetFile(path)
    except (OSError, ArrowInvalid) as error:
        raise TickFileError(f"{path} can not be read: {error}") from None


def _check_schema(path: Path, schema: Any) -> str:
    """The column that is the time."""
    from pyarrow import types

    clock = next((name for name in _TIMES if name in schema.names), None)
    missing = [name for name in _SIDES if name not in schema.names]
    if clock is None or missing:
        found = ", ".join(schema.names)
        raise TickFileError(f"{path}: expected the columns time_msc or timestamp, bid and ask, found {found}")
    is_time = types.is_integer if clock == "time_msc" else types.is_timestamp
    if not is_time(schema.field(clock).type):
        expected = "whole milliseconds" if clock == "time_msc" else "a timestamp"
        raise TickFileError(f"{path}: expected {clock} as {expected}, found {schema.field(clock).type}")
    for name in (*_SIDES, *_OPTIONAL):
        if name in schema.names and not (types.is_floating(kind := schema.field(name).type) or types.is_integer(kind)):
            raise TickFileError(f"{path}: expected {name} as numbers, found {kind}")
    return clock


def _numbers(path: Path, name: str, column: Any) -> NDArray[Any]:
    """The column as its record field wants it; times in milliseconds."""
    from pyarrow import compute

    if column.null_count and name in _OPTIONAL:
        column = compute.fill_null(column, 0)
    elif column.null_count:
        _require(path, compute.is_valid(column).to_numpy(), f"a value for {name}")
    values: NDArray[Any] = column.to_numpy()
    if name == "timestamp":
        return values.astype("datetime64[ms]").astype(np.int64)
    wanted = TICK_DTYPE[name]
    if name in _OPTIONAL:
        most = np.inf if wanted.kind == "f" else 2.0 ** (8 * wanted.itemsize)
        _require(path, (values >= 0) & (values < most), f"{name} as a number not below zero")
    numbers: NDArray[Any] = values.astype(wanted)
    return numbers


def _digits(prices: NDArray[np.float64]) -> int:
    """The fewest decimals that write every price exactly."""
    for digits in range(_MAX_DIGITS):
        scale = 10.0**digits
        if (np.rint(prices * scale) / scale == prices).all():
            return digits
    return _MAX_DIGITS


def _require(path: Path, good: NDArray[np.bool_], expected: str) -> None:
    if not good.all():
        raise TickFileError(f"{path}, row {int(np.argmin(good)) + 1}: expected {expected}")
