"""The day of a symbol so far: where it opened, its highest and lowest, what it closed at the day before."""

from dataclasses import dataclass

from pc_agent.twin.domain.ticks import Ticks, first_at
from pc_agent.twin.market import Market

_DAY_MS = 86_400_000


@dataclass
class DayRange:
    """By the ticks' own time; 0: there was none."""

    begin_msc: int
    generation: int
    close_before: float
    seen: int  # ticks of the history that are in
    open: float = 0.0
    bid: float = 0.0
    bid_high: float = 0.0
    bid_low: float = 0.0
    ask_high: float = 0.0
    ask_low: float = 0.0

    @property
    def change_percent(self) -> float:
        """From the close of the day before to the newest bid."""
        return (self.bid / self.close_before - 1) * 100 if self.close_before and self.bid else 0.0

    def add(self, fresh: Ticks) -> None:
        """Ticks of the day, each once."""
        if not len(fresh):
            return
        bids, asks = fresh["bid"], fresh["ask"]
        self.open, self.bid = self.open or float(bids[0]), float(bids[-1])
        self.bid_high = max(self.bid_high, float(bids.max()))
        self.ask_high = max(self.ask_high, float(asks.max()))
        self.bid_low = min(self.bid_low or float(bids[0]), float(bids.min()))
        self.ask_low = min(self.ask_low or float(asks[0]), float(asks.min()))


class DayRanges:
    """Looks only at what came since it was asked last, unless the history was changed."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._ranges: dict[str, DayRange] = {}

    def of(self, symbol: str) -> DayRange | None:
        """None before the first tick."""
        ticks, generation = self._market.ticks(symbol), self._market.generation(symbol)
        if not len(ticks):
            return None
        begin = int(ticks[-1]["time_msc"]) // _DAY_MS * _DAY_MS
        day = self._ranges.get(symbol)
        if day is None or (day.begin_msc, day.generation) != (begin, generation):
            first = first_at(ticks, begin)
            day = DayRange(begin, generation, float(ticks[first - 1]["bid"]) if first else 0.0, first)
            self._ranges[symbol] = day
        day.add(ticks[day.seen :])
        day.seen = len(ticks)
        return day
