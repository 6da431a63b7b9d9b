"""Bars and their cuts to and from the contract's messages (`bar.proto`).

Written against a Protocol, so that domains can use it without knowing the generated code.
"""

import math
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from mesh.market.bars import BAR_COLUMNS, TIMEFRAMES, Bars, Cut, RangeCut, TickCut, TimeCut, VolumeCut


class SpecMessage(Protocol):
    """`suho.market.v1.BarSpec`."""

    timeframe: Any
    ticks: int
    volume: float
    range: float

    def WhichOneof(self, oneof_group: Any) -> str | None: ...


class ColumnsMessage(Protocol):
    """`suho.market.v1.BarColumnsTwin`."""

    count: int
    last_closed: bool


def cut(spec: SpecMessage) -> Cut:
    """Raises ValueError: a sentence that says what is wrong with the spec."""
    match spec.WhichOneof("kind"):
        case "timeframe":
            if not 0 < spec.timeframe <= len(TIMEFRAMES):
                raise ValueError(f"spec.timeframe is {spec.timeframe}; give one of {', '.join(TIMEFRAMES)}")
            return TimeCut(TIMEFRAMES[spec.timeframe - 1])
        case "ticks":
            if not spec.ticks:
                raise ValueError("spec.ticks is 0; give the ticks of a bar, 1 or more")
            return TickCut(spec.ticks)
        case "volume":
            return VolumeCut(_size("spec.volume", spec.volume))
        case "range":
            return RangeCut(_size("spec.range", spec.range))
        case _:
            raise ValueError("spec is empty; give a timeframe, or the ticks, volume or range of a bar")


def fields(bars: Bars) -> dict[str, Any]:
    """Keyword arguments for BarColumnsTwin, but for symbol and spec."""
    columns = {
        name: np.ascontiguousarray(column, dtype=BAR_COLUMNS[name]).tobytes() for name, column in bars.columns().items()
    }
    return {"count": len(bars), "last_closed": bars.last_closed, **columns}


def decode(message: ColumnsMessage) -> Bars:
    """The bars in a BarColumnsTwin.

    Raises:
        ValueError: a column's length is not `count`.
    """
    columns = {}
    for name, dtype in BAR_COLUMNS.items():
        data: bytes = getattr(message, name)
        if len(data) != message.count * dtype.itemsize:
            raise ValueError(f"column {name} holds {len(data) / dtype.itemsize:g} values, count says {message.count}")
        columns[name] = np.frombuffer(data, dtype)
    return Bars(**columns, last_closed=message.last_closed)


def each(bars: Bars) -> Iterator[dict[str, Any]]:
    """Keyword arguments for a Bar, but for symbol and spec, of each of them."""
    rows = zip(*(column.tolist() for column in bars.columns().values()), strict=True)
    for place, values in enumerate(rows):
        yield {**dict(zip(BAR_COLUMNS, values, strict=True)), "closed": place < bars.closed}


def _size(field: str, value: float) -> float:
    if not 0 < value < math.inf:
        raise ValueError(f"{field} is {value:g}; give the size of a bar, above 0")
    return value
