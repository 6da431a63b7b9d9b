"""Closes all that is ours, and goes on until nothing is: an order on its way may open a position meanwhile."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence, Set
from itertools import count
from typing import Protocol

from pc_agent.domain.books import BookOrder, BookPosition
from pc_agent.domain.orders import Entry, OrderState

_LOOK_S = 0.2
# How long that is waited for which the books should show; an `order_send` takes less.
_SHOWN_WITHIN_S = 5.0
# A broker that fills closes in parts is asked so often.
_MOST_ROUNDS = 10
_FILLED = frozenset({OrderState.FILLED, OrderState.PARTIALLY_FILLED})


class Held(Protocol):
    """What is ours at the broker, as `look` showed it last."""

    async def look(self) -> bool: ...
    def ours(self) -> Sequence[BookPosition]: ...
    def our_orders(self) -> Sequence[BookOrder]: ...


class Closes(Protocol):
    """Closes and removes, under a name that is used once."""

    async def close(self, positions: Sequence[BookPosition], request_id: str) -> Sequence[Entry]: ...
    async def cancel(self, orders: Sequence[BookOrder], request_id: str) -> Sequence[Entry]: ...


class Flattening:
    """One account's; entries must have been stopped before.

    `expected`: by symbol, entries that the books do not show yet. `has_shown`: they have shown a deal.
    """

    def __init__(
        self,
        held: Held,
        closes: Closes,
        expected: Callable[[], Mapping[str, Set[str]]],
        has_shown: Callable[[int], bool],
    ) -> None:
        self._held = held
        self._closes = closes
        self._expected = expected
        self._has_shown = has_shown

    async def flatten(self, request_id: str) -> list[Entry]:
        """What was just looked at, and what comes of orders on their way: orders are removed, then positions closed."""
        held = {one.symbol for one in self._held.ours()} | {one.symbol for one in self._held.our_orders()}
        return await self.flatten_symbols(held | self._expected().keys(), request_id)

    async def flatten_symbols(self, symbols: Set[str], request_id: str) -> list[Entry]:
        """The same of some symbols. Each by itself: where one is stuck, the others are closed all the same."""
        done = await asyncio.gather(*(self._flatten(symbol, request_id) for symbol in symbols))
        return [entry for entries in done for entry in entries]

    async def _flatten(self, symbol: str, request_id: str) -> list[Entry]:
        entries: list[Entry] = []
        until = time.monotonic() + _SHOWN_WITHIN_S
        rounds = count(1)
        while True:
            if asked := await self._ask(symbol, entries, rounds, request_id):
                entries += asked
                until = time.monotonic() + _SHOWN_WITHIN_S
            elif not self._is_awaited(symbol, entries) or time.monotonic() >= until:
                return entries
            else:
                await asyncio.sleep(_LOOK_S)
            await self._held.look()

    async def _ask(self, symbol: str, before: Sequence[Entry], rounds: "count[int]", request_id: str) -> list[Entry]:
        """One round; what was refused `before` is not asked for again."""
        asked = {one.signal.order_ticket for one in before}
        orders = [one for one in self._held.our_orders() if one.symbol == symbol and one.ticket not in asked]
        if not orders and not self._open(symbol, before):
            return []
        number = next(rounds)
        if number > _MOST_ROUNDS:
            return []
        name = request_id if number == 1 else f"{request_id}-{number}"
        removed = list(await self._closes.cancel(orders, name))
        if orders:  # one of them may have opened a position meanwhile
            await self._held.look()
        return [*removed, *await self._closes.close(self._open(symbol, before), name)]

    def _open(self, symbol: str, before: Sequence[Entry]) -> list[BookPosition]:
        return [one for one in self._held.ours() if one.symbol == symbol and self._may_close(one.ticket, before)]

    def _may_close(self, ticket: int, before: Sequence[Entry]) -> bool:
        """Not asked for yet; or it was closed, which the books show, and there is something of it all the same."""
        tries = [one for one in before if one.signal.position == ticket]
        return all(one.state in _FILLED and self._has_shown(one.result.deal) for one in tries)

    def _is_awaited(self, symbol: str, entries: Sequence[Entry]) -> bool:
        """The books are to show more than they do."""
        if self._expected().get(symbol):
            return True
        return any(one.state in _FILLED and not self._has_shown(one.result.deal) for one in entries)
