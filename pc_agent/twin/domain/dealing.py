"""What an executed order leaves in the books."""

from dataclasses import dataclass

from pc_agent.twin import constants as mt5
from pc_agent.twin.domain.expiration import expires_at
from pc_agent.twin.domain.instrument import Instrument, profit
from pc_agent.twin.domain.netting import LOT_PLACES, Netted, net
from pc_agent.twin.domain.order_types import side_of
from pc_agent.twin.domain.situation import exposure
from pc_agent.twin.results import TradeDeal, TradeOrder, TradePosition, TradeRequest


@dataclass(frozen=True)
class Change:
    """What happens to the books, whole or not at all."""

    done: tuple[TradeOrder, ...] = ()  # orders that are history now, whether they waited before or not
    working: tuple[TradeOrder, ...] = ()  # orders that wait, new or changed
    deals: tuple[TradeDeal, ...] = ()
    positions: tuple[TradePosition, ...] = ()  # new or changed
    closed: tuple[int, ...] = ()  # tickets of positions that are gone


@dataclass(frozen=True)
class Fill:
    """An order, or a part of it, that becomes a deal; `keeps_rest`: what is not filled goes on waiting."""

    order: TradeOrder
    volume: float
    price: float
    held: TradePosition | None  # what it is netted with
    what: Instrument
    quote_rate: float
    commission: float  # for a lot
    keeps_rest: bool = False


def new_order(
    request: TradeRequest, ticket: int, time_msc: int, reason: int = mt5.ORDER_REASON_EXPERT, position_id: int = 0
) -> TradeOrder:
    """As it reaches the server."""
    return TradeOrder(
        ticket=ticket,
        time_setup=time_msc // 1000,
        time_setup_msc=time_msc,
        time_done=0,
        time_done_msc=0,
        time_expiration=expires_at(request.type_time, request.expiration, time_msc // 1000),
        type=request.type,
        type_time=request.type_time,
        type_filling=request.type_filling,
        state=mt5.ORDER_STATE_PLACED,
        magic=request.magic,
        position_id=position_id,
        position_by_id=0,
        reason=reason,
        volume_initial=request.volume,
        volume_current=request.volume,
        price_open=request.price,
        sl=request.sl,
        tp=request.tp,
        price_current=0.0,
        price_stoplimit=request.stoplimit,
        symbol=request.symbol,
        comment=request.comment,
        external_id="",
    )


def ended(order: TradeOrder, state: int, time_msc: int) -> TradeOrder:
    """As history shows it."""
    return order._replace(state=state, time_done=time_msc // 1000, time_done_msc=time_msc)


def fill(one: Fill, deal_ticket: int, time_msc: int) -> Change:
    """Deal `one.volume` lots of the order into what is held."""
    order, held = one.order, one.held
    side = side_of(order.type)
    netted = net(exposure(held) if held is not None else None, side, one.volume, one.price)
    # A deal that closes belongs to the position it closes, also when that is gone now.
    position_id = held.identifier if held is not None else order.ticket
    rest = round(order.volume_current - one.volume, LOT_PLACES)
    filled = order._replace(
        position_id=position_id,
        volume_current=rest,
        price_current=one.price,
        state=mt5.ORDER_STATE_PARTIAL if rest else mt5.ORDER_STATE_FILLED,
    )
    waits = rest > 0 and one.keeps_rest
    position = _position_after(one, netted, time_msc)
    is_gone = held is not None and (position is None or position.ticket != held.ticket)
    return Change(
        done=() if waits else (ended(filled, filled.state, time_msc),),
        working=(filled,) if waits else (),
        deals=(_deal(one, netted, deal_ticket, time_msc, position_id),),
        positions=() if position is None else (position,),
        closed=(held.ticket,) if held is not None and is_gone else (),
    )


def _deal(one: Fill, netted: Netted, ticket: int, time_msc: int, position_id: int) -> TradeDeal:
    order, held, side = one.order, one.held, side_of(one.order.type)
    earned, swap = 0.0, 0.0
    if held is not None and netted.closed:
        earned = profit(one.what, -side, netted.closed, held.price_open, one.price, one.quote_rate)
        swap = swap_share(held, netted.closed)
    return TradeDeal(
        ticket=ticket,
        order=order.ticket,
        time=time_msc // 1000,
        time_msc=time_msc,
        type=mt5.DEAL_TYPE_BUY if side == 1 else mt5.DEAL_TYPE_SELL,
        entry=mt5.DEAL_ENTRY_IN if not netted.closed else mt5.DEAL_ENTRY_INOUT if netted.opened else mt5.DEAL_ENTRY_OUT,
        magic=order.magic,
        position_id=position_id,
        reason=order.reason,  # orders and deals number their reasons alike
        volume=one.volume,
        price=one.price,
        commission=commission(one.commission, one.volume),
        swap=swap,
        profit=earned,
        fee=0.0,
        symbol=order.symbol,
        comment=order.comment,
        external_id="",
    )


def commission(for_a_lot: float, volume: float) -> float:
    return round(-for_a_lot * volume, 2) if for_a_lot else 0.0


def swap_share(held: TradePosition, closed: float) -> float:
    """The swap that goes with the lots that are closed."""
    return round(held.swap * min(closed / held.volume, 1.0), 2)


def _position_after(one: Fill, netted: Netted, time_msc: int) -> TradePosition | None:
    order, held, after = one.order, one.held, netted.after
    if after is None:
        return None
    if held is None or (netted.closed and netted.opened):
        return _new_position(one, netted, time_msc)
    return held._replace(
        time_update=time_msc // 1000,
        time_update_msc=time_msc,
        volume=after.volume,
        price_open=after.price,
        swap=round(held.swap - swap_share(held, netted.closed), 2),
        # An order that adds brings its stops; one without stops leaves the position's.
        sl=(netted.opened and order.sl) or held.sl,
        tp=(netted.opened and order.tp) or held.tp,
    )


def _new_position(one: Fill, netted: Netted, time_msc: int) -> TradePosition:
    order, held, after = one.order, one.held, netted.after
    assert after is not None
    seconds = time_msc // 1000
    return TradePosition(
        ticket=order.ticket,
        time=seconds,
        time_msc=time_msc,
        time_update=seconds,
        time_update_msc=time_msc,
        type=mt5.POSITION_TYPE_BUY if after.side == 1 else mt5.POSITION_TYPE_SELL,
        magic=order.magic,
        identifier=held.identifier if held is not None else order.ticket,  # a reversal changes the ticket only
        reason=order.reason,
        volume=after.volume,
        price_open=after.price,
        sl=order.sl,
        tp=order.tp,
        price_current=one.price,
        swap=0.0,
        profit=0.0,
        symbol=order.symbol,
        comment=order.comment,
        external_id="",
    )
