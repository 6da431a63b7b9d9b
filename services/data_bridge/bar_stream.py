"""Bars of live ticks: the forming one complete from its start, each closed one once."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mesh.market.bars import DAY_MS, BarBuilder, Bars, Cut, TimeCut
from services.data_bridge.domain.progress import SymbolKey
from services.data_bridge.subscription import Portion, Subscription
from services.data_bridge.tick_message import TickMessage


class SymbolBars(NamedTuple):
    key: SymbolKey
    bars: Bars


@dataclass(frozen=True, slots=True)
class BarTerms:
    """What a subscriber wants: bars that open at `from_msc` or later, growing ones at most once in `interval_s`."""

    cut: Cut
    from_msc: int
    closed_only: bool
    interval_s: float


class BarStream:
    """The bars of what a subscription gives."""

    def __init__(self, subscription: Subscription, terms: BarTerms) -> None:
        self._subscription = subscription
        self._terms = terms
        self._builders: dict[SymbolKey, BarBuilder] = {}
        self._replaying: set[SymbolKey] = set()
        # Grown since it was last sent.
        self._forming: dict[SymbolKey, Bars] = {}
        self._next_at = 0.0

    def replay(self, key: SymbolKey, time_msc: int) -> None:
        """Begin with the bar that holds `time_msc`; before the first `read`."""
        self._subscription.replay(key, bar_start(self._terms.cut, time_msc))
        self._replaying.add(key)

    async def read(self) -> list[SymbolBars]:
        """The next bars, those of one symbol in order; waits for them. Raises what `Subscription.read` raises."""
        found: list[SymbolBars] = []
        while not found:
            portion = await self._subscription.read(self._patience_s())
            found = [*self._closed(portion), *self._grown()]
        return found

    def _closed(self, portion: Portion) -> Iterator[SymbolBars]:
        for message in portion.messages:
            if message.ticks:
                bars = self._add(message)
                if len(bars):
                    yield SymbolBars(message.key, bars)
        self._replaying.difference_update(portion.live)

    def _add(self, message: TickMessage) -> Bars:
        """What closes with these ticks."""
        builder = self._builders.setdefault(message.key, BarBuilder(self._terms.cut))
        bars = builder.add(message.decode())
        early = int(np.searchsorted(bars.open_msc, self._terms.from_msc))
        closed, forming = bars.slice(early, bars.closed), bars.slice(max(early, bars.closed), len(bars))
        if len(forming):
            self._forming[message.key] = forming
        elif len(bars):
            self._forming.pop(message.key, None)
        return closed

    def _grown(self) -> list[SymbolBars]:
        """Forming bars, when it is time for them; of symbols that are being replayed none."""
        if self._terms.closed_only or (now := asyncio.get_running_loop().time()) < self._next_at:
            return []
        ready = [key for key in self._forming if key not in self._replaying]
        if ready:
            self._next_at = now + self._terms.interval_s
        return [SymbolBars(key, self._forming.pop(key)) for key in ready]

    def _patience_s(self) -> float | None:
        if self._terms.closed_only or self._forming.keys() <= self._replaying:
            return None
        return max(0.0, self._next_at - asyncio.get_running_loop().time())


def bar_start(cut: Cut, time_msc: int) -> int:
    """The time from which on ticks are needed for the bar that holds `time_msc`."""
    if isinstance(cut, TimeCut):
        return int(cut.opened(np.array([time_msc]))[0])
    return time_msc // DAY_MS * DAY_MS
