"""What an account holds, what was traded from outside, what this PC allows: in the contract's words."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from suho.trading.v1 import agent_link_pb2, order_pb2

from pc_agent.domain.attribution import External, Holding
from pc_agent.domain.books import BookOrder, BookPosition
from pc_agent.domain.differences import Difference
from pc_agent.domain.orders import plain
from pc_agent.domain.safety import Stand, TradingState
from pc_agent.orders.account_books import Look

_BUY, _SELL = order_pb2.ORDER_SIDE_BUY, order_pb2.ORDER_SIDE_SELL
# By MT5's type, two by two: buy, sell.
_KINDS = (order_pb2.ORDER_KIND_MARKET, order_pb2.ORDER_KIND_LIMIT, order_pb2.ORDER_KIND_STOP,
          order_pb2.ORDER_KIND_STOP_LIMIT, order_pb2.ORDER_KIND_CLOSE_BY)  # fmt: skip
_TRADING_STATES = {
    order_pb2.TRADING_STATE_ACTIVE: TradingState.ACTIVE,
    order_pb2.TRADING_STATE_REDUCING: TradingState.REDUCING,
    order_pb2.TRADING_STATE_HALTED: TradingState.HALTED,
}


def snapshot_of(
    look: Look,
    holdings: Mapping[int, Holding],
    known_orders: Mapping[int, str],
    differences: Iterable[tuple[Difference, int]],
) -> agent_link_pb2.AccountSnapshot:
    """`differences` with the milliseconds since when."""
    books = look.books
    money = books.money
    return agent_link_pb2.AccountSnapshot(
        taken_unix_ns=look.taken_unix_ns,
        balance=plain(money.balance),
        equity=plain(money.equity),
        margin=plain(money.margin),
        margin_free=plain(money.margin_free),
        positions=[position_of(position, holdings.get(position.identifier)) for position in books.positions],
        orders=[_working(order, known_orders.get(order.ticket, "")) for order in books.orders],
        differences=[difference_of(one, since) for one, since in differences],
    )


def position_of(position: BookPosition, holding: Holding | None) -> order_pb2.Position:
    return order_pb2.Position(
        ticket=position.ticket,
        symbol=position.symbol,
        side=_BUY if position.signed > 0 else _SELL,
        volume=plain(position.volume),
        open_price=plain(position.price_open),
        stop_loss=_price(position.stop_loss),
        take_profit=_price(position.take_profit),
        current_price=plain(position.price),
        profit=plain(position.profit),
        swap=plain(position.swap),
        opened_unix_ms=position.opened_msc,
        signal_id=holding.owner if holding else "",
    )


def _working(order: BookOrder, signal_id: str) -> order_pb2.WorkingOrder:
    return order_pb2.WorkingOrder(
        ticket=order.ticket,
        symbol=order.symbol,
        kind=_KINDS[order.type // 2],
        side=_SELL if order.type % 2 else _BUY,
        volume=plain(order.rest),
        price=plain(order.price),
        limit_price=_price(order.limit_price),
        stop_loss=_price(order.stop_loss),
        take_profit=_price(order.take_profit),
        expires_unix_ms=order.expires_s * 1000,
        signal_id=signal_id,
    )


def difference_of(difference: Difference, since_unix_ms: int) -> order_pb2.Difference:
    return order_pb2.Difference(
        kind=order_pb2.DifferenceKind.Value(f"DIFFERENCE_KIND_{difference.kind}"),
        symbol=difference.symbol,
        ticket=difference.ticket,
        signal_id=difference.signal_id,
        message=difference.message,
        since_unix_ms=since_unix_ms,
    )


def external_deal_of(external: External) -> order_pb2.ExternalDeal:
    """Its volume is what moved of ours; a foreign deal's own, which moves nothing."""
    deal = external.deal
    lots = external.moved or deal.signed
    return order_pb2.ExternalDeal(
        deal=deal.ticket,
        order=deal.order,
        position=deal.position,
        symbol=deal.symbol,
        side=_BUY if lots > 0 else _SELL,
        volume=format(abs(lots), "f"),
        price=plain(deal.price),
        profit=plain(deal.profit),
        commission=plain(deal.commission),
        swap=plain(deal.swap),
        time_unix_ms=deal.time_msc,
        cause=order_pb2.DealCause.Value(f"DEAL_CAUSE_{external.cause}"),
        signal_id=external.signal_id if external.moved else "",
    )


def safety_of(stand: Stand) -> agent_link_pb2.AgentSafety:
    return agent_link_pb2.AgentSafety(halted=stand.halted, reason=stand.reason, message=stand.message)


def trading_state_of(change: agent_link_pb2.TradingStateChange) -> TradingState:
    """What is not known is taken for the worst."""
    return _TRADING_STATES.get(change.trading_state, TradingState.HALTED)


def exposures_of(message: agent_link_pb2.EngineExposures) -> dict[str, Decimal]:
    """What the engine counts: lots by symbol, flat ones left out."""
    nets = {one.symbol: Decimal(one.net_volume or 0) for one in message.exposures}
    return {symbol: net for symbol, net in nets.items() if net}


def _price(price: float) -> str:
    """Empty: none."""
    return plain(price) if price else ""
