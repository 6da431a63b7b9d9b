"""When a symbol is traded: a week of sessions by the trade server's clock."""

import re
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SESSION = re.compile(r"([a-z]{3})(?:-([a-z]{3}))? (\d\d):(\d\d)-(\d\d):(\d\d)")
_DAY_MIN, _WEEK_MIN = 24 * 60, 7 * 24 * 60
_MINUTE_MS = 60_000
_EPOCH_MIN = 3 * _DAY_MIN  # 1 January 1970 was a Thursday


class SessionsError(ValueError):
    """Sessions that can not be read; the message says what was expected."""


class Week:
    """Which minutes of the week are open."""

    def __init__(self, open_minutes: NDArray[np.bool_]) -> None:
        self._open = open_minutes

    def is_open(self, time_msc: int) -> bool:
        return bool(self._open[(time_msc // _MINUTE_MS + _EPOCH_MIN) % _WEEK_MIN])

    def open_at(self, times_msc: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these times are in a session."""
        return self._open[(times_msc // _MINUTE_MS + _EPOCH_MIN) % _WEEK_MIN]


@lru_cache(maxsize=64)
def week(sessions: str) -> Week:
    """Read "mon-thu 00:05-23:55, fri 00:05-21:00"; nothing is always open.

    Raises:
        SessionsError: it is not of that form.
    """
    if not sessions.strip():
        return Week(np.ones(_WEEK_MIN, np.bool_))
    minutes = np.zeros(_WEEK_MIN, np.bool_)
    for session in sessions.lower().split(","):
        match = _SESSION.fullmatch(session.strip())
        if match is None or not {match[1], match[2] or match[1]} <= set(_DAYS):
            raise SessionsError(f"{session.strip()!r} is no session: expected such as 'mon-fri 00:05-23:55'")
        first, last = _DAYS.index(match[1]), _DAYS.index(match[2] or match[1])
        begin, end = (int(match[i]) * 60 + int(match[i + 1]) for i in (3, 5))
        if not first <= last or not begin < end <= _DAY_MIN:
            raise SessionsError(f"{session.strip()!r} ends before it begins")
        for day in range(first, last + 1):
            minutes[day * _DAY_MIN + begin : day * _DAY_MIN + end] = True
    return Week(minutes)
