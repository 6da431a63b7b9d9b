"""A signal as a request of the MetaTrader5 package, with the price of the moment.

The package wants a float where it says double and an unsigned integer elsewhere; it takes no None.
"""

from dataclasses import dataclass
from typing import Any

from mesh.orders import Kind
from pc_agent.domain.filling import filling, type_time
from pc_agent.domain.orders import Side, Signal
from pc_agent.domain.price_checks import (
    Market,
    Prices,
    freeze_refusal,
    margin_refusal,
    pending_refusal,
    quote_refusal,
    slippage_refusal,
    stops_refusal,
)
from pc_agent.domain.refusal import Refusal
from pc_agent.terminal.mt5_session import answered, needed
from pc_agent.terminal.order_tasks import OrderTask
from pc_agent.terminal.quote_ages import QuoteAges

Request = dict[str, Any]


class RefusedError(Exception):
    """The order must not be sent as things are."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class _Scene:
    """A task, and its symbol as the terminal describes it now."""

    task: OrderTask
    info: Any
    market: Market

    @property
    def signal(self) -> Signal:
        return self.task.signal


def request_of(mt5: Any, task: OrderTask, ages: QuoteAges, now_ns: int) -> Request:
    """What to send for `task` at `now_ns` since the PC's start.

    Raises:
        RefusedError: what is asked is not possible at the price of the moment, or not for this account.
        TerminalGoneError: the terminal does not answer.
    """
    account = needed(mt5, mt5.account_info(), "account_info")
    server = task.signal.account.server
    if (account.login, account.server) != (task.login, server):
        message = f"the terminal is now logged in to {account.login} at {account.server}, not {task.login} at {server}"
        raise RefusedError(Refusal("ACCOUNT_CHANGED", message))
    info = answered(mt5, mt5.symbol_info(task.symbol), "symbol_info")
    if info is None:
        raise RefusedError(Refusal("UNKNOWN_SYMBOL", f"the terminal has no symbol {task.symbol!r} any more"))
    age_ms = ages.age_ns(task.symbol, (info.time, info.bid, info.ask), now_ns) / 1e6
    market = Market(
        task.symbol, info.bid, info.ask, age_ms, info.point, info.trade_stops_level, info.trade_freeze_level
    )
    scene = _Scene(task, info, market)
    _refuse(quote_refusal(task.signal, market, task.bounds))
    if task.kind is Kind.MARKET:  # what waits for a price is paid for when that comes
        _refuse(_unpaid(mt5, task, account, market))
    kinds = {
        Kind.MARKET: _market,
        Kind.CLOSE: _close,
        Kind.CLOSE_BY: _close_by,
        Kind.MODIFY_POSITION: _modify_position,
        Kind.MODIFY_ORDER: _modify_order,
        Kind.CANCEL_ORDER: _cancel_order,
    }
    mark = {"symbol": task.symbol, "magic": task.mark.magic, "comment": task.mark.comment}
    return kinds.get(task.kind, _pending)(mt5, scene) | mark


def _unpaid(mt5: Any, task: OrderTask, account: Any, market: Market) -> Refusal | None:
    """The terminal is asked only where it may be too little; what stands against an open position may free some."""
    side, lots = task.signal.side, float(task.signal.volume)
    assert side is not None
    if task.margin_per_lot * lots <= account.margin_free:
        return None
    held = answered(mt5, mt5.positions_get(symbol=task.symbol), "positions_get") or ()
    if any((position.type == mt5.POSITION_TYPE_BUY) != (side is Side.BUY) for position in held):
        return None
    order_type = mt5.ORDER_TYPE_BUY if side is Side.BUY else mt5.ORDER_TYPE_SELL
    margin = mt5.order_calc_margin(order_type, task.symbol, lots, float(market.opening(side)))
    needs = answered(mt5, margin, "order_calc_margin") or 0.0
    return margin_refusal(task.signal.volume, task.symbol, needs, account.margin_free, account.currency)


def _market(mt5: Any, scene: _Scene) -> Request:
    signal, market = scene.signal, scene.market
    assert signal.side is not None
    stops = _stops(signal)
    _refuse(stops_refusal(Prices(signal.side, market.closing(signal.side), **stops), market))
    return _deal(mt5, scene, signal.side, float(signal.volume)) | _given(
        {"sl": stops["stop_loss"], "tp": stops["take_profit"]}
    )


def _close(mt5: Any, scene: _Scene) -> Request:
    """What is asked for of the position, at most what is left of it."""
    signal = scene.signal
    position = _position(mt5, scene, signal.position)
    side = Side.SELL if position.type == mt5.POSITION_TYPE_BUY else Side.BUY
    if signal.side not in (None, side):
        message = f"a {signal.side} does not close position {signal.position}, a {side} does"
        raise RefusedError(Refusal("WRONG_SIDE", message))
    volume = float(signal.volume or position.volume)
    if volume > position.volume + 1e-9:
        message = f"position {signal.position} holds {position.volume:g} lots, {volume:g} can not be closed"
        raise RefusedError(Refusal("VOLUME_OVER_POSITION", message))
    return _deal(mt5, scene, side, volume) | {"position": signal.position}


def _deal(mt5: Any, scene: _Scene, side: Side, volume: float) -> Request:
    task, info, price = scene.task, scene.info, scene.market.opening(side)
    _refuse(slippage_refusal(side, price, task.first_price, scene.market, task.bounds.deviation_points))
    return {
        "action": mt5.TRADE_ACTION_DEAL,
        "volume": volume,
        "type": mt5.ORDER_TYPE_BUY if side is Side.BUY else mt5.ORDER_TYPE_SELL,
        "price": float(price),
        "deviation": task.bounds.deviation_points,
        "type_time": type_time(False, info.expiration_mode),
        "type_filling": filling(scene.task.kind, info.filling_mode, info.trade_exemode),
    }


def _pending(mt5: Any, scene: _Scene) -> Request:
    signal = scene.signal
    assert signal.side is not None
    order = Prices(signal.side, float(signal.price), **_stops(signal), limit_price=float(signal.limit_price or 0))
    _refuse(pending_refusal(scene.task.kind, order, scene.market))
    _refuse(_stops_of_pending(order, scene.market))
    return {
        "action": mt5.TRADE_ACTION_PENDING,
        "volume": float(signal.volume),
        "type": _pending_type(mt5, scene.task.kind, signal.side),
        "type_filling": filling(scene.task.kind, scene.info.filling_mode, scene.info.trade_exemode),
        **_placed(order, scene),
    }


def _modify_order(mt5: Any, scene: _Scene) -> Request:
    """Prices that are not given stay; stops and an expiry that are not given go."""
    signal, market = scene.signal, scene.market
    order = _order(mt5, scene, signal.order_ticket)
    side = Side.BUY if order.type % 2 == 0 else Side.SELL
    _refuse(freeze_refusal((order.price_open,), market.opening(side), market))
    price, limit = float(signal.price or order.price_open), float(signal.limit_price or order.price_stoplimit)
    changed = Prices(side, price, **_stops(signal), limit_price=limit)
    _refuse(pending_refusal(_pending_kind(mt5, order.type), changed, market))
    _refuse(_stops_of_pending(changed, market))
    return {
        "action": mt5.TRADE_ACTION_MODIFY,
        "order": signal.order_ticket,
        "type": order.type,
        "volume": float(order.volume_current),
        "type_filling": order.type_filling,
        **_placed(changed, scene),
    }


def _cancel_order(mt5: Any, scene: _Scene) -> Request:
    return {"action": mt5.TRADE_ACTION_REMOVE, "order": scene.signal.order_ticket}


def _modify_position(mt5: Any, scene: _Scene) -> Request:
    signal, market = scene.signal, scene.market
    position = _position(mt5, scene, signal.position)
    side = Side.BUY if position.type == mt5.POSITION_TYPE_BUY else Side.SELL
    closing, stops = market.closing(side), _stops(signal)
    _refuse(freeze_refusal((position.sl, position.tp), closing, market))
    _refuse(stops_refusal(Prices(side, closing, **stops), market))
    return {
        "action": mt5.TRADE_ACTION_SLTP,
        "position": signal.position,
        "sl": stops["stop_loss"],
        "tp": stops["take_profit"],
    }


def _close_by(mt5: Any, scene: _Scene) -> Request:
    signal = scene.signal
    for ticket in (signal.position, signal.opposite_position):
        _position(mt5, scene, ticket)
    return {
        "action": mt5.TRADE_ACTION_CLOSE_BY,
        "position": signal.position,
        "position_by": signal.opposite_position,
    }


def _placed(order: Prices, scene: _Scene) -> Request:
    signal, info = scene.signal, scene.info
    prices = {"stoplimit": order.limit_price, "sl": order.stop_loss, "tp": order.take_profit}
    placed: Request = {"price": order.price, "type_time": type_time(signal.expires_unix_ms > 0, info.expiration_mode)}
    if signal.expires_unix_ms:
        placed["expiration"] = signal.expires_unix_ms // 1000 + scene.task.server_ahead_s
    return placed | _given(prices)


def _stops_of_pending(order: Prices, market: Market) -> Refusal | None:
    """They are held against the price at which the order would be filled."""
    filled_at = order.limit_price or order.price
    return stops_refusal(Prices(order.side, filled_at, order.stop_loss, order.take_profit), market)


def _pending_type(mt5: Any, kind: Kind, side: Side) -> int:
    return int(getattr(mt5, f"ORDER_TYPE_{side}_{kind}"))


def _pending_kind(mt5: Any, order_type: int) -> Kind:
    for kind in (Kind.LIMIT, Kind.STOP, Kind.STOP_LIMIT):
        if order_type in (_pending_type(mt5, kind, Side.BUY), _pending_type(mt5, kind, Side.SELL)):
            return kind
    raise RefusedError(Refusal("NOT_PENDING", "the order does not wait for a price: it is being executed"))


def _position(mt5: Any, scene: _Scene, ticket: int) -> Any:
    found = answered(mt5, mt5.positions_get(ticket=ticket), "positions_get")
    if not found:
        raise RefusedError(Refusal("POSITION_CLOSED", f"the terminal has no position {ticket}"))
    return _of_symbol(scene, found[0])


def _order(mt5: Any, scene: _Scene, ticket: int) -> Any:
    found = answered(mt5, mt5.orders_get(ticket=ticket), "orders_get")
    if not found:
        raise RefusedError(Refusal("UNKNOWN_ORDER", f"no order {ticket} works at the broker"))
    return _of_symbol(scene, found[0])


def _of_symbol(scene: _Scene, row: Any) -> Any:
    """What was checked of the order's symbol holds for no other one, and a broker may go by either."""
    if row.symbol != scene.task.symbol:
        message = f"ticket {row.ticket} is on {row.symbol}, not on {scene.task.symbol}"
        raise RefusedError(Refusal("WRONG_SYMBOL", message))
    return row


def _stops(signal: Signal) -> dict[str, float]:
    return {"stop_loss": float(signal.stop_loss or 0), "take_profit": float(signal.take_profit or 0)}


def _given(prices: dict[str, float]) -> Request:
    return {name: price for name, price in prices.items() if price}


def _refuse(refusal: Refusal | None) -> None:
    if refusal is not None:
        raise RefusedError(refusal)
