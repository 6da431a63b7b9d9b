"""Signals down one agent's lane, in the account's order and each once: at once when this engine commits them, from the
outbox all the others."""

import asyncio
from collections.abc import Awaitable, Callable

from suho.database.v1 import order_service_pb2 as db
from suho.trading.v1 import agent_link_pb2 as link
from suho.trading.v1 import order_pb2

from mesh.errors import MeshError, Reason
from mesh.log import get_logger
from mesh.waiting import backoff
from services.trading_engine.database import Database, DatabaseAwayError
from services.trading_engine.domain.order import AccountId
from services.trading_engine.messages import invalid
from services.trading_engine.signals import signal_of

log = get_logger(__name__)

_MOST_SIGNALS = 100


class SignalRelay:
    """The outbox is the account's ordered log, the agent's ledger is its cursor.

    Args:
        relayed: The last place that the ledger holds.
        send: Puts signals on the lane; waits while it is full.
        send_now: The same, or False while it is full.
    """

    def __init__(
        self,
        account: AccountId,
        epoch: int,
        relayed: int,
        ledger: str,
        database: Database,
        send: Callable[[link.Signals], Awaitable[None]],
        send_now: Callable[[link.Signals], bool],
    ) -> None:
        self.epoch = epoch
        self.relayed = relayed
        self._account = account
        self._ledger = ledger
        self._database = database
        self._send = send
        self._send_now = send_now

    def offer(self, order: order_pb2.Order) -> None:
        """One that was committed for this ledger a moment ago. If it is not the next, the outbox brings it in turn."""
        if (order.epoch, order.seq) == (self.epoch, self.relayed + 1) and self._send_now(
            link.Signals(signals=[signal_of(order, False)])
        ):
            self.relayed = order.seq

    async def run(self) -> None:
        """Hand down what is committed, for ever."""
        pauses = backoff()
        while True:
            try:
                async for entries in self._database.outbox(self._account, self.epoch, self.relayed, self._ledger):
                    await self._hand_down(entries)
                    pauses = backoff()
            except DatabaseAwayError as error:
                log.warning("relay interrupted", account=str(self._account), because=str(error))
            await asyncio.sleep(next(pauses))

    async def _hand_down(self, entries: list[db.OutboxEntry]) -> None:
        while fresh := [entry for entry in entries if entry.order.seq > self.relayed][:_MOST_SIGNALS]:
            if fresh[0].order.seq != self.relayed + 1:
                raise MeshError(
                    Reason.INTERNAL, f"the outbox goes from {self.relayed} to {fresh[0].order.seq}; connect again"
                )
            await self._send(_signals(fresh))
            self.relayed = max(self.relayed, fresh[-1].order.seq)

    async def resend(self, missing: link.MissingSignals) -> None:
        """What the agent says never arrived; what was not handed out yet comes by itself.

        Raises:
            MeshError: INVALID_ARGUMENT: that can not be missing.
        """
        last = min(missing.to_seq, self.relayed)
        if not 1 <= missing.from_seq <= last:
            raise invalid(
                f"signals {missing.from_seq} to {missing.to_seq} can not be missing: {self.relayed} was the last one"
            )
        after = missing.from_seq - 1
        pauses = backoff()
        while after < last:
            try:
                async for entries in self._database.outbox(self._account, self.epoch, after, self._ledger, last):
                    for start in range(0, len(entries), _MOST_SIGNALS):
                        await self._send(_signals(entries[start : start + _MOST_SIGNALS]))
                    after = entries[-1].order.seq
            except DatabaseAwayError as error:
                log.warning("missing signals wait", account=str(self._account), because=str(error))
                await asyncio.sleep(next(pauses))


def _signals(entries: list[db.OutboxEntry]) -> link.Signals:
    return link.Signals(signals=[signal_of(entry.order, entry.redelivered) for entry in entries])
