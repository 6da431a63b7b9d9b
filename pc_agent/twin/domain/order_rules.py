"""How a broker judges pending orders: placing them (TRADE_ACTION_PENDING), changing and removing them."""

import math

from pc_agent.twin import constants as mt5
from pc_agent.twin.domain.deal_rules import volume_limit_refusal
from pc_agent.twin.domain.expiration import expires_at
from pc_agent.twin.domain.order_types import LIMIT, MARKET, MODE_OF, PENDING, STOP_LIMIT, side_of
from pc_agent.twin.domain.situation import Situation
from pc_agent.twin.domain.symbol_rules import (
    direction_refusal,
    expiration_is_valid,
    filling_is_valid,
    is_beyond,
    is_frozen,
    is_on_grid,
    market_is_open,
    stops_are_allowed,
    stops_refusal,
    symbol_is_traded,
    volume_is_valid,
)


def _type(s: Situation) -> int:
    if s.request.type not in PENDING:
        return mt5.TRADE_RETCODE_INVALID_ORDER if s.request.type in MARKET else mt5.TRADE_RETCODE_INVALID
    return 0 if s.terms.order_mode & MODE_OF[s.request.type] else mt5.TRADE_RETCODE_INVALID_ORDER


def _prices(s: Situation) -> int:
    """A limit waits at a better price than the market's, a stop at a worse one; a stop-limit's limit is better than
    its stop."""
    request, refused = s.request, mt5.TRADE_RETCODE_INVALID_PRICE
    given = (request.price, request.stoplimit) if request.type in STOP_LIMIT else (request.price,)
    if not all(math.isfinite(price) and price > 0 and is_on_grid(s, price) for price in given):
        return refused
    better = -s.side  # a buyer's better price is lower
    direction = better if request.type in LIMIT else -better
    if not is_beyond(s, request.price, s.price(s.side), direction):
        return refused
    if request.type in STOP_LIMIT and not is_beyond(s, request.stoplimit, request.price, better):
        return refused
    return 0


def _stops(s: Situation) -> int:
    """They are held against the price at which the order would be filled."""
    return stops_refusal(s, s.side, s.request.stoplimit if s.request.type in STOP_LIMIT else s.request.price)


def _limits(s: Situation) -> int:
    if s.account.limit_orders and s.all_orders >= s.account.limit_orders:
        return mt5.TRADE_RETCODE_LIMIT_ORDERS
    return direction_refusal(s, s.side) or volume_limit_refusal(s, s.side, s.request.volume)


PLACE_RULES = (
    _type,
    volume_is_valid,
    expiration_is_valid,
    filling_is_valid,
    symbol_is_traded,
    market_is_open,
    _prices,
    stops_are_allowed,
    _stops,
    _limits,
)


def _is_pending(s: Situation) -> int:
    return 0 if s.request.type in PENDING else mt5.TRADE_RETCODE_INVALID


def _is_thawed(s: Situation) -> int:
    order = s.order(s.request.order)
    assert order is not None
    return mt5.TRADE_RETCODE_FROZEN if is_frozen(s, order.price_open, s.price(side_of(order.type))) else 0


def _changes_something(s: Situation) -> int:
    order, request = s.order(s.request.order), s.request
    assert order is not None
    asked = (
        request.price, request.stoplimit, request.sl, request.tp, request.type_time,
        expires_at(request.type_time, request.expiration, s.now_s),
    )  # fmt: skip
    has = order.price_open, order.price_stoplimit, order.sl, order.tp, order.type_time, order.time_expiration
    return 0 if asked != has else mt5.TRADE_RETCODE_NO_CHANGES


# The request bears symbol, type and volume of the order that it changes: one that waits.
MODIFY_RULES = (
    expiration_is_valid,
    symbol_is_traded,
    market_is_open,
    _is_pending,
    _is_thawed,
    _prices,
    stops_are_allowed,
    _stops,
    _changes_something,
)
REMOVE_RULES = (symbol_is_traded, market_is_open, _is_thawed)
