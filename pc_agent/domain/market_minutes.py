"""The last hour of a symbol's ticks, minute by minute of the market's own time."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

MINUTE_MS = 60_000
# A power of two above an hour: a minute and the one an hour before it never share a place.
_PLACES = 64
_HOUR = 60
_LEAST_RETURNS = 10

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]


class Minutes:
    """Ticks, their spreads and the last middle price of each minute; minutes more than an hour back are forgotten."""

    def __init__(self) -> None:
        self._minute = np.full(_PLACES, -1, np.int64)
        self._count = np.zeros(_PLACES, np.int64)
        self._spread = np.zeros(_PLACES)
        self._middle = np.zeros(_PLACES)
        self._newest = -1
        self._first_msc = 0
        self._volatility = (-1, 0.0)

    def take(self, time_msc: Times, bid: Floats, ask: Floats) -> None:
        """Ticks behind those taken before, each with both prices; at least one."""
        minutes = time_msc // MINUTE_MS
        starts = np.flatnonzero(np.r_[True, minutes[1:] != minutes[:-1]])
        ends = np.r_[starts[1:], len(minutes)]
        counts, sums = ends - starts, np.add.reduceat(ask - bid, starts)
        recent = slice(int(np.searchsorted(minutes[starts], minutes[-1] - _HOUR)), None)
        found = minutes[starts][recent]
        places = found % _PLACES
        known = self._minute[places] == found
        self._count[places] = np.where(known, self._count[places], 0) + counts[recent]
        self._spread[places] = np.where(known, self._spread[places], 0.0) + sums[recent]
        self._middle[places] = ((bid + ask) / 2)[ends[recent] - 1]
        self._minute[places] = found
        self._newest = int(found[-1])
        self._first_msc = self._first_msc or int(time_msc[0])

    def mean_spread(self, minutes: int) -> float:
        """In price, over the last so many minutes that there were ticks in the hour; 0: no tick was taken."""
        held = self._held(self._newest, minutes)
        count = int(self._count[held].sum())
        return float(self._spread[held].sum()) / count if count else 0.0

    def per_second(self, now_msc: float) -> float:
        """Ticks a second over the last minute at market time `now_msc`; the minute before counts by its share."""
        minute, part = divmod(now_msc, MINUTE_MS)
        count = self._at(int(minute)) + self._at(int(minute) - 1) * (1 - part / MINUTE_MS)
        seen_s = (now_msc - self._first_msc) / 1000
        return count / min(60.0, max(1.0, seen_s))

    def rhythm_ms(self) -> float:
        """Mean time between two ticks in the minutes that had any; 0: too few ticks to tell."""
        held = self._held(self._newest, _HOUR)
        count = int(self._count[held].sum())
        return len(held) * MINUTE_MS / count if count >= _LEAST_RETURNS else 0.0

    def volatility(self) -> float:
        """Standard deviation of the logarithmic returns of whole minutes, over the last hour; 0: not known yet.

        A minute without a tick ends where the one before it ended.
        """
        if self._volatility[0] != self._newest:
            self._volatility = self._newest, self._measured()
        return self._volatility[1]

    def _measured(self) -> float:
        held = self._held(self._newest - 1, _HOUR)
        if not len(held):
            return 0.0
        at = self._minute[held]
        every = np.arange(at[0], self._newest)
        returns = np.diff(np.log(self._middle[held][np.searchsorted(at, every, side="right") - 1]))
        if len(returns) < _LEAST_RETURNS:
            return 0.0
        measured = float(np.std(returns, ddof=1))
        return measured if math.isfinite(measured) else 0.0

    def _held(self, last: int, minutes: int) -> npt.NDArray[Any]:
        """Places of the minutes with ticks among the `minutes` that end with `last`, in their order."""
        places = np.flatnonzero((self._minute > last - minutes) & (self._minute <= last) & (self._minute >= 0))
        return places[np.argsort(self._minute[places])]

    def _at(self, minute: int) -> int:
        place = minute % _PLACES
        return int(self._count[place]) if self._minute[place] == minute else 0
