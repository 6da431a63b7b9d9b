"""When a symbol trades: a rule of the week, in the clock of a place."""

import re
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from mesh.market.zone import Zone

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY = "|".join(_DAYS)
_STRETCH = re.compile(rf"({_DAY}) (\d\d):(\d\d)-({_DAY}) (\d\d):(\d\d)")
_DAY_MINUTES = 1440
_WEEK_MINUTES = 7 * _DAY_MINUTES
_MINUTE_MS = 60_000
# 1 January 1970 was a Thursday.
_EPOCH_MINUTES = 3 * _DAY_MINUTES


class BadSessionError(ValueError):
    """A session rule that can not be read; the message says what to write."""


class Session:
    """`Sun 17:00-Fri 17:00 America/New_York`: stretches of the week, `;` between them, and the clock they are of."""

    def __init__(self, rule: str) -> None:
        """Raises BadSessionError, or BadRuleError for its zone."""
        stretches, _, zone = rule.rpartition(" ")
        edges = sorted(edge for text in stretches.split(";") for edge in _edges(text.strip()))
        if not edges or any(one[1] > other[0] for one, other in pairwise(edges)):
            raise BadSessionError(f"{rule!r} has stretches that overlap; give each time of the week once")
        self._edges = np.array(edges).ravel()
        self._zone = Zone(zone)

    def holds(self, utc_msc: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which times lie in the session; a stretch's end does not."""
        minutes = (self._zone.from_utc(utc_msc) // _MINUTE_MS + _EPOCH_MINUTES) % _WEEK_MINUTES
        return np.asarray(np.searchsorted(self._edges, minutes, side="right") % 2 == 1)


def _edges(stretch: str) -> Iterator[tuple[int, int]]:
    """[begin, end) in minutes of the week; two where it runs across the week's end."""
    match = _STRETCH.fullmatch(stretch)
    begin, end = (_minute(*match.groups()[at : at + 3]) for at in (0, 3)) if match else (0, 0)
    if begin == end:
        raise BadSessionError(
            f"{stretch!r} is no stretch of the week; write a session as 'Sun 17:00-Fri 17:00 America/New_York'"
        )
    if begin < end:
        yield begin, end
    else:
        yield begin, _WEEK_MINUTES
        if end:
            yield 0, end


def _minute(day: str, hour: str, minute: str) -> int:
    return _DAYS.index(day) * _DAY_MINUTES + int(hour) * 60 + int(minute)
