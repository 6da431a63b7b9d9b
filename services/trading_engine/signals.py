"""Outbox entries as the signals that go down a lane."""

from suho.database.v1 import order_service_pb2 as db
from suho.trading.v1 import agent_link_pb2 as link

from services.trading_engine.domain.order import OPEN
from services.trading_engine.messages import state_of


def signal_of(entry: db.OutboxEntry) -> link.Signal:
    """The signal; VOID when there is nothing left to execute of it."""
    order = entry.order
    if state_of(order) not in OPEN:
        return link.Signal(
            signal_id=order.signal_id,
            account=order.account,
            epoch=order.epoch,
            seq=order.seq,
            void=True,
            redelivered=entry.redelivered,
        )
    return link.Signal(
        signal_id=order.signal_id,
        account=order.account,
        epoch=order.epoch,
        seq=order.seq,
        redelivered=entry.redelivered,
        symbol=order.symbol,
        side=order.side,
        volume=order.volume,
        stop_loss=order.stop_loss,
        take_profit=order.take_profit,
        not_after_unix_ms=order.not_after_unix_ms,
        committed_unix_ns=order.times.committed_unix_ns,
    )
