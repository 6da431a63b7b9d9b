"""What a terminal's books are worth."""

from types import SimpleNamespace
from typing import Any

import pytest

from pc_agent.domain.orders import mark_of
from pc_agent.terminal.messages import AccountFacts, ReadBooks
from pc_agent.terminal.mt5_session import BrokerLink, TerminalGoneError, read_books

OURS = AccountFacts("broker-1", 42, 0)


class Terminal:
    """Connected, with empty books, logged in to whatever account a person chose."""

    def __init__(self) -> None:
        self.server, self.login = OURS.server, OURS.login

    def account_info(self) -> Any:
        return SimpleNamespace(server=self.server, login=self.login)

    def terminal_info(self) -> Any:
        return SimpleNamespace(connected=True)

    def orders_get(self) -> tuple[Any, ...]:
        return ()

    positions_get = orders_get

    def history_orders_get(self, *_: object) -> tuple[Any, ...]:
        return ()

    history_deals_get = history_orders_get


@pytest.mark.parametrize(("server", "login"), [("broker-1", 43), ("broker-2", 42)])
def test_the_books_of_another_account_prove_nothing(server: str, login: int) -> None:
    """A person may log the terminal in elsewhere: what is not in those books may have been executed all the same."""
    terminal = Terminal()
    broker = BrokerLink(terminal)
    broker.joined(OURS)
    asked = ReadBooks(1, 1_000_000, (mark_of("s1"),))
    assert read_books(terminal, broker, asked).deals == ()
    terminal.server, terminal.login = server, login
    with pytest.raises(TerminalGoneError, match=f"{login} at {server}"):
        read_books(terminal, broker, asked)
