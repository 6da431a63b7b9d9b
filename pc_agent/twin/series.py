"""Where a symbol's ticks come from. The market releases them by time; a series has them ready before."""

import json
from pathlib import Path
from typing import Protocol

from pc_agent.twin.domain.random_walk import HABITS, walk
from pc_agent.twin.domain.sessions import week
from pc_agent.twin.domain.ticks import Ticks
from pc_agent.twin.feeds import file_digest
from pc_agent.twin.tick_file import TickFile, write_whole
from pc_agent.twin.tick_source import read_ticks

# The synthetic market is drawn this far ahead of its clock; what a restart finds drawn is played before new is drawn.
_AHEAD_MS = 10_000


class Series(Protocol):
    """One symbol's ticks, ordered by time."""

    symbol: str
    digits: int
    ends: bool  # whether there will ever be no more

    @property
    def ticks(self) -> Ticks: ...

    def reach(self, time_msc: int, speed: float) -> None:
        """Have every tick up to `time_msc`, and some more while at it."""

    def settle(self) -> None:
        """Have what was drawn on the disk; from any thread."""

    def close(self) -> None: ...


class ReplaySeries:
    """A file of ticks, parsed once and kept in the terminal's folder."""

    ends = True

    def __init__(self, symbol: str, source: Path, folder: Path) -> None:
        """Raises TickFileError or FeedError when `source` can not be replayed."""
        self.symbol = symbol
        parsed = folder / f"{symbol}-{file_digest(source)}.ticks"
        about = parsed.with_suffix(".json")
        if not parsed.exists():
            whole = read_ticks(source)
            about.write_text(json.dumps({"digits": whole.digits}), "utf-8")
            write_whole(parsed, whole.ticks)  # last: a file of ticks is never without its digits
        self.digits: int = json.loads(about.read_text("utf-8"))["digits"]
        self._file = TickFile(parsed)

    @property
    def ticks(self) -> Ticks:
        return self._file.ticks

    def reach(self, time_msc: int, speed: float) -> None:
        """The file holds all there will ever be."""

    def settle(self) -> None:
        """It was when it was made."""

    def close(self) -> None:
        self._file.close()


class SyntheticSeries:
    """A random walk that goes on where the file ends."""

    ends = False

    def __init__(self, symbol: str, seed: int, folder: Path, begin_msc: int, sessions: str = "") -> None:
        """Draw from `begin_msc` on, or from the end of the file where that is later; only what falls into sessions.

        Raises:
            SessionsError: they can not be read.
        """
        self.symbol = symbol
        self._habits = HABITS[symbol]
        self._week = week(sessions)
        self.digits = self._habits.digits
        self._seed = (seed, sorted(HABITS).index(symbol))
        self._file = TickFile(folder / f"{symbol}.ticks")
        newest = self.ticks[-1] if len(self.ticks) else None
        self._bid = float(newest["bid"]) if newest is not None else self._habits.start
        self._drawn_to = max(begin_msc, int(newest["time_msc"])) if newest is not None else begin_msc

    @property
    def ticks(self) -> Ticks:
        return self._file.ticks

    def reach(self, time_msc: int, speed: float) -> None:
        if time_msc < self._drawn_to:
            return
        to = time_msc + int(_AHEAD_MS * max(speed, 1.0))
        drawn = walk(self._habits, (*self._seed, self._drawn_to), self._bid, self._drawn_to, to)
        drawn = drawn[self._week.open_at(drawn["time_msc"])]
        if len(drawn):
            self._file.append(drawn)
            self._bid = float(drawn[-1]["bid"])
        self._drawn_to = to

    def settle(self) -> None:
        self._file.settle()

    def close(self) -> None:
        self._file.close()
