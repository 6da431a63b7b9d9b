"""Keeps what the markets are like, from the ticks that pass on their way to the lanes."""

import asyncio
import time
from typing import Any

import numpy as np

from mesh.clock import unix_ms
from mesh.market.batch import COLUMNS
from pc_agent.domain.conditions import Conditions, NewTicks, SymbolMarket
from pc_agent.terminal.messages import TicksRead
from pc_agent.ticks.sources import Place

_LOOK_S = 1.0
# Put aside of a symbol before it is counted, whatever the time: a page of ticks, or so many messages, which are joined
# in a fraction of a millisecond.
_MOST_WAITING = 4_000
_MOST_PARTS = 256
_COLUMNS = ("time_msc", "ordinal", "bid", "ask")
# Symbols counted before an order may go between.
_AT_ONCE = 8


class _Waiting:
    """Ticks of a symbol that came and are not counted yet."""

    __slots__ = ("at_ns", "count", "has_moved", "is_newest", "parts")

    def __init__(self) -> None:
        self.parts: list[dict[str, bytes]] = []
        self.count = self.at_ns = 0
        self.is_newest = self.has_moved = False


class MarketMonitor:
    """Of every (server, symbol) that is read. What comes is put aside, which costs a microsecond, and counted together
    once a second, or when somebody asks.

    Memory: 5 kB a symbol, and a page of ticks at most.
    """

    def __init__(self) -> None:
        self._markets: dict[Place, SymbolMarket] = {}
        self._waiting: dict[Place, _Waiting] = {}

    # what passes (`ticks.sources.TickWatcher`)

    def reading(self, place: Place, is_read: bool) -> None:
        """See `TickWatcher`."""
        self._settle(place)
        self._market(place).read(is_read)

    def ticks_read(self, server: str, ticks: TicksRead) -> None:
        """See `TickWatcher`."""
        place = server, ticks.symbol
        waiting = self._waiting.get(place)
        if waiting is None:
            waiting = self._waiting[place] = _Waiting()
        waiting.parts.append(ticks.columns)
        waiting.has_moved |= waiting.is_newest
        waiting.count += len(ticks.columns["time_msc"]) // 8
        waiting.at_ns, waiting.is_newest = time.monotonic_ns(), ticks.is_newest
        if waiting.count >= _MOST_WAITING or len(waiting.parts) >= _MOST_PARTS:
            self._settle(place)

    async def run(self) -> None:
        """Count, for ever."""
        while True:
            await asyncio.sleep(_LOOK_S)
            for number, place in enumerate(list(self._waiting), 1):
                self._settle(place)
                if not number % _AT_ONCE:
                    await asyncio.sleep(0)

    # what is asked

    def newest_msc(self, place: Place) -> int:
        """Time of the newest tick that was seen; 0: none was."""
        self._settle(place)
        market = self._markets.get(place)
        return market.newest_msc if market else 0

    def day_end_ms(self, place: Place, server_msc: int) -> int:
        """When its quotes of that day end, by the trade server's clock: see `Week`."""
        self._settle(place)
        return self._market(place).day_end_ms(server_msc)

    def conditions(self, place: Place, point: float, trade_mode: int) -> Conditions | None:
        """At this moment; None: no tick of it was seen."""
        self._settle(place)
        market = self._markets.get(place)
        if market is None or not market.is_known:
            return None
        return market.conditions(point, trade_mode, time.monotonic_ns(), unix_ms())

    def answered(self, place: Place, is_closed: bool) -> None:
        """The broker took an order on it, or answered that its market is closed."""
        self._market(place).answered(is_closed, time.monotonic_ns())

    def _market(self, place: Place) -> SymbolMarket:
        return self._markets.setdefault(place, SymbolMarket())

    def _settle(self, place: Place) -> None:
        waiting = self._waiting.pop(place, None)
        if waiting is None:
            return
        columns: dict[str, Any] = {
            name: np.frombuffer(b"".join(part[name] for part in waiting.parts), COLUMNS[name]) for name in _COLUMNS
        }
        self._market(place).take(
            NewTicks(**columns, at_ns=waiting.at_ns, is_newest=waiting.is_newest, has_moved=waiting.has_moved)
        )
