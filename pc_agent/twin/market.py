"""The market of one terminal: every symbol's ticks, released as its clock moves on."""

import math
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict

from pc_agent.twin.domain.random_walk import HABITS
from pc_agent.twin.domain.ticks import Ticks, first_after
from pc_agent.twin.feeds import replayed_files
from pc_agent.twin.series import ReplaySeries, Series, SyntheticSeries

Clock = Callable[[], int]  # milliseconds


class FeedStatus(TypedDict):
    """How far a symbol's feed has got."""

    sent: int  # ticks released so far, over the life of the folder
    total: int | None  # ticks there are; None: it never ends
    digits: int  # the most decimals of a price
    ended: bool


class Market:
    """Ticks become visible when the market's clock reaches their time, and stay so: the time reached is on disk.

    The clock starts where it stopped, so a terminal that was down released nothing meanwhile.
    """

    def __init__(self, series: Mapping[str, Series], horizon: "HorizonFile", speed: float, clock: Clock) -> None:
        """`speed` is market time over `clock` time; infinity releases everything at once."""
        self._series = series
        self._horizon = horizon
        self._speed = speed
        self._clock = clock
        self._started_at = clock()
        self._started_from = horizon.time_msc
        self._released = {symbol: first_after(one.ticks, horizon.time_msc) for symbol, one in series.items()}
        self._held = False

    def hold(self) -> None:
        """Release nothing more, until the terminal is started anew: what was sent can then be counted."""
        self._held = True

    @property
    def symbols(self) -> Mapping[str, Series]:
        return self._series

    def ticks(self, symbol: str) -> Ticks:
        """The released ticks: a view of the file."""
        return self._series[symbol].ticks[: self._released[symbol]]

    def advance(self) -> Iterator[tuple[str, Ticks]]:
        """Release what is due; yields each symbol that has new ticks, with them.

        The time reached is written when the iterator is exhausted: what was not handled is released again.
        """
        due = self._due()
        if due <= self._horizon.time_msc:
            return
        for symbol, one in self._series.items():
            one.reach(due, self._speed)
            before = self._released[symbol]
            self._released[symbol] = first_after(one.ticks, due, before)
            if self._released[symbol] > before:
                yield symbol, one.ticks[before : self._released[symbol]]
        self._horizon.write(due)

    def _due(self) -> int:
        if self._held:
            return self._horizon.time_msc
        if math.isinf(self._speed):
            return max(int(one.ticks[-1]["time_msc"]) for one in self._series.values())
        return self._started_from + int((self._clock() - self._started_at) * self._speed)

    def status(self) -> dict[str, FeedStatus]:
        return {
            symbol: FeedStatus(
                sent=self._released[symbol],
                total=len(one.ticks) if one.ends else None,
                digits=one.digits,
                ended=one.ends and self._released[symbol] == len(one.ticks),
            )
            for symbol, one in self._series.items()
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        for one in self._series.values():
            one.close()
        self._horizon.close()


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


def open_market(folder: Path, feeds: tuple[str, ...], seed: int, speed: str, clock: Clock) -> Market:
    """The market that `feeds` describe, kept in `folder`; `clock` gives Unix milliseconds.

    Raises:
        TickFileError, FeedError: a file can not be replayed.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = replayed_files(feeds)
    horizon = HorizonFile(folder / "released")
    series: dict[str, Series]
    if files:
        series = {symbol: ReplaySeries(symbol, path, folder) for symbol, path in files.items()}
        horizon.time_msc = max(horizon.time_msc, min(int(one.ticks[0]["time_msc"]) for one in series.values()) - 1)
    else:
        # The synthetic market happens now: what would have happened while the terminal was down never did.
        horizon.time_msc = max(horizon.time_msc, clock())
        series = {symbol: SyntheticSeries(symbol, seed, folder, horizon.time_msc) for symbol in HABITS}
    return Market(series, horizon, math.inf if speed == "max" else float(speed), clock)
