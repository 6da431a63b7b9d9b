"""Orders as the signals that go down a lane."""

from suho.trading.v1 import agent_link_pb2 as link
from suho.trading.v1 import order_pb2

from services.trading_engine.messages import still_open


def signal_of(order: order_pb2.Order, redelivered: bool) -> link.Signal:
    """The signal; VOID when there is nothing left to execute of it: it may still be whose order opened a position."""
    return link.Signal(
        signal_id=order.signal_id,
        account=order.account,
        epoch=order.epoch,
        seq=order.seq,
        void=not still_open(order),
        redelivered=redelivered,
        symbol=order.symbol,
        side=order.side,
        volume=order.volume,
        stop_loss=order.stop_loss,
        take_profit=order.take_profit,
        not_after_unix_ms=order.not_after_unix_ms,
        committed_unix_ns=order.times.committed_unix_ns,
        kind=order.kind,
        price=order.price,
        limit_price=order.limit_price,
        position=order.position,
        opposite_position=order.opposite_position,
        order_ticket=order.order_ticket,
        expires_unix_ms=order.expires_unix_ms,
        deviation_points=order.deviation_points,
    )
