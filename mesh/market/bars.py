"""Bars of ticks: how ticks are cut, and a builder that takes them as they come (`bar.proto` says what a bar is)."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Times: TypeAlias = npt.NDArray[np.int64]
Values: TypeAlias = npt.NDArray[np.float64]

MINUTE_MS = 60_000
DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
# 1970 began on a Thursday: weeks that begin on Sunday began four days before it.
WEEK_OFFSET_MS = 4 * DAY_MS

_HOUR = 60
_MINUTES = {
    **{f"M{minutes}": minutes for minutes in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)},
    **{f"H{hours}": hours * _HOUR for hours in (1, 2, 3, 4, 6, 8, 12)},
    "D1": 24 * _HOUR,
}
# Those whose bars are all equally long and begin at a multiple of it.
FIXED_MS: Mapping[str, int] = MappingProxyType({name: minutes * MINUTE_MS for name, minutes in _MINUTES.items()})
WEEK = "W1"
MONTH = "MN1"
# In the contract's order.
TIMEFRAMES = (*FIXED_MS, WEEK, MONTH)

# Decimal prices and volumes are not exact as doubles: a millionth less of a bar's size counts as all of it.
_REACHED = 1 - 1e-6
# How far ahead a bar's end is looked for at first.
_WINDOW = 256

# Little-endian everywhere: these are the bytes on the wire.
BAR_COLUMNS: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {
        "open_msc": np.dtype("<i8"),
        "close_msc": np.dtype("<i8"),
        "open": np.dtype("<f8"),
        "high": np.dtype("<f8"),
        "low": np.dtype("<f8"),
        "close": np.dtype("<f8"),
        "ticks": np.dtype("<u8"),
        "volume": np.dtype("<f8"),
        "spread_min": np.dtype("<f8"),
        "spread_close": np.dtype("<f8"),
    }
)


class Quotes(Protocol):
    """Ticks in order, as columns; a `Batch` is this."""

    @property
    def time_msc(self) -> Times: ...
    @property
    def bid(self) -> Values: ...
    @property
    def ask(self) -> Values: ...
    @property
    def last(self) -> Values: ...
    @property
    def volume_real(self) -> Values: ...
    @property
    def volume(self) -> npt.NDArray[np.uint64]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """Bars of one symbol in order, as columns; all but the last are closed.

    A bar none of whose ticks has both a bid and an ask has the spread 0.
    """

    open_msc: Times
    close_msc: Times
    open: Values
    high: Values
    low: Values
    close: Values
    ticks: npt.NDArray[np.uint64]
    volume: Values
    spread_min: Values
    spread_close: Values
    last_closed: bool = False

    def __len__(self) -> int:
        return len(self.open_msc)

    @property
    def closed(self) -> int:
        """How many are closed."""
        return len(self) - (len(self) > 0 and not self.last_closed)

    def columns(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in BAR_COLUMNS}

    def slice(self, start: int, stop: int) -> "Bars":
        """Bars `start` to `stop` (exclusive), neither negative."""
        stop = min(stop, len(self))
        cut = {name: column[start:stop] for name, column in self.columns().items()}
        return Bars(**cut, last_closed=self.last_closed or stop < len(self))

    @staticmethod
    def empty() -> "Bars":
        return Bars(**{name: np.zeros(0, dtype) for name, dtype in BAR_COLUMNS.items()}, last_closed=True)

    @staticmethod
    def join(parts: "Sequence[Bars]") -> "Bars":
        """One of several that follow on each other."""
        if not parts:
            return Bars.empty()
        merged = {name: np.concatenate([getattr(part, name) for part in parts]) for name in BAR_COLUMNS}
        return Bars(**merged, last_closed=parts[-1].last_closed)


@dataclass(frozen=True, slots=True, eq=False)
class _Ticks:
    """Ticks that have a price; `spread` is infinite where a side is missing."""

    time_msc: Times
    price: Values
    volume: Values
    spread: Values

    def __len__(self) -> int:
        return len(self.time_msc)

    def slice(self, start: int, stop: int) -> "_Ticks":
        return _Ticks(**{field.name: getattr(self, field.name)[start:stop] for field in fields(self)})


class Cut(Protocol):
    """Where bars begin."""

    def begins(self, ticks: _Ticks, forming: Bars | None) -> tuple[list[int], bool]:
        """The places in `ticks` at which a bar begins, and whether the last bar closes with the last tick.

        Args:
            ticks: At least one.
            forming: The bar that the ticks before them left open.
        """

    def opened(self, first_msc: Times) -> Times:
        """The `open_msc` of bars whose first ticks came at `first_msc`."""


@dataclass(frozen=True, slots=True)
class TimeCut:
    """Bars of server time: one of TIMEFRAMES."""

    timeframe: str

    def begins(self, ticks: _Ticks, forming: Bars | None) -> tuple[list[int], bool]:
        buckets = self.opened(ticks.time_msc)
        begins = (np.flatnonzero(buckets[1:] != buckets[:-1]) + 1).tolist()
        goes_on = forming is not None and forming.open_msc[0] == buckets[0]
        return begins if goes_on else [0, *begins], False

    def opened(self, first_msc: Times) -> Times:
        """The start of the bucket that holds each time."""
        if self.timeframe == MONTH:
            months = first_msc.astype("datetime64[ms]").astype("datetime64[M]")
            return np.asarray(months.astype("datetime64[ms]").astype(np.int64))
        if self.timeframe == WEEK:
            return (first_msc + WEEK_OFFSET_MS) // WEEK_MS * WEEK_MS - WEEK_OFFSET_MS
        size = FIXED_MS[self.timeframe]
        return first_msc // size * size


class _DailyCut(ABC):
    """Bars that end with the server's day at the latest, and open with their first tick."""

    __slots__ = ()

    def begins(self, ticks: _Ticks, forming: Bars | None) -> tuple[list[int], bool]:
        days = ticks.time_msc // DAY_MS
        edges = [0, *(np.flatnonzero(days[1:] != days[:-1]) + 1).tolist(), len(ticks)]
        if forming is not None and forming.open_msc[0] // DAY_MS != days[0]:
            forming = None
        begins: list[int] = []
        complete = False
        for start, stop in itertools.pairwise(edges):
            places, complete = self._begins_within(ticks.slice(start, stop), forming)
            begins += [start + place for place in places]
            forming = None
        return begins, complete

    def opened(self, first_msc: Times) -> Times:
        return first_msc

    @abstractmethod
    def _begins_within(self, day: _Ticks, forming: Bars | None) -> tuple[list[int], bool]:
        """`begins`, of ticks of one day."""


