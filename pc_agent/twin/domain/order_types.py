"""What the types of orders mean: their side, and which tick they wait for."""

from dataclasses import dataclass

from pc_agent.twin import constants as mt5
from pc_agent.twin.domain.netting import Side
from pc_agent.twin.domain.terms import SYMBOL_ORDER_LIMIT, SYMBOL_ORDER_STOP, SYMBOL_ORDER_STOP_LIMIT
from pc_agent.twin.results import TradeOrder

MARKET = frozenset({mt5.ORDER_TYPE_BUY, mt5.ORDER_TYPE_SELL})
LIMIT = frozenset({mt5.ORDER_TYPE_BUY_LIMIT, mt5.ORDER_TYPE_SELL_LIMIT})
STOP = frozenset({mt5.ORDER_TYPE_BUY_STOP, mt5.ORDER_TYPE_SELL_STOP})
STOP_LIMIT = frozenset({mt5.ORDER_TYPE_BUY_STOP_LIMIT, mt5.ORDER_TYPE_SELL_STOP_LIMIT})
PENDING = LIMIT | STOP | STOP_LIMIT
_BUYS = frozenset(
    {mt5.ORDER_TYPE_BUY, mt5.ORDER_TYPE_BUY_LIMIT, mt5.ORDER_TYPE_BUY_STOP, mt5.ORDER_TYPE_BUY_STOP_LIMIT}
)

MODE_OF = dict.fromkeys(LIMIT, SYMBOL_ORDER_LIMIT) | dict.fromkeys(STOP, SYMBOL_ORDER_STOP)
MODE_OF |= dict.fromkeys(STOP_LIMIT, SYMBOL_ORDER_STOP_LIMIT)

# What a stop-limit is once its stop was met.
LIMIT_OF = {
    mt5.ORDER_TYPE_BUY_STOP_LIMIT: mt5.ORDER_TYPE_BUY_LIMIT,
    mt5.ORDER_TYPE_SELL_STOP_LIMIT: mt5.ORDER_TYPE_SELL_LIMIT,
}


def side_of(order_type: int) -> Side:
    return 1 if order_type in _BUYS else -1


def closing_type(side: Side) -> int:
    """The market order that closes what is held on `side`."""
    return mt5.ORDER_TYPE_SELL if side == 1 else mt5.ORDER_TYPE_BUY


@dataclass(frozen=True)
class Watch:
    """A price to wait for: that of `bid` or else ask, at or under `level` when it `falls`, at or over it when not."""

    bid: bool
    falls: bool
    level: float


def watch_of(order: TradeOrder) -> Watch:
    """What makes a working order happen: buys look at the ask, sells at the bid."""
    buys = side_of(order.type) == 1
    if order.type in MARKET:  # the rest of one that found too little: any tick will do
        return Watch(not buys, buys, float("inf") if buys else float("-inf"))
    # A limit waits for a better price, a stop for a worse.
    return Watch(not buys, buys == (order.type in LIMIT), order.price_open)
