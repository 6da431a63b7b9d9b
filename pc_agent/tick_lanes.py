"""The four tick lanes together: every symbol on the one that its name says."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mesh.log import get_logger
from mesh.market import BEFORE_FIRST, Batch, TickId
from mesh.market.batch import COLUMNS
from pc_agent.domain.lanes import lane_of
from pc_agent.domain.symbol_feed import SymbolFeed
from pc_agent.messages import Connected, HistoryFound, TicksRead
from pc_agent.tick_lane import TickLane
from pc_agent.worker import TerminalWorker

log = get_logger(__name__)

_LAST_ORDINAL = 2**32 - 1


class TickLanes:
    """Hands each symbol's ticks to its lane; the worker's listener."""

    def __init__(self, lanes: Sequence[TickLane], terminal: TerminalWorker, agent: str) -> None:
        self._lanes = {lane.number: lane for lane in lanes}
        self._terminal = terminal
        self._agent = agent
        self._lane_of: dict[str, TickLane] = {}

    def open(self, facts: Connected, start_msc: int | None) -> None:
        """Carry the terminal's symbols. `start_msc`: where one begins that is new to the mesh; None: after now."""
        for symbol in facts.symbols:
            start = _start(symbol.newest_msc + 1 if start_msc is None else start_msc)
            feed = SymbolFeed(facts.account.server, symbol.symbol, self._agent, start)
            lane = self._lanes[lane_of(feed.server, feed.symbol)]
            self._lane_of[feed.symbol] = lane
            lane.add(feed)
        log.info("symbols opened", lanes={symbol: lane.number for symbol, lane in self._lane_of.items()})

    def missing(self) -> str:
        """What is not ready, in words; empty: all is."""
        waiting = [str(number) for number, lane in self._lanes.items() if not lane.ready]
        return f"tick lanes {', '.join(waiting)} have no bridge" if waiting else ""

    def ticks_read(self, ticks: TicksRead) -> None:
        lane = self._lane_of[ticks.symbol]
        feed = lane.feed(ticks.symbol)
        if feed.is_current(ticks.generation):
            columns: dict[str, Any] = {
                name: np.frombuffer(ticks.columns[name], dtype) for name, dtype in COLUMNS.items()
            }
            server, agent, prev = feed.server, self._agent, feed.read_last
            feed.offer(Batch(server, ticks.symbol, agent, ticks.read_unix_ns, prev, **columns))
            lane.wake()

    def history_found(self, found: HistoryFound) -> None:
        lane = self._lane_of[found.symbol]
        if lane.feed(found.symbol).is_current(found.generation):
            lane.history_found(found.symbol, found.anchor)

    def reader_lost(self) -> None:
        for lane in self._lanes.values():
            for feed in lane.feeds:
                if feed.welcomed:
                    self._terminal.send(feed.resume())


def _start(msc: int) -> TickId:
    return TickId(msc - 1, _LAST_ORDINAL) if msc > 0 else BEFORE_FIRST
