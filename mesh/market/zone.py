"""A broker's clock: which UTC a server time stands for, by a rule.

A rule is a zone of the tz database with, where the broker shows another clock, a distance to it: `UTC`, `UTC+3`,
`Europe/Athens`, `America/New_York+7` (New York's clock and its daylight saving, seven hours on: what most MT5 brokers
run, so that their day ends with New York's).
"""

import re
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt

from mesh.market.marks import MISSING_HOUR, REPEATED_HOUR

Times = npt.NDArray[np.int64]
Marks = npt.NDArray[np.uint32]

_SHIFTED = re.compile(r"(.+?)([+-])(\d{1,2})(?::([0-5]\d))?")
_MOST_SHIFT_H = 14
_MINUTE_MS = 60_000
_HOUR_MS = 3_600_000
_DAY_MS = 86_400_000
# Times beyond keep the offset of the nearest of these years.
_YEARS = (1971, 2099)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Years are looked up between these times: any 64-bit number may be called a time.
_FIRST_MSC, _LAST_MSC = (int(np.datetime64(f"{year}", "ms").astype(np.int64)) for year in _YEARS)


class BadRuleError(ValueError):
    """A zone rule that can not be read; the message says what to write."""


class _Changes(NamedTuple):
    """When a clock changes, ascending: `offset_ms[i]` is valid between changes i - 1 and i."""

    utc_msc: Times
    offset_ms: Times


class Zone:
    """A clock that shows UTC plus an offset, which changes twice a year or never.

    The offset is looked up once for the stretch between two changes, so a batch costs a few comparisons.
    """

    def __init__(self, rule: str) -> None:
        """Raises BadRuleError."""
        self.rule = rule
        self._zone, self._shift_ms = _parsed(rule)

    def to_utc(self, server_msc: Times) -> tuple[Times, Marks | None]:
        """UTC of server times, and their marks; None: none has one.

        A time that the clock shows twice is taken as the first, one that it skips as if it had not changed yet.
        """
        if not len(server_msc):
            return server_msc, None
        changes = self._changes(int(server_msc.min()), int(server_msc.max()))
        before, after = changes.offset_ms[:-1], changes.offset_ms[1:]
        # From here on the clock shows its new offset beyond doubt.
        settled = changes.utc_msc + np.maximum(before, after)
        low, high = (np.searchsorted(settled, edge(server_msc), side="right") for edge in (np.min, np.max))
        if low == high:
            utc_msc = server_msc - changes.offset_ms[low]
        else:
            utc_msc = server_msc - changes.offset_ms[np.searchsorted(settled, server_msc, side="right")]
        return utc_msc, _doubtful(server_msc, changes, settled)

    def from_utc(self, utc_msc: Times) -> Times:
        """What the clock shows."""
        if not len(utc_msc):
            return utc_msc
        changes = self._changes(int(utc_msc.min()), int(utc_msc.max()))
        return np.asarray(utc_msc + changes.offset_ms[np.searchsorted(changes.utc_msc, utc_msc, side="right")])

    def offset_ms(self, utc_msc: int) -> int:
        """By how much the clock is ahead of UTC."""
        return int(self.from_utc(np.array([utc_msc]))[0]) - utc_msc

    def _changes(self, first_msc: int, last_msc: int) -> _Changes:
        """Those around a stretch of UTC or of the clock's own time."""
        first, last = (_year(first_msc - 2 * _DAY_MS), _year(last_msc + 2 * _DAY_MS))
        years = [_year_changes(self._zone, self._shift_ms, year) for year in range(first, last + 1)]
        utc_msc = np.concatenate([year.utc_msc for year in years])
        offset_ms = np.concatenate([years[0].offset_ms[:1], *(year.offset_ms[1:] for year in years)])
        return _Changes(utc_msc, offset_ms)


def _parsed(rule: str) -> tuple[ZoneInfo, int]:
    zone = _zone(rule)
    if zone:
        return zone, 0
    shifted = _SHIFTED.fullmatch(rule)
    zone = _zone(shifted[1]) if shifted else None
    if shifted is None or zone is None:
        raise BadRuleError(
            f"{rule!r} is no zone rule; write a zone of the tz database, and hours where the clock is shifted:"
            " UTC, UTC+3, Europe/Athens, America/New_York+7"
        )
    shift_ms = int(shifted[3]) * _HOUR_MS + int(shifted[4] or 0) * _MINUTE_MS
    if shift_ms > _MOST_SHIFT_H * _HOUR_MS:
        raise BadRuleError(f"{rule!r} shifts a clock by more than {_MOST_SHIFT_H} hours; give the zone itself")
    return zone, shift_ms if shifted[2] == "+" else -shift_ms


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder of the database is an OSError
        return None


def _year(msc: int) -> int:
    known_msc = min(max(msc, _FIRST_MSC), _LAST_MSC)
    return int(np.datetime64(known_msc, "ms").astype("datetime64[Y]").astype(int)) + 1970


@cache
def _year_changes(zone: ZoneInfo, shift_ms: int, year: int) -> _Changes:
    """The changes within a UTC year, found day by day and then to the minute."""
    days = np.arange(np.datetime64(f"{year:04}"), np.datetime64(f"{year + 1:04}") + 1, dtype="datetime64[D]")
    edges = (days.astype("datetime64[ms]").astype(np.int64)).tolist()
    offsets = [_offset_ms(zone, edge) for edge in edges]
    found = [place for place in range(len(edges) - 1) if offsets[place] != offsets[place + 1]]
    utc_msc = [_change_within(zone, edges[place], edges[place + 1]) for place in found]
    shown = [offsets[0], *(offsets[place + 1] for place in found)]
    return _Changes(np.array(utc_msc, np.int64), np.array(shown, np.int64) + shift_ms)


def _change_within(zone: ZoneInfo, low: int, high: int) -> int:
    """The minute from which on the offset is that at `high`; no clock changes twice a day."""
    old = _offset_ms(zone, low)
    while high - low > _MINUTE_MS:
        middle = (low + high) // 2 // _MINUTE_MS * _MINUTE_MS
        if _offset_ms(zone, middle) == old:
            low = middle
        else:
            high = middle
    return high


def _offset_ms(zone: ZoneInfo, utc_msc: int) -> int:
    offset = (_EPOCH + timedelta(milliseconds=utc_msc)).astimezone(zone).utcoffset()
    return int((offset or timedelta()).total_seconds() * 1000)


def _doubtful(server_msc: Times, changes: _Changes, settled: Times) -> Marks | None:
    """Marks of times that the clock shows twice, or never."""
    marks: Marks | None = None
    begins = changes.utc_msc + np.minimum(changes.offset_ms[:-1], changes.offset_ms[1:])
    low, high = server_msc.min(), server_msc.max()
    for place in np.flatnonzero((begins <= high) & (settled > low)):
        marks = np.zeros(len(server_msc), np.uint32) if marks is None else marks
        forward = changes.offset_ms[place + 1] > changes.offset_ms[place]
        inside = (server_msc >= begins[place]) & (server_msc < settled[place])
        marks[inside] |= MISSING_HOUR if forward else REPEATED_HOUR
    return marks
