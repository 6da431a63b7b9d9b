"""All pages of a terminal's past, read one by one so that orders go in between."""

from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from typing import Protocol

from pc_agent.domain.books import BookDeal, BookOrder, Books
from pc_agent.terminal.messages import ReadBooks

# Servers are up to 14 h ahead of UTC: by their clock the PC's time lies within this.
SERVER_MARGIN_S = 2 * 86_400


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