class _SearchedCut(_DailyCut):
    """Bars whose ends are looked for, one after the other."""

    __slots__ = ()

    def _begins_within(self, day: _Ticks, forming: Bars | None) -> tuple[list[int], bool]:
        begins = [] if forming else [0]
        start = 0
        while start < len(day):
            taken = self._taken(day, start, forming)
            if not taken:
                return begins, False
            forming = None
            start += taken
            begins.append(start)
        return begins[:-1], True

    def _taken(self, day: _Ticks, start: int, forming: Bars | None) -> int:
        """How many ticks from `start` on the bar takes to close; 0: more than there are."""
        window = _WINDOW
        while True:
            reached = self._reached(day.slice(start, start + window), forming)
            if reached.any():
                return int(reached.argmax()) + 1
            if start + window >= len(day):
                return 0
            window *= 4

    @abstractmethod
    def _reached(self, ticks: _Ticks, forming: Bars | None) -> npt.NDArray[np.bool_]:
        """Whether a bar of `forming` and the ticks up to each one has its size."""


@dataclass(frozen=True, slots=True)
class TickCut(_DailyCut):
    """Bars of so many ticks."""

    size: int

    def _begins_within(self, day: _Ticks, forming: Bars | None) -> tuple[list[int], bool]:
        held = int(forming.ticks[0]) if forming else 0
        return list(range(-held % self.size, len(day), self.size)), (held + len(day)) % self.size == 0


