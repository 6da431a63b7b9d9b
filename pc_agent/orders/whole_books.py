"""All pages of a terminal's past, read one by one so that orders go in between."""

import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import replace
from typing import Protocol

from pc_agent.domain.books import BookDeal, BookOrder, Books
from pc_agent.terminal.messages import ReadBooks

# Servers are up to 14 h ahead of UTC: by their clock the PC's time lies within this.
SERVER_MARGIN_S = 2 * 86_400
# So many tickets are asked for at once; ticks are read before the next ones.
_TICKETS = 10


class BookTerminal(Protocol):
    """What shows its books: the account's terminals."""

    def read_books(self, ask: ReadBooks) -> Awaitable[Books | None]: ...


async def pages(terminal: BookTerminal, ask: ReadBooks) -> AsyncIterator[Books | None]:
    """Each page from `ask.from_s` on; None, and no more, when one could not be read."""
    while True:
        books = await terminal.read_books(ask)
        yield books
        if books is None or not books.next_s:
            return
        # The next page may well reach twice as far: where little happened pages are few.
        span_s = 2 * (books.next_s - ask.from_s)
        ask = replace(ask, from_s=books.next_s, orders=(), span_s=span_s)


async def whole_books(terminal: BookTerminal, ask: ReadBooks) -> Books | None:
    """What is open now and all of the past that `ask` wants; None: it can not be read."""
    deals: list[BookDeal] = []
    history: list[BookOrder] = []
    newest: Books | None = None
    connected_for_s = float("inf")
    async for newest in pages(terminal, ask):
        if newest is None:
            return None
        deals += newest.deals
        history += newest.history_orders
        connected_for_s = min(connected_for_s, newest.connected_for_s)
    if newest is None:
        return None
    return replace(newest, deals=tuple(deals), history_orders=tuple(history), connected_for_s=connected_for_s)


async def books_with(terminal: BookTerminal, tickets: Sequence[int]) -> Books | None:
    """What is open now, and of the past only what bears these tickets of orders; None: it can not be read."""
    tomorrow_s = int(time.time()) + SERVER_MARGIN_S
    return await whole_books(terminal, ReadBooks(0, tomorrow_s, orders=tuple(tickets)))


async def past_orders(terminal: BookTerminal, tickets: Sequence[int]) -> dict[int, BookOrder]:
    """What the terminal's history says of these orders, by ticket; what it does not show is left out."""
    found: dict[int, BookOrder] = {}
    for at in range(0, len(tickets), _TICKETS):
        books = await books_with(terminal, tickets[at : at + _TICKETS])
        found |= {order.ticket: order for order in books.history_orders} if books else {}
    return found
