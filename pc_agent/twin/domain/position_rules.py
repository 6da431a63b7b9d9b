"""How a broker judges changes of positions: their stops (TRADE_ACTION_SLTP), and closing one by another."""

from pc_agent.twin import constants as mt5
from pc_agent.twin.domain.deal_rules import closing_volume
from pc_agent.twin.domain.netting import Side
from pc_agent.twin.domain.situation import Situation, exposure
from pc_agent.twin.domain.symbol_rules import (
    is_frozen,
    market_is_open,
    stops_are_allowed,
    stops_refusal,
    symbol_is_traded,
)
from pc_agent.twin.domain.terms import SYMBOL_ORDER_CLOSEBY


def _is_held(s: Situation) -> int:
    return 0 if s.held is not None else mt5.TRADE_RETCODE_POSITION_CLOSED


def _closing_side(s: Situation) -> Side:
    assert s.held is not None
    return -1 if exposure(s.held).side == 1 else 1


def _is_thawed(s: Situation) -> int:
    held, market = s.held, s.price(_closing_side(s))
    assert held is not None
    frozen = is_frozen(s, held.sl, market) or is_frozen(s, held.tp, market)
    return mt5.TRADE_RETCODE_FROZEN if frozen else 0


def _changes_something(s: Situation) -> int:
    held = s.held
    assert held is not None
    return 0 if (s.request.sl, s.request.tp) != (held.sl, held.tp) else mt5.TRADE_RETCODE_NO_CHANGES


def _stops(s: Situation) -> int:
    closes = _closing_side(s)
    return stops_refusal(s, -1 if closes == 1 else 1, s.price(closes))


SLTP_RULES = (symbol_is_traded, market_is_open, _is_held, _changes_something, stops_are_allowed, _stops, _is_thawed)


def _can_close_by(s: Situation) -> int:
    """Two positions of a hedging account that face each other."""
    if not s.account.is_hedging or not s.terms.order_mode & SYMBOL_ORDER_CLOSEBY:
        return mt5.TRADE_RETCODE_INVALID_ORDER
    one, other = s.position(s.request.position), s.position(s.request.position_by)
    if one is None or other is None:
        return mt5.TRADE_RETCODE_POSITION_CLOSED
    if one.type == other.type:
        return mt5.TRADE_RETCODE_INVALID
    if closing_volume(s, one) or closing_volume(s, other):
        return mt5.TRADE_RETCODE_CLOSE_ORDER_EXIST
    for closed in (one, other):
        older = any(p.type == closed.type and p.ticket < closed.ticket for p in s.positions)
        if s.account.fifo_close and older:
            return mt5.TRADE_RETCODE_FIFO_CLOSE
    return 0


CLOSE_BY_RULES = (symbol_is_traded, market_is_open, _can_close_by)
