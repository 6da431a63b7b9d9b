"""When a symbol is quoted, learnt from its ticks: MetaTrader's package has no call that tells sessions.

The week is cut into five minutes each, by the trade server's clock. What had quotes counts up, what had none between
two ticks counts down. What nothing is known of is taken as open from Monday to Friday.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

_SLOT_MS = 5 * 60_000
_DAY = 24 * 12
_WEEK = 7 * _DAY
# 1 January 1970 was a Thursday: slots count from Monday.
_EPOCH = 3 * _DAY
_DAY_MS = 86_400_000
# So many weeks are needed to unlearn: a holiday closes no Monday.
_MOST = 3
# So many silent days are believed: one may have been a line that was cut.
_BELIEVED = 2


class Week:
    """One symbol's."""

    def __init__(self) -> None:
        self._score = np.zeros(_WEEK, np.int8)
        self._last = -1

    def learn(self, time_msc: npt.NDArray[np.int64]) -> None:
        """Ticks that follow on those before without any left out."""
        slots = time_msc // _SLOT_MS
        last = int(slots[-1])
        if last == self._last:
            return
        quoted = np.unique(slots[slots > self._last])
        begin = max(self._last + 1 if self._last >= 0 else int(quoted[0]), last - _WEEK)
        silent = np.setdiff1d(np.arange(begin, last), quoted, assume_unique=True)
        self._count(quoted[quoted > last - _WEEK], 1)
        self._count(silent, -1)
        self._last = last

    def is_open(self, msc: float) -> bool:
        """Whether it is quoted at this time of the week."""
        slot = (int(msc) // _SLOT_MS + _EPOCH) % _WEEK
        score = int(self._score[slot])
        return score > 0 or (score == 0 and slot < 5 * _DAY)

    def day_end_ms(self, msc: float) -> int:
        """When the last quotes of that day end: its midnight unless silence is known, its beginning if there are none.

        A working day of which too little is known is as the others are.
        """
        day_start = int(msc) // _DAY_MS * _DAY_MS
        days = self._score.reshape(7, _DAY)
        weekday = (day_start // _SLOT_MS + _EPOCH) % _WEEK // _DAY
        is_silent = days[weekday] <= -_BELIEVED
        if weekday < 5:
            working = days[:5]
            is_silent |= (working.max(axis=0) <= 0) & (working.sum(axis=0) <= -_BELIEVED)
        quoted = np.flatnonzero(~is_silent)
        return day_start + (int(quoted[-1]) + 1) * _SLOT_MS if len(quoted) else day_start

    def _count(self, slots: npt.NDArray[Any], by: int) -> None:
        places = (slots + _EPOCH) % _WEEK
        self._score[places] = np.clip(self._score[places] + by, -_MOST, _MOST)
