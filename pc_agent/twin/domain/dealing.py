"""How a broker's server judges a market order, and what an executed one leaves in the books."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from pc_agent.twin import constants as mt5
from pc_agent.twin.domain.instrument import SUPPORTED_FILLINGS, Instrument, Quote, profit, volume_is_valid
from pc_agent.twin.domain.netting import Exposure, Netted, Side, net
from pc_agent.twin.domain.stops import stops_are_valid
from pc_agent.twin.results import TradeDeal, TradeOrder, TradePosition, TradeRequest

_EXPIRATIONS = range(mt5.ORDER_TIME_GTC, mt5.ORDER_TIME_SPECIFIED_DAY + 1)
_PENDING_TYPES = range(mt5.ORDER_TYPE_BUY_LIMIT, mt5.ORDER_TYPE_SELL_STOP_LIMIT + 1)

RETCODE_WORDS = {
    mt5.TRADE_RETCODE_DONE: "Request executed",
    mt5.TRADE_RETCODE_INVALID: "Invalid request",
    mt5.TRADE_RETCODE_INVALID_VOLUME: "Invalid volume",
    mt5.TRADE_RETCODE_INVALID_PRICE: "Invalid price",
    mt5.TRADE_RETCODE_INVALID_STOPS: "Invalid stops",
    mt5.TRADE_RETCODE_TRADE_DISABLED: "Trade is disabled",
    mt5.TRADE_RETCODE_NO_MONEY: "No money",
    mt5.TRADE_RETCODE_PRICE_OFF: "No prices",
    mt5.TRADE_RETCODE_INVALID_EXPIRATION: "Invalid expiration",
    mt5.TRADE_RETCODE_INVALID_FILL: "Unsupported filling mode",
    mt5.TRADE_RETCODE_INVALID_ORDER: "Incorrect or prohibited order type",
    mt5.TRADE_RETCODE_POSITION_CLOSED: "Position doesn't exist",
    mt5.TRADE_RETCODE_INVALID_CLOSE_VOLUME: "Volume to be closed exceeds the position's volume",
}


@dataclass(frozen=True)
class Execution:
    """What one executed order leaves in the books; `position` None: the symbol is flat now."""

    order: TradeOrder
    deal: TradeDeal
    position: TradePosition | None


@dataclass(frozen=True)
class Dealing:
    """All that judging and executing one request takes: the symbol's terms, its newest quote, what is held of it.

    `quote_rate` is what one unit of the symbol's quote currency is worth in the account's; None: nobody knows.
    """

    request: TradeRequest
    terms: Instrument | None
    quote: Quote | None
    quote_rate: float | None
    held: TradePosition | None

    @property
    def side(self) -> Side:
        return 1 if self.request.type == mt5.ORDER_TYPE_BUY else -1

    @property
    def price(self) -> float:
        """Where it fills: a buy at the ask, a sell at the bid."""
        bid, ask = self.quote or (0.0, 0.0)
        return ask if self.side == 1 else bid

    def netted(self) -> Netted:
        return net(exposure(self.held), self.side, self.request.volume, self.price)


@dataclass(frozen=True)
class Stamp:
    """Numbers, time (server milliseconds) and cause of one execution."""

    order: int
    deal: int
    time_msc: int
    reason: int = mt5.ORDER_REASON_EXPERT


def exposure(position: TradePosition | None) -> Exposure | None:
    if position is None:
        return None
    return Exposure(1 if position.type == mt5.POSITION_TYPE_BUY else -1, position.volume, position.price_open)


def refusal(dealing: Dealing, has_money: Callable[[Netted], bool]) -> int | None:
    """The retcode that refuses the request; None: it executes. `has_money` tells whether the account can hold it."""
    formal = _formal_refusal(dealing)
    if formal is not None:
        return formal
    request, netted = dealing.request, dealing.netted()
    bid, ask = dealing.quote or (0.0, 0.0)
    if not stops_are_valid(dealing.side, request.sl, request.tp, bid, ask):
        return mt5.TRADE_RETCODE_INVALID_STOPS
    if request.position:
        held = dealing.held
        if held is None or held.ticket != request.position:
            return mt5.TRADE_RETCODE_POSITION_CLOSED
        if netted.opened:
            return mt5.TRADE_RETCODE_INVALID_CLOSE_VOLUME
    if netted.opened and not has_money(netted):
        return mt5.TRADE_RETCODE_NO_MONEY
    return None


def _formal_refusal(dealing: Dealing) -> int | None:
    request = dealing.request
    if request.action == mt5.TRADE_ACTION_PENDING or request.type in _PENDING_TYPES:
        return mt5.TRADE_RETCODE_INVALID_ORDER
    checks = (
        (request.action == mt5.TRADE_ACTION_DEAL and dealing.terms is not None, mt5.TRADE_RETCODE_INVALID),
        (request.type in (mt5.ORDER_TYPE_BUY, mt5.ORDER_TYPE_SELL), mt5.TRADE_RETCODE_INVALID),
        (volume_is_valid(request.volume), mt5.TRADE_RETCODE_INVALID_VOLUME),
        (math.isfinite(request.price), mt5.TRADE_RETCODE_INVALID_PRICE),
        (request.type_time in _EXPIRATIONS, mt5.TRADE_RETCODE_INVALID_EXPIRATION),
        (request.type_filling in SUPPORTED_FILLINGS, mt5.TRADE_RETCODE_INVALID_FILL),
        (dealing.quote is not None, mt5.TRADE_RETCODE_PRICE_OFF),
        (dealing.quote_rate is not None, mt5.TRADE_RETCODE_TRADE_DISABLED),
    )
    return next((retcode for good, retcode in checks if not good), None)


def execute(dealing: Dealing, stamp: Stamp) -> Execution:
    """Fill a request that was not refused."""
    assert dealing.terms is not None
    assert dealing.quote_rate is not None
    request, held, netted = dealing.request, dealing.held, dealing.netted()
    position = _position_after(dealing, netted, stamp)
    # A deal that closes belongs to the position it closes, also when that is gone now.
    position_id = held.identifier if held is not None else stamp.order
    entry = mt5.DEAL_ENTRY_IN if not netted.closed else mt5.DEAL_ENTRY_INOUT if netted.opened else mt5.DEAL_ENTRY_OUT
    earned = 0.0
    if held is not None and netted.closed:
        rate, opened_at = dealing.quote_rate, held.price_open
        earned = profit(dealing.terms, -dealing.side, netted.closed, opened_at, dealing.price, rate)
    deal = TradeDeal(
        ticket=stamp.deal,
        order=stamp.order,
        time=stamp.time_msc // 1000,
        time_msc=stamp.time_msc,
        type=mt5.DEAL_TYPE_BUY if dealing.side == 1 else mt5.DEAL_TYPE_SELL,
        entry=entry,
        magic=request.magic,
        position_id=position_id,
        reason=stamp.reason,  # orders and deals number their reasons alike
        volume=request.volume,
        price=dealing.price,
        commission=0.0,
        swap=0.0,
        profit=earned,
        fee=0.0,
        symbol=request.symbol,
        comment=request.comment,
        external_id="",
    )
    return Execution(_order(dealing, stamp, position_id), deal, position)


def _order(dealing: Dealing, stamp: Stamp, position_id: int) -> TradeOrder:
    request, seconds = dealing.request, stamp.time_msc // 1000
    return TradeOrder(
        ticket=stamp.order,
        time_setup=seconds,
        time_setup_msc=stamp.time_msc,
        time_done=seconds,
        time_done_msc=stamp.time_msc,
        time_expiration=0,
        type=request.type,
        type_time=request.type_time,
        type_filling=request.type_filling,
        state=mt5.ORDER_STATE_FILLED,
        magic=request.magic,
        position_id=position_id,
        position_by_id=0,
        reason=stamp.reason,
        volume_initial=request.volume,
        volume_current=0.0,
        price_open=request.price,
        sl=request.sl,
        tp=request.tp,
        price_current=dealing.price,
        price_stoplimit=0.0,
        symbol=request.symbol,
        comment=request.comment,
        external_id="",
    )


def _position_after(dealing: Dealing, netted: Netted, stamp: Stamp) -> TradePosition | None:
    request, held, after = dealing.request, dealing.held, netted.after
    if after is None:
        return None
    seconds = stamp.time_msc // 1000
    if held is not None and not (netted.closed and netted.opened):
        return held._replace(
            time_update=seconds,
            time_update_msc=stamp.time_msc,
            volume=after.volume,
            price_open=after.price,
            # An order that adds brings its stops; one without stops leaves the position's.
            sl=(netted.opened and request.sl) or held.sl,
            tp=(netted.opened and request.tp) or held.tp,
        )
    return TradePosition(
        ticket=stamp.order,
        time=seconds,
        time_msc=stamp.time_msc,
        time_update=seconds,
        time_update_msc=stamp.time_msc,
        type=mt5.POSITION_TYPE_BUY if after.side == 1 else mt5.POSITION_TYPE_SELL,
        magic=request.magic,
        identifier=held.identifier if held is not None else stamp.order,  # a reversal changes the ticket only
        reason=stamp.reason,
        volume=after.volume,
        price_open=after.price,
        sl=request.sl,
        tp=request.tp,
        price_current=dealing.price,
        swap=0.0,
        profit=0.0,
        symbol=request.symbol,
        comment=request.comment,
        external_id="",
    )
