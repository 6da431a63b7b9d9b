"""Closing a position by one that faces it: two deals, neither of them at the market's price."""

from pc_agent.twin import constants as mt5
from pc_agent.twin.domain.dealing import Change, ended, new_order, swap_share
from pc_agent.twin.domain.instrument import profit
from pc_agent.twin.domain.netting import LOT_PLACES
from pc_agent.twin.domain.order_types import closing_type
from pc_agent.twin.domain.situation import Situation, exposure
from pc_agent.twin.results import TradeDeal, TradeOrder, TradePosition


def close_by(
    s: Situation, one: TradePosition, other: TradePosition, quote_rate: float, tickets: tuple[int, int]
) -> Change:
    """`tickets` are those of the order and of its first deal."""
    (order_ticket, deal_ticket), time_msc = tickets, s.now_msc
    volume = min(one.volume, other.volume)
    asked = s.request._replace(symbol=one.symbol, volume=volume, type=mt5.ORDER_TYPE_CLOSE_BY, price=other.price_open)
    order = new_order(asked, order_ticket, time_msc, s.reason, one.identifier)
    order = order._replace(position_by_id=other.identifier, volume_current=0.0, price_current=other.price_open)
    side = exposure(one).side
    earned = profit(s.what, side, volume, one.price_open, other.price_open, quote_rate)
    # The first deal earns what lies between the two; the second ends the other position where it began.
    deals = (
        _deal(order, one, deal_ticket, volume, earned, time_msc),
        _deal(order, other, deal_ticket + 1, volume, 0.0, time_msc),
    )
    return Change(
        done=(ended(order, mt5.ORDER_STATE_FILLED, time_msc),),
        deals=deals,
        positions=tuple(_reduced(p, volume, time_msc) for p in (one, other) if p.volume > volume),
        closed=tuple(p.ticket for p in (one, other) if p.volume <= volume),
    )


def _deal(
    order: TradeOrder, held: TradePosition, ticket: int, volume: float, earned: float, time_msc: int
) -> TradeDeal:
    return TradeDeal(
        ticket=ticket,
        order=order.ticket,
        time=time_msc // 1000,
        time_msc=time_msc,
        type=closing_type(exposure(held).side),
        entry=mt5.DEAL_ENTRY_OUT_BY,
        magic=order.magic,
        position_id=held.identifier,
        reason=order.reason,
        volume=volume,
        price=order.price_open,
        commission=0.0,
        swap=swap_share(held, volume),
        profit=earned,
        fee=0.0,
        symbol=held.symbol,
        comment=order.comment,
        external_id="",
    )


def _reduced(held: TradePosition, volume: float, time_msc: int) -> TradePosition:
    return held._replace(
        volume=round(held.volume - volume, LOT_PLACES),
        swap=round(held.swap - swap_share(held, volume), 2),
        time_update=time_msc // 1000,
        time_update_msc=time_msc,
    )
