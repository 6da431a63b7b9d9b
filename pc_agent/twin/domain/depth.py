"""The depth of market: what a broker that quotes shows beside its two prices."""

from typing import Any

from pc_agent.twin import constants as mt5
from pc_agent.twin.results import BookInfo

LEVELS = 5
# Lots at the best price; each level further away holds as much again.
_LOTS = 10.0


def depth(tick: Any, point: float) -> tuple[BookInfo, ...]:
    """Offers from the highest down to the ask, then bids from the best down, a point apart; nothing for a side that
    has no price."""
    offers = [_level(mt5.BOOK_TYPE_SELL, float(tick["ask"]), place, point) for place in reversed(range(LEVELS))]
    bids = [_level(mt5.BOOK_TYPE_BUY, float(tick["bid"]), place, -point) for place in range(LEVELS)]
    return tuple(level for level in (*offers, *bids) if level.price > 0)


def _level(kind: int, best: float, place: int, step: float) -> BookInfo:
    lots = _LOTS * (place + 1)
    price = round(best + place * step, 10) if best > 0 else 0.0
    return BookInfo(kind, price, int(lots), lots)
