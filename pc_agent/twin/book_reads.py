"""What the terminal tells of positions, orders and deals."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from pc_agent.twin.account import Account
from pc_agent.twin.books import Books
from pc_agent.twin.results import TradeDeal, TradeOrder, TradePosition
from pc_agent.twin.symbols import in_group

R = TypeVar("R", TradeOrder, TradeDeal)
W = TypeVar("W", TradeOrder, TradePosition)


class BookReads:
    """Called under the terminal's lock. Dates are seconds by the trade server's clock, both included."""

    def __init__(self, books: Books, account: Account) -> None:
        self._books = books
        self._account = account
        functions: tuple[Callable[..., Any], ...] = (
            self.positions_total, self.positions_get, self.orders_total, self.orders_get,
            self.history_orders_total, self.history_orders_get, self.history_deals_total, self.history_deals_get,
        )  # fmt: skip
        self.functions = {function.__name__: function for function in functions}

    def positions_total(self) -> int:
        return len(self._books.positions)

    def positions_get(self, symbol: str | None, group: str | None, ticket: int | None) -> tuple[TradePosition, ...]:
        return _open(self._account.positions(), symbol, group, ticket)

    def orders_total(self) -> int:
        return len(self._books.working)

    def orders_get(self, symbol: str | None, group: str | None, ticket: int | None) -> tuple[TradeOrder, ...]:
        return _open(self._account.orders(), symbol, group, ticket)

    def history_orders_total(self, since_s: int, until_s: int) -> int:
        return self._books.count_orders_between(since_s, until_s)

    def history_orders_get(
        self, dates: tuple[int, int] | None, group: str | None, ticket: int | None, position: int | None
    ) -> tuple[TradeOrder, ...]:
        """Orders that wait no more: filled, canceled, expired or rejected."""
        if dates is None:
            return _grouped(self._books.orders_of(ticket=ticket, position=position), group)
        return _grouped(self._books.orders_between(*dates), group)

    def history_deals_total(self, since_s: int, until_s: int) -> int:
        return self._books.count_deals_between(since_s, until_s)

    def history_deals_get(
        self, dates: tuple[int, int] | None, group: str | None, ticket: int | None, position: int | None
    ) -> tuple[TradeDeal, ...]:
        """`ticket` is that of the order that made the deals, as in the real terminal."""
        if dates is None:
            return _grouped(self._books.deals_of(order=ticket, position=position), group)
        return _grouped(self._books.deals_between(*dates), group)


def _open(rows: Iterable[W], symbol: str | None, group: str | None, ticket: int | None) -> tuple[W, ...]:
    return tuple(
        row
        for row in rows
        if symbol in (None, row.symbol) and ticket in (None, row.ticket) and in_group(row.symbol, group)
    )


def _grouped(rows: Iterable[R], group: str | None) -> tuple[R, ...]:
    return tuple(row for row in rows if in_group(row.symbol, group))
