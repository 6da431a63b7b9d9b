"""What the agent closes by itself: signals of its own making, through the same ledger and execution.

The engine learns of them as external deals. An id is made of the request and the ticket, so that the same request
closes a position once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from mesh.clock import unix_ms
from mesh.orders import Kind
from pc_agent.domain.books import BookOrder, BookPosition
from pc_agent.domain.orders import Account, Entry, Side, Signal, plain

# How long such a signal may still be sent.
_VALID_MS = 30_000


class LocalCloses:
    """One account's; `take` executes a signal of the agent's own and returns what came of it."""

    def __init__(self, account: Account, take: Callable[[Signal], Awaitable[Entry]]) -> None:
        self._account = account
        self._take = take

    async def close(self, positions: Sequence[BookPosition], request_id: str) -> list[Entry]:
        """Close each whole."""
        return await self._all([self._closing(position, request_id) for position in positions])

    async def cancel(self, orders: Sequence[BookOrder], request_id: str) -> list[Entry]:
        """Withdraw each."""
        return await self._all([self._cancelling(order, request_id) for order in orders])

    async def _all(self, signals: Sequence[Signal]) -> list[Entry]:
        return list(await asyncio.gather(*(self._take(signal) for signal in signals)))

    def _closing(self, position: BookPosition, request_id: str) -> Signal:
        return self._signal(
            f"local-{request_id}-{position.ticket}",
            position.symbol,
            Kind.CLOSE,
            Side.SELL if position.signed > 0 else Side.BUY,
            plain(position.volume),
            position=position.ticket,
        )

    def _cancelling(self, order: BookOrder, request_id: str) -> Signal:
        side = Side.SELL if order.type % 2 else Side.BUY
        name = f"local-{request_id}-order-{order.ticket}"
        return self._signal(name, order.symbol, Kind.CANCEL_ORDER, side, "", order_ticket=order.ticket)

    def _signal(
        self, name: str, symbol: str, kind: Kind, side: Side, volume: str, position: int = 0, order_ticket: int = 0
    ) -> Signal:
        return Signal(
            name, self._account, 0, 0, False, False, symbol, side, volume, "", "", unix_ms() + _VALID_MS,
            kind=kind, position=position, order_ticket=order_ticket,
        )  # fmt: skip
