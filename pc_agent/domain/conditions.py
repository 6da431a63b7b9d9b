"""What the market of a symbol is like, from the ticks that pass.

Times are the PC's monotonic clock, in nanoseconds: a quote is as old as the time since it came here. Where the market
stands in its week is the newest tick's time plus that age. So a replay of last year is as fresh as it is played.

A session is open while quotes flow. When none came for longer than this symbol's rhythm, the week as learnt decides
(`market_week`): if it is a time of quotes, that is a gap in an open session. Whatever flows, it is closed while the
broker does not let the symbol be traded, and for a minute after he answered MARKET_CLOSED.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from mesh.market import BEFORE_FIRST, TickId
from mesh.market.batch import index_after
from pc_agent.domain.market_minutes import Minutes
from pc_agent.domain.market_week import Week
from pc_agent.domain.symbols import DISABLED

MEAN_SPREAD_MINUTES = 5
# A standstill: longer than so many of the mean times between two ticks, and than this at least.
_RHYTHMS = 20
_LEAST_GAP_NS = 10_000_000_000
_UNKNOWN_GAP_NS = 300_000_000_000
_BROKER_CLOSED_NS = 60_000_000_000
# Further than this no server's clock is from ours: such a quote is of another day.
_ANOTHER_DAY_MS = 15 * 3_600_000
_NS_PER_MS = 1_000_000

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Conditions:
    """As `MarketConditions` of the contract; spreads in points."""

    session_open: bool
    spread_points: float
    mean_spread_points: float
    volatility: float
    ticks_per_second: float
    quote_age_ms: int
    gap: bool
    news: str = ""


@dataclass(frozen=True, slots=True)
class NewTicks:
    """Columns, and when the last of them came; `is_newest`: the source had no more then; `has_moved`: so it was with
    some of them before, and then others came."""

    time_msc: Array
    ordinal: Array
    bid: Array
    ask: Array
    at_ns: int
    is_newest: bool
    has_moved: bool = False


class SymbolMarket:
    """One symbol of one server. Memory: some 5 kB."""

    def __init__(self) -> None:
        self._minutes = Minutes()
        self._week = Week()
        self._last = BEFORE_FIRST
        self._spread = 0.0
        self._moved_ns = 0
        self._is_read = self._caught_up = False
        # A quote was seen to move, not only to be there.
        self._is_live = False
        self._closed_until_ns = 0

    @property
    def is_known(self) -> bool:
        """Any tick was taken."""
        return self._moved_ns > 0

    @property
    def newest_msc(self) -> int:
        """0: no tick was taken."""
        return self._last.time_msc

    def read(self, is_read: bool) -> None:
        """Its ticks are read from now on, from behind any place; or are not."""
        self._is_read, self._caught_up = is_read, False

    def take(self, ticks: NewTicks) -> None:
        """What was taken before is left out: ticks may be read again."""
        start = index_after(ticks.time_msc, ticks.ordinal, self._last)
        if start < len(ticks.time_msc):
            self._last = TickId(int(ticks.time_msc[-1]), int(ticks.ordinal[-1]))
            self._moved_ns = ticks.at_ns
            self._is_live = self._is_live or self._caught_up or ticks.has_moved
            self._week.learn(ticks.time_msc[start:])
            self._quotes(ticks.time_msc[start:], ticks.bid[start:], ticks.ask[start:])
        self._caught_up = self._caught_up or ticks.is_newest

    def answered(self, is_closed: bool, now_ns: int) -> None:
        """The broker took an order, or answered that the market is closed."""
        self._closed_until_ns = now_ns + _BROKER_CLOSED_NS if is_closed else 0

    def day_end_ms(self, msc: float) -> int:
        """When its quotes of that day end, as far as known: see `Week`."""
        return self._week.day_end_ms(msc)

    def conditions(self, point: float, trade_mode: int, now_ns: int, now_unix_ms: int) -> Conditions:
        """At this moment; `point` 0: not known, so spreads are 0."""
        quiet_ns = max(0, now_ns - self._moved_ns)
        market_msc = self._last.time_msc + quiet_ns / _NS_PER_MS
        stands_still = self._is_read and quiet_ns > self._gap_ns()
        is_open = self._is_open(market_msc, quiet_ns, trade_mode, now_ns, now_unix_ms)
        return Conditions(
            session_open=is_open,
            spread_points=self._spread / point if point else 0.0,
            mean_spread_points=self._minutes.mean_spread(MEAN_SPREAD_MINUTES) / point if point else 0.0,
            volatility=self._minutes.volatility(),
            ticks_per_second=self._minutes.per_second(market_msc),
            quote_age_ms=min(quiet_ns // _NS_PER_MS, 2**32 - 1),
            gap=is_open and stands_still,
        )

    def _quotes(self, time_msc: Array, bid: Array, ask: Array) -> None:
        quoted = (bid > 0) & (ask > 0)
        if not quoted.all():
            time_msc, bid, ask = time_msc[quoted], bid[quoted], ask[quoted]
        if len(time_msc):
            self._minutes.take(time_msc, bid, ask)
            self._spread = float(ask[-1] - bid[-1])

    def _is_open(self, market_msc: float, quiet_ns: int, trade_mode: int, now_ns: int, now_unix_ms: int) -> bool:
        if trade_mode == DISABLED or now_ns < self._closed_until_ns:
            return False
        if not self._is_live and abs(now_unix_ms - self._last.time_msc) > _ANOTHER_DAY_MS:
            return False
        return (self._is_live and quiet_ns <= self._gap_ns()) or self._week.is_open(market_msc)

    def _gap_ns(self) -> int:
        rhythm_ms = self._minutes.rhythm_ms()
        return max(_LEAST_GAP_NS, int(_RHYTHMS * rhythm_ms * _NS_PER_MS)) if rhythm_ms else _UNKNOWN_GAP_NS


def spread_bound(most_points: int, ratio: float, mean_points: float) -> int:
    """The widest spread that is allowed, in points: by number, or by times the mean, whichever is less; 0: any."""
    relative = max(1, math.ceil(ratio * mean_points)) if ratio and mean_points else 0
    return min(most_points, relative) if most_points and relative else most_points or relative


def changed(before: Conditions | None, now: Conditions) -> bool:
    """Anything but that time went by."""
    if before is None:
        return True
    return _lasting(before) != _lasting(now)


def _lasting(one: Conditions) -> tuple[object, ...]:
    return (
        one.session_open, one.spread_points, one.mean_spread_points, one.volatility,
        round(one.ticks_per_second, 1), one.gap, one.news,
    )  # fmt: skip
