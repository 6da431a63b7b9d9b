"""How a broker judges a market order (TRADE_ACTION_DEAL)."""

import math

from pc_agent.twin import constants as mt5
from pc_agent.twin.domain.netting import Side
from pc_agent.twin.domain.order_types import MARKET, PENDING, side_of
from pc_agent.twin.domain.retcode_words import TRADE_RETCODE_HEDGE_PROHIBITED
from pc_agent.twin.domain.situation import Situation, exposure
from pc_agent.twin.domain.symbol_rules import (
    direction_refusal,
    expiration_is_valid,
    filling_is_valid,
    is_frozen,
    market_is_open,
    stops_are_allowed,
    stops_refusal,
    symbol_is_traded,
    volume_is_valid,
)
from pc_agent.twin.domain.terms import SYMBOL_ORDER_MARKET
from pc_agent.twin.results import TradePosition


def _type(s: Situation) -> int:
    if s.request.type in PENDING or not s.terms.order_mode & SYMBOL_ORDER_MARKET:
        return mt5.TRADE_RETCODE_INVALID_ORDER
    return 0 if s.request.type in MARKET else mt5.TRADE_RETCODE_INVALID


def _price(s: Situation) -> int:
    return 0 if math.isfinite(s.request.price) else mt5.TRADE_RETCODE_INVALID_PRICE


def _requote(s: Situation) -> int:
    """Only who executes at the price that was asked for refuses another: in market execution it is ignored."""
    if s.terms.trade_exemode not in (mt5.SYMBOL_TRADE_EXECUTION_REQUEST, mt5.SYMBOL_TRADE_EXECUTION_INSTANT):
        return 0
    if s.request.price <= 0:
        return mt5.TRADE_RETCODE_INVALID_PRICE
    away = abs(s.points(s.request.price, s.price(s.side)))
    return mt5.TRADE_RETCODE_REQUOTE if away > s.request.deviation else 0


def _stops(s: Situation) -> int:
    """They are held against the price at which the position would be closed."""
    return stops_refusal(s, s.side, s.price(-1 if s.side == 1 else 1))


def _named_position(s: Situation) -> int:
    """A request that names a position closes it, or a part of it, and nothing else."""
    if not s.request.position:
        return 0
    held = s.held
    if held is None:
        return mt5.TRADE_RETCODE_POSITION_CLOSED
    if s.netted().opened:
        return mt5.TRADE_RETCODE_INVALID_CLOSE_VOLUME
    if closing_volume(s, held) + s.request.volume > held.volume + 1e-9:
        return mt5.TRADE_RETCODE_CLOSE_ORDER_EXIST
    older = [one for one in s.positions if one.type == held.type and one.ticket < held.ticket]
    if s.account.is_hedging and s.account.fifo_close and older:
        return mt5.TRADE_RETCODE_FIFO_CLOSE
    market = s.price(s.side)
    if is_frozen(s, held.sl, market) or is_frozen(s, held.tp, market):
        return mt5.TRADE_RETCODE_FROZEN
    return 0


def closing_volume(s: Situation, held: TradePosition) -> float:
    """Lots of the position that orders close which wait for liquidity; only a hedging account has such orders."""
    if not s.account.is_hedging:
        return 0.0
    closes = (order for order in s.orders if order.type in MARKET and order.ticket != held.ticket)
    return sum(order.volume_current for order in closes if order.position_id == held.identifier)


def _opening(s: Situation) -> int:
    """What is asked only of what opens or enlarges a position."""
    opened = s.netted().opened
    if not opened:
        return 0
    if refused := direction_refusal(s, s.side):
        return refused
    if s.account.is_hedging and s.account.hedge_prohibited and any(exposure(p).side != s.side for p in s.positions):
        return TRADE_RETCODE_HEDGE_PROHIBITED
    opens_another = s.account.is_hedging or not s.positions
    if opens_another and s.account.limit_positions and s.all_positions >= s.account.limit_positions:
        return mt5.TRADE_RETCODE_LIMIT_POSITIONS
    return volume_limit_refusal(s, s.side, opened)


def volume_limit_refusal(s: Situation, side: Side, volume: float) -> int:
    """Positions and pending orders of one direction count together."""
    if not s.terms.volume_limit:
        return 0
    held = sum(position.volume for position in s.positions if exposure(position).side == side)
    waits = sum(order.volume_current for order in s.orders if side_of(order.type) == side)
    return 0 if held + waits + volume <= s.terms.volume_limit + 1e-9 else mt5.TRADE_RETCODE_LIMIT_VOLUME


DEAL_RULES = (
    _type,
    volume_is_valid,
    _price,
    expiration_is_valid,
    filling_is_valid,
    symbol_is_traded,
    market_is_open,
    stops_are_allowed,
    _stops,
    _named_position,
    _requote,
    _opening,
)
