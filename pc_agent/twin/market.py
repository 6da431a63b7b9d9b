"""The market of one terminal: every symbol's ticks, released as its clock moves on."""

import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict

from pc_agent.twin.domain.history import ClockStep, History, Revision
from pc_agent.twin.domain.random_walk import HABITS
from pc_agent.twin.domain.ticks import Ticks, first_after
from pc_agent.twin.feeds import FeedError, replayed_files
from pc_agent.twin.revisions import RevisionFile
from pc_agent.twin.series import ReplaySeries, Series, SyntheticSeries

Clock = Callable[[], int]  # milliseconds


class FeedStatus(TypedDict):
    """How far a symbol's feed has got."""

    sent: int  # ticks that the terminal's history holds now
    total: int | None  # ticks it will hold when the feed has ended; None: it never ends
    digits: int  # the most decimals of a price
    ended: bool


class Market:
    """Ticks become visible when the market's clock reaches their time, and stay so: the time reached is on disk.

    The clock starts where it stopped, so a terminal that was down released nothing meanwhile.
    """

    def __init__(
        self,
        series: Mapping[str, Series],
        horizon: "HorizonFile",
        revisions: RevisionFile,
        hidden: frozenset[str],
        speed: float,
        clock: Clock,
    ) -> None:
        """`speed` is market time over `clock` time; infinity releases everything at once. Symbols that are `hidden`
        and not shown yet have feeds that nobody sees."""
        self.series = series
        self._horizon = horizon
        self._revisions = revisions
        self._hidden = hidden
        self._speed = speed
        self._clock = clock
        self._started_at = clock()
        self._started_from = horizon.time_msc
        self._histories = {symbol: History(one) for symbol, one in series.items()}
        self._held = False
        for revision in revisions.revisions:
            history = self._histories[revision.symbol]
            history.release(revision.at)
            history.revise(revision)
        for symbol, history in self._histories.items():
            history.release(first_after(series[symbol].ticks, horizon.time_msc, history.released))

    def hold(self) -> None:
        """Release nothing more, until the terminal is started anew: what was sent can then be counted."""
        self._held = True

    @property
    def symbols(self) -> Mapping[str, Series]:
        """Those that the terminal shows."""
        unseen = self._hidden - self._revisions.shown
        return {symbol: one for symbol, one in self.series.items() if symbol not in unseen}

    def ticks(self, symbol: str) -> Ticks:
        """The symbol's history: a view, until the next call that changes the market."""
        return self._histories[symbol].ticks

    def newest(self, symbol: str) -> Ticks:
        """The tick that came last, or none."""
        return self._histories[symbol].newest

    def released(self, symbol: str) -> int:
        """Ticks of the feed that are history."""
        return self._histories[symbol].released

    def now_msc(self, symbol: str) -> int:
        """The server's clock."""
        return self._horizon.time_msc + self._histories[symbol].offset_ms

    def show(self, symbol: str) -> None:
        """Make a hidden symbol one that the terminal has, with the history that it has by now."""
        if symbol not in self.symbols:
            self._revisions.show(symbol)

    def step_clock(self, by_ms: int) -> None:
        """The server's clock steps; what is history keeps its times."""
        self.revise([ClockStep(symbol, history.released, by_ms) for symbol, history in self._histories.items()])

    def revise(self, revisions: Sequence[Revision]) -> None:
        """On disk before it is seen."""
        self._revisions.revise(revisions)
        for revision in revisions:
            self._histories[revision.symbol].revise(revision)

    def advance(self) -> Iterator[tuple[str, Ticks]]:
        """Release what is due; yields each symbol that has new ticks, with them.

        The time reached is written when the iterator is exhausted: what was not handled is released again.
        """
        due = self._due()
        if due <= self._horizon.time_msc:
            return
        for symbol, one in self.series.items():
            one.reach(due, self._speed)
            before = self._histories[symbol].released
            after = first_after(one.ticks, due, before)
            if after > before:
                yield symbol, self._histories[symbol].release(after)
        self._horizon.write(due)

    def _due(self) -> int:
        if self._held:
            return self._horizon.time_msc
        if math.isinf(self._speed):
            return max(int(one.ticks[-1]["time_msc"]) for one in self.series.values())
        return self._started_from + int((self._clock() - self._started_at) * self._speed)

    def status(self) -> dict[str, FeedStatus]:
        return {symbol: self._status(one, self._histories[symbol]) for symbol, one in self.symbols.items()}

    def _status(self, one: Series, history: History) -> FeedStatus:
        sent, to_come = len(history.ticks), len(one.ticks) - history.released
        return FeedStatus(
            sent=sent,
            total=sent + to_come if one.ends else None,
            digits=one.digits,
            ended=one.ends and not to_come,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        for one in self.series.values():
            one.close()
        self._horizon.close()
        self._revisions.close()


class HorizonFile:
    """The market time reached, kept in eight bytes that one write replaces."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self._file = path.open("r+b", buffering=0)
        stored = self._file.read(8)
        self.time_msc: int = struct.unpack("<q", stored)[0] if len(stored) == 8 else 0

    def write(self, time_msc: int) -> None:
        self._file.seek(0)
        self._file.write(struct.pack("<q", time_msc))
        self.time_msc = time_msc

    def close(self) -> None:
        self._file.close()


def open_market(
    folder: Path, feeds: tuple[str, ...], seed: int, speed: str, clock: Clock, hidden: Sequence[str] = ()
) -> Market:
    """The market that `feeds` describe, kept in `folder`; `clock` gives Unix milliseconds.

    Raises:
        TickFileError, FeedError: a file can not be replayed, or what is hidden has no feed.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = replayed_files(feeds)
    if unknown := set(hidden) - set(files or HABITS):
        raise FeedError(f"{', '.join(sorted(unknown))} can not be hidden: there is no such feed")
    horizon = HorizonFile(folder / "released")
    series: dict[str, Series]
    if files:
        series = {symbol: ReplaySeries(symbol, path, folder) for symbol, path in files.items()}
        horizon.time_msc = max(horizon.time_msc, min(int(one.ticks[0]["time_msc"]) for one in series.values()) - 1)
    else:
        # The synthetic market happens now: what would have happened while the terminal was down never did.
        horizon.time_msc = max(horizon.time_msc, clock())
        series = {symbol: SyntheticSeries(symbol, seed, folder, horizon.time_msc) for symbol in HABITS}
    revisions = RevisionFile(folder / "revisions")
    return Market(series, horizon, revisions, frozenset(hidden), math.inf if speed == "max" else float(speed), clock)
