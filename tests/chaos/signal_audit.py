"""What must be true of orders and books after a storm, whatever happened in it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from suho.trading.v1 import order_pb2

from pc_agent.domain.orders import mark_of

_FILLS = (order_pb2.ORDER_STATE_FILLED, order_pb2.ORDER_STATE_PARTIALLY_FILLED)
# Nothing more comes of an order in one of these.
FINAL = (
    *_FILLS,
    order_pb2.ORDER_STATE_DENIED,
    order_pb2.ORDER_STATE_REJECTED,
    order_pb2.ORDER_STATE_EXPIRED,
    order_pb2.ORDER_STATE_NOT_EXECUTED,
    order_pb2.ORDER_STATE_CANCELED,
    order_pb2.ORDER_STATE_DONE,
)
# A deal's type at the terminal by the side that was asked for.
_TYPES = {order_pb2.ORDER_SIDE_BUY: 0, order_pb2.ORDER_SIDE_SELL: 1}


def violations(
    orders: Sequence[order_pb2.Order],
    deals: Iterable[Any],
    positions: Iterable[Any],
    net_volumes: Mapping[str, Decimal],
) -> list[str]:
    """Every broken promise in words: `deals` and `positions` as the terminal gives them, `net_volumes` the engine's."""
    by_mark = _by_mark(orders, deals)
    found = [wrong for order in orders for wrong in _of_order(order, by_mark.get(order.signal_id, []))]
    return found + _of_positions(positions, net_volumes)


def _by_mark(orders: Sequence[order_pb2.Order], deals: Iterable[Any]) -> dict[str, list[Any]]:
    """The deals that each signal made: those that bear its magic and go its way."""
    asked = {mark_of(order.signal_id).magic: order for order in orders}
    made: dict[str, list[Any]] = defaultdict(list)
    for deal in deals:
        order = asked.get(deal.magic)
        if order is not None and deal.type == _TYPES.get(order.side):
            made[order.signal_id].append(deal)
    return made


def _of_order(order: order_pb2.Order, deals: list[Any]) -> list[str]:
    name = f"{order.signal_id} ({order_pb2.OrderKind.Name(order.kind)}, {order_pb2.OrderState.Name(order.state)})"
    dealt = sum((_lots(deal.volume) for deal in deals), Decimal(0))
    found = []
    if order.state not in FINAL:
        found.append(f"{name} is not resolved")
    if deals and dealt > Decimal(order.volume or 0):
        found.append(f"{name} was doubled: asked {order.volume} lots, dealt {dealt} in {len(deals)} deals")
    if deals and order.state not in _FILLS:
        found.append(f"{name} was executed and is not reported so: {dealt} lots")
    if order.state in _FILLS and dealt != Decimal(order.filled_volume or 0):
        found.append(f"{name} is reported with {order.filled_volume} lots, dealt were {dealt}")
    times = order.times
    called_ms = (times.called_unix_ns + times.clock_offset_ns) / 1e6
    if times.called_unix_ns and called_ms > order.not_after_unix_ms + 1:
        found.append(f"{name} was sent {called_ms - order.not_after_unix_ms:.1f} ms after its time")
    return found


def _of_positions(positions: Iterable[Any], net_volumes: Mapping[str, Decimal]) -> list[str]:
    held: dict[str, Decimal] = defaultdict(Decimal)
    for position in positions:
        held[position.symbol] += _lots(position.volume) * (1 if position.type == 0 else -1)
    return [
        f"{symbol}: the terminal holds {held[symbol]} lots, the engine counts {net_volumes.get(symbol, Decimal(0))}"
        for symbol in sorted({*held, *net_volumes})
        if held[symbol] != net_volumes.get(symbol, Decimal(0))
    ]


def _lots(volume: float) -> Decimal:
    return Decimal(repr(round(volume, 8)))
