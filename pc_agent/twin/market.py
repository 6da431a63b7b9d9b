"""The market of one terminal: every symbol's ticks, released as its clock moves on."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypedDict

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


class Horizon(Protocol):
    """Keeps the market's time reached together with what its ticks did to the account."""

    released_msc: int

    def release(self, time_msc: int) -> None: ...


class Market:
    """Ticks become visible when the market's clock reaches their time, and stay so: the horizon keeps it.

    The clock starts where it stopped, so a terminal that was down released nothing meanwhile.
    """

    def __init__(
        self,
        series: Mapping[str, Series],
        horizon: Horizon,
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
        self._reached_msc = self._started_from = horizon.released_msc
        self._histories = {symbol: History(one) for symbol, one in series.items()}
        self._generations = dict.fromkeys(series, 0)
        self._held = False
        self.symbols: Mapping[str, Series] = self._shown()
        for revision in revisions.revisions:
            history = self._histories[revision.symbol]
            history.release(revision.at)
            history.revise(revision)
        for symbol, history in self._histories.items():
            history.release(first_after(series[symbol].ticks, self._reached_msc, history.released))

    def hold(self) -> None:
        """Release nothing more, until the terminal is started anew: what was sent can then be counted."""
        self._held = True

    def _shown(self) -> Mapping[str, Series]:
        """The symbols that the terminal shows."""
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

    def generation(self, symbol: str) -> int:
        """Another one means that the symbol's past may be another, too."""
        return self._generations[symbol]

    def now_msc(self, symbol: str) -> int:
        """The server's clock."""
        return self._reached_msc + self._histories[symbol].offset_ms

    def show(self, symbol: str) -> None:
        """Make a hidden symbol one that the terminal has, with the history that it has by now."""
        if symbol not in self.symbols:
            self._revisions.show(symbol)
            self.symbols = self._shown()

    def step_clock(self, by_ms: int) -> None:
        """The server's clock steps; what is history keeps its times."""
        self.revise([ClockStep(symbol, history.released, by_ms) for symbol, history in self._histories.items()])

    def revise(self, revisions: Sequence[Revision]) -> None:
        """On disk before it is seen."""
        self._revisions.revise(revisions)
        for revision in revisions:
            self._histories[revision.symbol].revise(revision)
            self._generations[revision.symbol] += 1

    def advance(self) -> Iterator[tuple[str, Ticks]]:
        """Release what is due; yields each symbol that has new ticks, with them.

        The time reached is kept when the iterator is exhausted: what was not handled is released again. A time that
        brought no tick need not be kept.
        """
        due = self._due()
        if due <= self._reached_msc:
            return
        any_fresh = False
        for symbol, one in self.series.items():
            one.reach(due, self._speed)
            before = self._histories[symbol].released
            after = first_after(one.ticks, due, before)
            if after > before:
                any_fresh = True
                yield symbol, self._histories[symbol].release(after)
        self._reached_msc = due
        if any_fresh:
            self._horizon.release(due)

    def settle(self) -> None:
        """Have on the disk what was drawn ahead, before its time comes. From any thread."""
        for one in self.series.values():
            one.settle()

    def _due(self) -> int:
        if self._held:
            return self._reached_msc
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
        self._revisions.close()


def open_market(
    folder: Path,
    horizon: Horizon,
    feeds: tuple[str, ...],
    seed: int,
    speed: str,
    clock: Clock,
    hidden: Sequence[str] = (),
    suffix: str = "",
    sessions: Mapping[str, str] | None = None,
) -> Market:
    """The market that `feeds` describe, kept in `folder`; `clock` gives Unix milliseconds. The terminal's name of a
    symbol is the feed's with `suffix`; a synthetic one has ticks in its `sessions` only (domain.sessions; by the
    terminal's name).

    Raises:
        TickFileError, FeedError: a file can not be replayed, or what is hidden has no feed.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = replayed_files(feeds)
    unseen = frozenset(symbol + suffix for symbol in hidden)
    if unknown := unseen - {symbol + suffix for symbol in files or HABITS}:
        raise FeedError(f"{', '.join(sorted(unknown))} can not be hidden: there is no such feed")
    series: dict[str, Series]
    if files:
        series = {symbol + suffix: ReplaySeries(symbol, path, folder) for symbol, path in files.items()}
        begin_msc = min(int(one.ticks[0]["time_msc"]) for one in series.values()) - 1
    else:
        # The synthetic market happens now: what would have happened while the terminal was down never did.
        begin_msc = max(horizon.released_msc, clock())
        when = sessions or {}
        series = {
            symbol + suffix: SyntheticSeries(symbol, seed, folder, begin_msc, when.get(symbol + suffix, ""))
            for symbol in HABITS
        }
    if begin_msc > horizon.released_msc:
        horizon.release(begin_msc)
    revisions = RevisionFile(folder / "revisions")
    return Market(series, horizon, revisions, unseen, math.inf if speed == "max" else float(speed), clock)
