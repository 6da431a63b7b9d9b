"""Sending one order through a terminal module."""

import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from pc_agent.domain.orders import Account, OrderState, Side, Signal, mark_of
from pc_agent.terminal.messages import OrderTask, PriceBounds
from pc_agent.terminal.mt5_orders import execute

FOREVER = time.monotonic_ns() + 10**15
SIGNAL = Signal("s1", Account("broker", 42), 1, 1, False, False, "EURUSD", Side.BUY, "0.1", "", "1.3", 0)
TASK = OrderTask(SIGNAL, mark_of("s1"), 42, FOREVER, FOREVER, PriceBounds(20))


class Terminal:
    """Answers `order_send` with what it was given, in turn; remembers what it was asked."""

    TRADE_ACTION_DEAL, ORDER_TYPE_BUY, ORDER_TYPE_SELL, ORDER_TIME_GTC = 1, 0, 1, 0
    ORDER_FILLING_FOK, ORDER_FILLING_IOC, ORDER_FILLING_RETURN = 0, 1, 2

    def __init__(self, *retcodes: int | None, login: int = 42, filling_mode: int = 1) -> None:
        self.retcodes = list(retcodes)
        self.sent: list[dict[str, Any]] = []
        self.login = login
        self.filling_mode = filling_mode
        self.ask = 1.1

    def last_error(self) -> tuple[int, str]:
        return (-10005, "IPC timeout")

    def account_info(self) -> Any:
        return SimpleNamespace(login=self.login) if self.login else None

    def symbol_info(self, _: str) -> Any:
        return SimpleNamespace(filling_mode=self.filling_mode)

    def symbol_info_tick(self, _: str) -> Any:
        self.ask += 0.1
        return SimpleNamespace(bid=1.0, ask=self.ask)

    def order_send(self, request: dict[str, Any]) -> Any:
        self.sent.append(request)
        retcode = self.retcodes.pop(0)
        if retcode is None:
            return None
        done = retcode in (10009, 10010)
        return SimpleNamespace(
            retcode=retcode, order=5, deal=6 if done else 0, price=1.2 if done else 0.0, volume=0.1, comment="said"
        )


def test_done_is_filled_with_what_the_terminal_said() -> None:
    """Ticket, deal, price and volume are the terminal's; the request bears the mark and only real floats."""
    terminal = Terminal(10009)
    result = execute(terminal, TASK)
    assert (result.state, result.ticket, result.deal) == (OrderState.FILLED, 5, 6)
    assert (result.price, result.volume) == ("1.2", "0.1")
    assert 0 < result.called_unix_ns <= result.answered_unix_ns
    (request,) = terminal.sent
    assert (request["magic"], request["comment"]) == (TASK.mark.magic, TASK.mark.comment)
    assert request["tp"] == 1.3
    assert "sl" not in request


def test_a_requote_is_tried_again_with_a_fresh_price_and_not_for_ever() -> None:
    """Three attempts, each at its moment's price; then the broker's word is a refusal."""
    terminal = Terminal(10004, 10020, 10021)
    result = execute(terminal, TASK)
    assert result.state is OrderState.REJECTED
    assert len({request["price"] for request in terminal.sent}) == 3


@pytest.mark.parametrize("retcode", [None, 10012, 10031, 10008])
def test_doubt_is_unknown_and_not_sent_again(retcode: int | None) -> None:
    """No answer, a timeout, or placed without a deal: the books must tell."""
    terminal = Terminal(retcode, 10009)
    assert execute(terminal, TASK).state is OrderState.UNKNOWN
    assert len(terminal.sent) == 1


def test_a_partial_fill_is_called_so() -> None:
    """DONE_PARTIAL is not the whole."""
    assert execute(Terminal(10010), TASK).state is OrderState.PARTIALLY_FILLED


@pytest.mark.parametrize(
    ("task", "reason"),
    [(replace(TASK, expires_ns=0), "EXPIRED"), (replace(TASK, lease_until_ns=0), "LEASE_LAPSED")],
)
def test_nothing_is_sent_too_late(task: OrderTask, reason: str) -> None:
    """Expiry and lease are looked at last of all."""
    terminal = Terminal()
    result = execute(terminal, task)
    assert (result.state, result.reason) == (OrderState.EXPIRED, reason)
    assert not terminal.sent


@pytest.mark.parametrize(("login", "reason"), [(43, "ACCOUNT_CHANGED"), (0, "TERMINAL_DISCONNECTED")])
def test_nothing_is_sent_to_another_account_or_to_nobody(login: int, reason: str) -> None:
    """A person may have logged in elsewhere; a terminal may be gone."""
    terminal = Terminal(login=login)
    result = execute(terminal, TASK)
    assert (result.state, result.reason) == (OrderState.REJECTED, reason)
    assert not terminal.sent


@pytest.mark.parametrize(("mask", "filling"), [(1, 0), (3, 0), (2, 1), (0, 2)])
def test_filling_is_one_that_the_symbol_allows(mask: int, filling: int) -> None:
    """The symbol's bit mask has another numbering than the request."""
    terminal = Terminal(10009, filling_mode=mask)
    execute(terminal, TASK)
    assert terminal.sent[0]["type_filling"] == filling
