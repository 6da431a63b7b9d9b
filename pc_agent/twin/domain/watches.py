"""Which tick is the first that reaches any of many prices: orders that wait, stops of positions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from pc_agent.twin.constants import POSITION_TYPE_BUY
from pc_agent.twin.domain.order_types import Watch, watch_of
from pc_agent.twin.domain.ticks import Ticks
from pc_agent.twin.results import TradeOrder, TradePosition


class Cause(Enum):
    """What a touch means; of one tick the first of these counts."""

    STOP_LOSS = 0
    TAKE_PROFIT = 1
    ORDER = 2


@dataclass(frozen=True)
class Touch:
    """The tick at `index` reached what `ticket` (an order's or a position's) waits for."""

    index: int
    cause: Cause
    ticket: int


class Prices:
    """A batch of ticks as columns, with the extremes that tell at once what it can not have reached."""

    def __init__(self, ticks: Ticks) -> None:
        self.bids: NDArray[np.float64] = np.ascontiguousarray(ticks["bid"])
        self.asks: NDArray[np.float64] = np.ascontiguousarray(ticks["ask"])

    def __len__(self) -> int:
        return len(self.bids)

    def quote(self, index: int) -> tuple[float, float]:
        return float(self.bids[index]), float(self.asks[index])


class Watches:
    """Every price that something of one symbol waits for, as columns."""

    def __init__(self, orders: Iterable[TradeOrder], positions: Iterable[TradePosition]) -> None:
        self._rows = [(watch_of(order), Cause.ORDER, order.ticket) for order in orders]
        for position in positions:
            # A position is closed at the other side's price: bought at the ask, sold back at the bid.
            bought = position.type == POSITION_TYPE_BUY
            if position.sl:
                self._rows.append((Watch(bought, bought, position.sl), Cause.STOP_LOSS, position.ticket))
            if position.tp:
                self._rows.append((Watch(bought, not bought, position.tp), Cause.TAKE_PROFIT, position.ticket))
        self._rows.sort(key=lambda row: (row[1].value, row[2]))
        watches = [watch for watch, _, _ in self._rows]
        self._bid = np.array([watch.bid for watch in watches], np.bool_)
        self._falls = np.array([watch.falls for watch in watches], np.bool_)
        self._level = np.array([watch.level for watch in watches], np.float64)

    def __len__(self) -> int:
        return len(self._rows)

    def first(self, prices: Prices, start: int, not_before: Mapping[int, int]) -> Touch | None:
        """The first touch at or after `start`; a ticket in `not_before` is blind until that index."""
        if not self._rows or start >= len(prices):
            return None
        first: Touch | None = None
        for row in self._reached(prices, start):
            watch, cause, ticket = self._rows[row]
            begin = max(start, not_before.get(ticket, 0))
            # No further than what was found: of the same tick the earlier row counts.
            index = _first_index(watch, prices, begin, first.index if first else len(prices))
            if index is not None:
                first = Touch(index, cause, ticket)
        return first

    def _reached(self, prices: Prices, start: int) -> list[int]:
        bids, asks = prices.bids[start:], prices.asks[start:]
        lowest = np.where(self._bid, bids.min(), asks.min())
        highest = np.where(self._bid, bids.max(), asks.max())
        reached = np.where(self._falls, lowest <= self._level, highest >= self._level)
        return [int(row) for row in np.flatnonzero(reached)]


def _first_index(watch: Watch, prices: Prices, begin: int, end: int) -> int | None:
    column = (prices.bids if watch.bid else prices.asks)[begin:end]
    touched = column <= watch.level if watch.falls else column >= watch.level
    if not touched.any():
        return None
    return begin + int(touched.argmax())
