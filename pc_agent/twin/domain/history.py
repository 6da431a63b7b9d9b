"""What a terminal shows of one symbol: the ticks its feed has released, and what was done to them afterwards."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pc_agent.twin.domain.ticks import TICK_DTYPE, Ticks, first_at


@dataclass(frozen=True)
class Replacement:
    """From when the feed had released `at` ticks: `ticks` stand in place of those of [from_msc, to_msc)."""

    symbol: str
    at: int
    from_msc: int
    to_msc: int
    ticks: Ticks


@dataclass(frozen=True)
class ClockStep:
    """The server's clock stepped when the feed had released `at` ticks: those that follow bear a time `by_ms` later."""

    symbol: str
    at: int
    by_ms: int


Revision = Replacement | ClockStep


class Feed(Protocol):
    """Ticks in the order in which they come."""

    @property
    def ticks(self) -> Ticks: ...


class History:
    """Ordered by time; ticks of the same millisecond in the order in which they came.

    While nothing was revised it is the beginning of the feed, without a copy.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._offset_ms = 0
        self._revised: _Records | None = None
        self._newest: Ticks | None = None  # one tick or none; None: the history's last
        self.released = 0  # ticks of the feed

    @property
    def ticks(self) -> Ticks:
        return self._feed.ticks[: self.released] if self._revised is None else self._revised.ticks

    @property
    def newest(self) -> Ticks:
        """The tick that came last, or none: behind a clock that stepped back it is not the last by time."""
        return self.ticks[-1:] if self._newest is None else self._newest

    @property
    def offset_ms(self) -> int:
        """How far the server's clock is before the feed's times."""
        return self._offset_ms

    def release(self, count: int) -> Ticks:
        """Show the feed's first `count` ticks; returns the fresh ones."""
        fresh = self._feed.ticks[self.released : count]
        self.released = count
        if self._offset_ms:
            fresh = fresh.copy()
            fresh["time_msc"] += self._offset_ms
            fresh["time"] = fresh["time_msc"] // 1000
        if self._revised is not None and len(fresh):
            self._revised.add(fresh)
            self._newest = fresh[-1:].copy()
        return fresh

    def revise(self, revision: Revision) -> None:
        """It happens now: `revision.at` ticks are released."""
        if self._revised is None:
            self._revised = _Records(self.ticks)
        if isinstance(revision, ClockStep):
            self._offset_ms += revision.by_ms
        else:
            self._revised.replace(revision)
            self._newest = None


class _Records:
    """Ticks of its own, with room to grow."""

    def __init__(self, ticks: Ticks) -> None:
        self._room = ticks.copy()
        self._count = len(ticks)

    @property
    def ticks(self) -> Ticks:
        return self._room[: self._count]

    def add(self, fresh: Ticks) -> None:
        held = self.ticks
        if len(held) and fresh[0]["time_msc"] < held[-1]["time_msc"]:
            places = np.searchsorted(held["time_msc"], fresh["time_msc"], side="right")
            self._set(np.insert(held, places, fresh))
            return
        count = self._count + len(fresh)
        if count > len(self._room):
            self._room = np.concatenate((held, np.empty(count, TICK_DTYPE)))
        self._room[self._count : count] = fresh
        self._count = count

    def replace(self, revision: Replacement) -> None:
        held = self.ticks
        first, last = first_at(held, revision.from_msc), first_at(held, revision.to_msc)
        self._set(np.concatenate((held[:first], revision.ticks, held[last:])))

    def _set(self, ticks: Ticks) -> None:
        self._room, self._count = ticks, len(ticks)
