"""Bars as a terminal hands them out, made of its ticks: of the bid, or of the last price where there is no bid."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from mesh.market.bars import FIXED_MS, MONTH, TIMEFRAMES, WEEK, BarBuilder, Bars, TimeCut
from pc_agent.twin import constants
from pc_agent.twin.domain.ticks import Ticks, first_at

RATES_DTYPE = np.dtype(
    [
        ("time", "<i8"),
        ("open", "<f8"),
        ("high", "<f8"),
        ("low", "<f8"),
        ("close", "<f8"),
        ("tick_volume", "<u8"),
        ("spread", "<i4"),
        ("real_volume", "<u8"),
    ]
)

Rates = NDArray[np.void]  # one dimension, RATES_DTYPE

# The package's numbers for them.
TIMEFRAME_NAMES: Mapping[int, str] = MappingProxyType(
    {getattr(constants, f"TIMEFRAME_{name}"): name for name in TIMEFRAMES}
)

_DAY_MS = 86_400_000
_LONGEST_MS: Mapping[str, int] = MappingProxyType({**FIXED_MS, WEEK: 7 * _DAY_MS, MONTH: 31 * _DAY_MS})


@dataclass(frozen=True)
class _Quotes:
    """Ticks as columns."""

    time_msc: NDArray[np.int64]
    bid: NDArray[np.float64]
    ask: NDArray[np.float64]
    last: NDArray[np.float64]
    volume: NDArray[np.uint64]
    volume_real: NDArray[np.float64]


def newest_rates(ticks: Ticks, timeframe: str, skip: int, count: int, point: float) -> Rates:
    """The last `count` bars but for the `skip` newest; the one that is forming is among them."""
    wanted = skip + count
    span = wanted * _LONGEST_MS[timeframe]
    while True:
        first = first_at(ticks, _opening(timeframe, int(ticks[-1]["time_msc"]) - span)) if len(ticks) else 0
        bars = _bars(ticks[first:], timeframe)
        if not first or len(bars) >= wanted:
            return _records(bars, point)[max(len(bars) - wanted, 0) : max(len(bars) - skip, 0)]
        span *= 4  # a market that sleeps leaves bars out


def rates_until(ticks: Ticks, timeframe: str, until_s: int, count: int, point: float) -> Rates:
    """The `count` bars that end with the one in which second `until_s` lies, or with the last before it."""
    following = _opening(timeframe, _opening(timeframe, until_s * 1000) + _LONGEST_MS[timeframe])
    return newest_rates(ticks[: first_at(ticks, following)], timeframe, 0, count, point)


def rates_between(ticks: Ticks, timeframe: str, since_s: int, until_s: int, point: float) -> Rates:
    """The bars that open from second `since_s` to `until_s`, both included."""
    first = first_at(ticks, _opening(timeframe, since_s * 1000))
    last = first_at(ticks, until_s * 1000 + _LONGEST_MS[timeframe])
    rates = _records(_bars(ticks[first:last], timeframe), point)
    return rates[(rates["time"] >= since_s) & (rates["time"] <= until_s)]


def _opening(timeframe: str, time_msc: int) -> int:
    """When the bar opens in which `time_msc` lies."""
    return int(TimeCut(timeframe).opened(np.array([time_msc], np.int64))[0])


def _bars(ticks: Ticks, timeframe: str) -> Bars:
    columns = {field.name: ticks[field.name] for field in fields(_Quotes)}
    return BarBuilder(TimeCut(timeframe)).add(_Quotes(**columns))


def _records(bars: Bars, point: float) -> Rates:
    rates = np.zeros(len(bars), RATES_DTYPE)
    rates["time"] = bars.open_msc // 1000
    for name in ("open", "high", "low", "close"):
        rates[name] = getattr(bars, name)
    rates["tick_volume"] = bars.ticks
    rates["spread"] = np.rint(bars.spread_min / point)
    rates["real_volume"] = bars.volume
    return rates
