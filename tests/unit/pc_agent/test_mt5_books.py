"""What a terminal's books are worth, and how much of them is read at once."""

import time
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest

from pc_agent.domain.books import Books
from pc_agent.domain.orders import mark_of
from pc_agent.orders.whole_books import whole_books
from pc_agent.terminal.messages import AccountFacts, ReadBooks
from pc_agent.terminal.mt5_books import read_books
from pc_agent.terminal.mt5_session import BrokerLink, TerminalGoneError

OURS = AccountFacts("broker-1", 42, 0)
MARK = mark_of("s1")


def deal(ticket: int, second: int, **changes: Any) -> Any:
    row: dict[str, Any] = {
        "ticket": ticket, "order": ticket, "magic": 0, "comment": "", "symbol": "EURUSD", "type": 0, "volume": 0.1,
        "price": 1.1, "entry": 0, "position_id": ticket, "reason": 3, "profit": 0.0, "commission": 0.0, "fee": 0.0,
        "swap": 0.0, "time": second, "time_msc": second * 1000,
    }  # fmt: skip
    return SimpleNamespace(**row | changes)


class Terminal:
    """Connected, logged in to whatever account a person chose, with the deals that a test gives it."""

    def __init__(self, deals: tuple[Any, ...] = ()) -> None:
        self.server, self.login = OURS.server, OURS.login
        self.deals = deals
        self.largest = self.counted = 0
        self.calls: list[str] = []
        self.broker = BrokerLink(self)
        self.broker.joined(OURS)

    def account_info(self) -> Any:
        self.calls.append("account")
        money = {"balance": 1.0, "equity": 1.0, "margin": 0.0, "margin_free": 1.0}
        return SimpleNamespace(server=self.server, login=self.login, **money)

    def terminal_info(self) -> Any:
        return SimpleNamespace(connected=True)

    def orders_get(self) -> tuple[Any, ...]:
        self.calls.append("orders")
        return ()

    def positions_get(self) -> tuple[Any, ...]:
        self.calls.append("positions")
        return ()

    def history_orders_get(self, *_: object, ticket: int = 0) -> tuple[Any, ...]:
        self.calls.append(f"past {ticket}" if ticket else "past")
        return ()

    def history_orders_total(self, *_: object) -> int:
        return 0

    def history_deals_total(self, since: datetime, until: datetime) -> int:
        self.counted += 1
        return sum(since.timestamp() <= row.time <= until.timestamp() for row in self.deals)

    def history_deals_get(
        self, since: datetime | None = None, until: datetime | None = None, *, ticket: int = 0
    ) -> tuple[Any, ...]:
        self.calls.append(f"deals {ticket}" if ticket else "deals")
        if since is None or until is None:
            return ()
        rows = tuple(row for row in self.deals if since.timestamp() <= row.time <= until.timestamp())
        self.largest = max(self.largest, len(rows))
        return rows

    async def read_books(self, ask: ReadBooks) -> Books:
        return read_books(self, self.broker, ask)


@pytest.mark.parametrize(("server", "login"), [("broker-1", 43), ("broker-2", 42)])
def test_the_books_of_another_account_prove_nothing(server: str, login: int) -> None:
    """A person may log the terminal in elsewhere: what is not in those books may have been executed all the same."""
    terminal = Terminal()
    asked = ReadBooks(1, 1_000_000, (MARK,))
    assert read_books(terminal, terminal.broker, asked).deals == ()
    terminal.server, terminal.login = server, login
    with pytest.raises(TerminalGoneError, match=f"{login} at {server}"):
        read_books(terminal, terminal.broker, asked)


async def test_a_long_past_is_read_in_pieces_that_an_order_can_wait_for() -> None:
    """Every deal is told once, whatever their density; only one second is never divided."""
    now = int(time.time())
    seconds = [now - 40_000 + n * 40 for n in range(900)] + [now - 5] * 300 + [now]
    terminal = Terminal(tuple(deal(number, second) for number, second in enumerate(seconds)))
    books = await whole_books(terminal, ReadBooks(0, now - 86_400))
    assert books
    assert [row.ticket for row in books.deals] == list(range(len(seconds)))
    assert terminal.largest == 300
    assert terminal.counted < 100


async def test_the_newest_deal_is_read_whatever_the_date_of_the_pc_is() -> None:
    """An order that was executed an hour ago is not called dead by a PC that is set a week behind."""
    now = int(time.time())
    books = await whole_books(Terminal((deal(1, now + 7 * 86_400),)), ReadBooks(0, now - 60))
    assert books
    assert [row.ticket for row in books.deals] == [1]


async def test_only_rows_that_bear_a_mark_are_brought() -> None:
    """Magic or comment; the rest of a long past stays where it is."""
    now = int(time.time())
    rows = (deal(1, now), deal(2, now, magic=MARK.magic), deal(3, now, comment=MARK.comment))
    books = await whole_books(Terminal(rows), ReadBooks(0, now - 60, (MARK,)))
    assert books
    assert [row.ticket for row in books.deals] == [2, 3]


def test_an_order_goes_before_and_behind_the_picture_and_between_two_tickets() -> None:
    """What is open is one picture, orders before deals before positions, in which nothing can be missed."""
    terminal = Terminal()
    asked = ReadBooks(1, 1_000_000, (MARK,), orders=(8, 9))
    read_books(terminal, terminal.broker, asked, lambda: terminal.calls.append("-"))
    assert terminal.calls == [
        *("account", "-", "orders", "deals", "past", "positions", "account", "-"),
        *("past 8", "deals 8", "-", "past 9", "deals 9", "-", "account"),
    ]
