"""The four tick lanes together: every symbol on its home lane, or on another while that is lost."""

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mesh.log import get_logger
from mesh.market import Batch
from mesh.market.batch import COLUMNS
from pc_agent.domain.history import before
from pc_agent.domain.lanes import LaneWatch, carrier_of
from pc_agent.domain.symbol_feed import SymbolFeed
from pc_agent.terminal.messages import HistoryFound, TicksRead
from pc_agent.ticks.sources import Place, TickSources
from pc_agent.ticks.tick_lane import TickLane

log = get_logger(__name__)

_LOOK_S = 0.1


class _Carried:
    """A symbol and the lane that has it; None while it is between two."""

    def __init__(self, feed: SymbolFeed) -> None:
        self.feed = feed
        self.lane: TickLane | None = None
        self.leaving = False
        self.shown = True


class TickLanes:
    """Hands each symbol's ticks to the lane that carries it; the sources' listener.

    A symbol is on one lane at a time: it is added to the next one when it is gone from the one before.
    `start_msc`: where a symbol begins that is new to the mesh; None: after now.
    """

    def __init__(
        self,
        lanes: Sequence[TickLane],
        sources: TickSources,
        agent: str,
        start_msc: int | None,
        watch: LaneWatch,
    ) -> None:
        self._lanes = {lane.number: lane for lane in lanes}
        self._sources = sources
        self._agent = agent
        self._start_msc = start_msc
        self._watch = watch
        self._fit = frozenset(self._lanes)
        self._carried: dict[Place, _Carried] = {}
        self._settled = True

    async def run(self) -> None:
        """Keep every symbol where it belongs."""
        while True:
            await asyncio.sleep(_LOOK_S)
            self.look(time.monotonic())

    def look(self, now: float) -> None:
        """See which lanes stand at monotonic `now`, and what that moves."""
        fit = self._watch.look({number: lane.stood_since for number, lane in self._lanes.items()}, now)
        if fit != self._fit:
            self._tell(fit)
            self._fit = fit
            self._settled = False
        if not self._settled:
            self._place()

    @property
    def lanes(self) -> Collection[TickLane]:
        return self._lanes.values()

    @property
    def carried(self) -> Iterable[tuple[SymbolFeed, int]]:
        """Each symbol with the lane that has it; 0: it is between two."""
        return [(one.feed, one.lane.number if one.lane else 0) for one in self._carried.values()]

    def missing(self) -> str:
        """What is not ready, in words; empty: all is."""
        waiting = [str(number) for number in sorted(self._fit) if not self._lanes[number].ready]
        if waiting:
            return f"tick lanes {', '.join(waiting)} have no bridge"
        return "" if self._settled else "symbols are on their way to another lane"

    def carry(self, newest_msc: Mapping[Place, int]) -> None:
        """See `TickListener`."""
        for place, carried in self._carried.items():
            carried.shown = place in newest_msc
        hidden = [place for place, carried in self._carried.items() if not carried.shown]
        opened = newest_msc.keys() - self._carried.keys()
        for server, symbol in opened:
            start = newest_msc[server, symbol] + 1 if self._start_msc is None else self._start_msc
            self._carried[server, symbol] = _Carried(SymbolFeed(server, symbol, self._agent, before(start)))
        self._place()
        if opened or hidden:
            lanes = {
                _title(place): one.lane.number for place, one in self._carried.items() if place in opened and one.lane
            }
            log.info("symbols opened", lanes=lanes, closed=[_title(place) for place in hidden])

    def read_anew(self, places: Collection[Place]) -> None:
        """See `TickListener`."""
        for place in places:
            carried = self._carried.get(place)
            if carried and carried.feed.welcomed:
                self._sources.send(place[0], carried.feed.resume())

    def ticks_read(self, server: str, ticks: TicksRead) -> None:
        """See `TickListener`."""
        carried = self._carried.get((server, ticks.symbol))
        if carried and carried.lane and carried.feed.is_current(ticks.generation):
            columns: dict[str, Any] = {
                name: np.frombuffer(ticks.columns[name], dtype) for name, dtype in COLUMNS.items()
            }
            feed = carried.feed
            feed.offer(Batch(server, ticks.symbol, self._agent, ticks.read_unix_ns, feed.read_last, **columns))
            carried.lane.wake()

    def history_found(self, server: str, found: HistoryFound) -> None:
        """See `TickListener`."""
        carried = self._carried.get((server, found.symbol))
        if carried and carried.lane and carried.feed.is_current(found.generation):
            carried.lane.history_found((server, found.symbol), found.anchor)

    def _place(self) -> None:
        """Bring symbols nearer to where they belong; what has to wait for acknowledgements takes several turns."""
        for place, carried in list(self._carried.items()):
            belongs = self._lanes[carrier_of(*place, self._fit)] if carried.shown else None
            if carried.lane and (carried.leaving or carried.lane is not belongs):
                carried.leaving = not carried.lane.leave(place)
                if not carried.leaving:
                    carried.lane = None
            if carried.lane is None and belongs:
                belongs.add(carried.feed)
                carried.lane = belongs
            elif carried.lane is None:
                del self._carried[place]
        self._settled = not any(carried.leaving for carried in self._carried.values())

    def _tell(self, fit: frozenset[int]) -> None:
        if lost := self._fit - fit:
            log.warning("tick lanes are lost: their symbols move", lanes=sorted(lost), to=sorted(fit))
        if back := fit - self._fit:
            log.info("tick lanes are back: their symbols come home", lanes=sorted(back))


def _title(place: Place) -> str:
    server, symbol = place
    return f"{symbol} at {server}"
