"""All positions of one symbol, added up: what equity and margin need to know of them."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pc_agent.twin import constants as mt5
from pc_agent.twin.domain.netting import LOT_PLACES, Exposure
from pc_agent.twin.results import TradePosition

Price = TypeVar("Price", float, NDArray[np.float64])


@dataclass(frozen=True)
class Holding:
    """Lots, and lots times the price they were opened at, bought and sold; the swaps in the account's currency."""

    bought: float = 0.0
    bought_worth: float = 0.0
    sold: float = 0.0
    sold_worth: float = 0.0
    swap: float = 0.0

    def points(self, bid: Price, ask: Price) -> Price:
        """What closing all of it would earn, in lots times price."""
        return self.bought * bid - self.bought_worth + self.sold_worth - self.sold * ask

    def changed(self, before: Exposure | None, after: Exposure | None) -> "Holding":
        """With `after` in place of `before`."""
        return self._plus(before, -1)._plus(after, 1)

    def _plus(self, one: Exposure | None, sign: int) -> "Holding":
        if one is None:
            return self
        lots, worth = sign * one.volume, sign * one.volume * one.price
        if one.side == 1:
            return replace(self, bought=round(self.bought + lots, LOT_PLACES), bought_worth=self.bought_worth + worth)
        return replace(self, sold=round(self.sold + lots, LOT_PLACES), sold_worth=self.sold_worth + worth)


def holding(positions: Iterable[TradePosition]) -> Holding:
    """Of one symbol's positions."""
    lots, worth, swap = [0.0, 0.0], [0.0, 0.0], 0.0  # by POSITION_TYPE_*
    for position in positions:
        lots[position.type] += position.volume
        worth[position.type] += position.volume * position.price_open
        swap += position.swap
    buy, sell = mt5.POSITION_TYPE_BUY, mt5.POSITION_TYPE_SELL
    return Holding(round(lots[buy], LOT_PLACES), worth[buy], round(lots[sell], LOT_PLACES), worth[sell], swap)