@dataclass(frozen=True, slots=True)
class VolumeCut(_SearchedCut):
    """Bars of so much volume: a bar closes with the tick that takes it there or beyond."""

    size: float

    def _reached(self, ticks: _Ticks, forming: Bars | None) -> npt.NDArray[np.bool_]:
        held = forming.volume if forming else np.zeros(1)
        # Added up one by one from the bar's first tick on, however ticks came in.
        return np.asarray(np.cumsum(np.concatenate([held, ticks.volume]))[1:] >= self.size * _REACHED)


@dataclass(frozen=True, slots=True)
class RangeCut(_SearchedCut):
    """Bars of so much high - low: a bar closes with the tick that takes it there or beyond."""

    size: float

    def _reached(self, ticks: _Ticks, forming: Bars | None) -> npt.NDArray[np.bool_]:
        high, low = np.maximum.accumulate(ticks.price), np.minimum.accumulate(ticks.price)
        if forming:
            high, low = np.maximum(high, forming.high[0]), np.minimum(low, forming.low[0])
        return np.asarray(high - low >= self.size * _REACHED)


class BarBuilder:
    """Bars of one symbol's ticks, which come in order; however they are cut into pieces, the bars are the same."""

    def __init__(self, cut: Cut) -> None:
        self._cut = cut
        self._forming: Bars | None = None

    def add(self, ticks: Quotes) -> Bars:
        """The bars that these ticks touch: those that close, and the one that is forming, if any."""
        priced = _priced(ticks)
        if not len(priced):
            return Bars.empty()
        forming = self._forming
        begins, complete = self._cut.begins(priced, forming)
        if forming and 0 in begins[:1]:
            bars = Bars.join([forming, self._bars(priced, begins, None)])
        else:
            bars = self._bars(priced, begins if not forming else [0, *begins], forming)
        bars = replace(bars, last_closed=complete)
        self._forming = None if complete else bars.slice(len(bars) - 1, len(bars))
        return _shown(bars)

    def _bars(self, ticks: _Ticks, begins: Sequence[int], forming: Bars | None) -> Bars:
        """Bars that begin at `begins`, the first of them with what `forming` holds."""
        starts = np.asarray(begins, np.int64)
        ends = np.append(starts[1:], len(ticks))
        held = forming.volume if forming else np.zeros(1)
        owners = np.repeat(np.arange(len(starts)), ends - starts)
        bars = Bars(
            open_msc=self._cut.opened(ticks.time_msc[starts]),
            close_msc=ticks.time_msc[ends - 1],
            open=ticks.price[starts],
            high=np.maximum.reduceat(ticks.price, starts),
            low=np.minimum.reduceat(ticks.price, starts),
            close=ticks.price[ends - 1],
            ticks=(ends - starts).astype(np.uint64),
            # One by one, as VolumeCut does: sums by halves would depend on the pieces.
            volume=np.bincount(np.append(0, owners), np.concatenate([held, ticks.volume])).astype(np.float64),
            spread_min=np.minimum.reduceat(ticks.spread, starts),
            spread_close=ticks.spread[ends - 1],
        )
        if forming:
            bars.open_msc[0], bars.open[0] = forming.open_msc[0], forming.open[0]
            bars.high[0], bars.low[0] = max(forming.high[0], bars.high[0]), min(forming.low[0], bars.low[0])
            bars.ticks[0] += forming.ticks[0]
            bars.spread_min[0] = min(forming.spread_min[0], bars.spread_min[0])
        return bars


def _priced(ticks: Quotes) -> _Ticks:
    price = np.where(ticks.bid > 0, ticks.bid, ticks.last)
    volume = np.where(ticks.volume_real > 0, ticks.volume_real, ticks.volume.astype(np.float64))
    spread = np.where((ticks.bid > 0) & (ticks.ask > 0), ticks.ask - ticks.bid, np.inf)
    kept = price > 0
    return _Ticks(ticks.time_msc[kept], price[kept], volume[kept], spread[kept])


def _shown(bars: Bars) -> Bars:
    """With the spread 0 where no tick had one."""
    least, close = (np.where(np.isinf(column), 0.0, column) for column in (bars.spread_min, bars.spread_close))
    return replace(bars, spread_min=least, spread_close=close)
