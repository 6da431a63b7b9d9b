"""A person at the terminal, and history that has to come down the line first."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from pc_agent.twin import constants as mt5
from pc_agent.twin.domain.ticks import TICK_DTYPE
from pc_agent.twin.results import TradeRequest
from pc_agent.twin.terminal import Terminal
from tests.unit.pc_agent.twin.conftest import DAY_MS, Hand, OpenTerminal, Quotes

QUOTES: Quotes = [(0, 1.1, 1.1002), (3_600_000, 1.2, 1.2002), (82_800_000, 1.3, 1.3002)]
BUY = {"action": mt5.TRADE_ACTION_DEAL, "symbol": "EURUSD", "volume": 0.5, "type": mt5.ORDER_TYPE_BUY}


@pytest.fixture
def terminal(open_terminal: OpenTerminal, replay: Callable[[str, Quotes], str]) -> Terminal:
    return open_terminal(replay("EURUSD", QUOTES))


def ask(terminal: Terminal, function: str, *arguments: object) -> object:
    code, words, value = terminal.handle(function, arguments)
    assert code == mt5.RES_S_OK, words
    return value


def test_a_trade_by_hand_bears_no_magic_and_says_who_made_it(terminal: Terminal) -> None:
    """Reason CLIENT in order, deal and position; AutoTrading may be off; the filling fits the symbol."""
    ask(terminal, "change_terminal", {"trade_allowed": False})
    result = ask(terminal, "request_by_hand", BUY)
    assert getattr(result, "retcode", 0) == mt5.TRADE_RETCODE_DONE
    books = ask(terminal, "all_books")
    (position,), deal, order = books.positions, books.deals[-1], books.history[-1]  # type: ignore[attr-defined]
    assert {position.reason, deal.reason, order.reason} == {mt5.DEAL_REASON_CLIENT}
    assert (position.magic, position.volume, position.profit) == (0, 0.5, -10.0)


def test_another_account_shows_nothing_and_executes_nothing(terminal: Terminal) -> None:
    """Until a client logs in to the terminal's own; what strayed there is counted."""
    ask(terminal, "request_by_hand", BUY)
    ask(terminal, "log_in_as", 77, "elsewhere")
    assert ask(terminal, "account_info")[:1] == (77,)  # type: ignore[index]
    assert ask(terminal, "positions_get", None, None, None) == ()
    assert ask(terminal, "history_deals_total", 0, 2**31 - 1) == 0
    assert len(ask(terminal, "all_books").positions) == 1  # type: ignore[attr-defined]
    ask(terminal, "login", None, None, None)
    refused = ask(terminal, "order_send", TradeRequest(**BUY))
    assert getattr(refused, "retcode", 0) == mt5.TRADE_RETCODE_TRADE_DISABLED
    assert ask(terminal, "stray_orders") == 1
    ask(terminal, "login", 1, "secret", "test")
    assert ask(terminal, "account_info")[:1] == (1,)  # type: ignore[index]
    assert ask(terminal, "positions_total") == 1
    assert ask(terminal, "deal_count", None) == 1


def test_a_terminal_that_lost_its_broker_stands_still(
    open_terminal: OpenTerminal, replay: Callable[[str, Quotes], str], hand: Hand
) -> None:
    """No tick comes and no stop is met until the line is back: then all of it has happened."""
    terminal = open_terminal(replay("EURUSD", QUOTES), speed="1")
    hand.now_ms += 1000
    ask(terminal, "request_by_hand", BUY | {"tp": 1.15})
    ask(terminal, "change_terminal", {"connected": False})
    hand.now_ms = DAY_MS + 4_000_000
    assert ask(terminal, "symbol_info_tick", "EURUSD")[1] == 1.1  # type: ignore[index]
    assert ask(terminal, "positions_total") == 1
    assert ask(terminal, "order_send", TradeRequest(**BUY))[0] == mt5.TRADE_RETCODE_CONNECTION  # type: ignore[index]
    ask(terminal, "change_terminal", {"connected": True})
    assert ask(terminal, "symbol_info_tick", "EURUSD")[1] == 1.2  # type: ignore[index]
    assert ask(terminal, "positions_total") == 0


def test_deep_history_comes_when_it_was_asked_for(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last hours are at hand; older ticks are not there at first, and are all there a little later."""
    now_s = [0.0]

    def sleep(seconds: float) -> None:
        now_s[0] += seconds

    monkeypatch.setattr("pc_agent.twin.downloads.time", SimpleNamespace(monotonic=lambda: now_s[0], sleep=sleep))

    def read(since_s: int) -> int:
        return len(np.frombuffer(ask(terminal, "copy_ticks_from", "EURUSD", since_s, 10, -1), TICK_DTYPE))  # type: ignore[call-overload]

    midnight = DAY_MS // 1000
    assert read(midnight) == 3
    ask(terminal, "slow_history", 0.5, 0.5)
    assert read(midnight + 50_000) == 1
    assert read(0) == 0  # not "there is nothing before the newest": nothing yet
    assert now_s[0] >= 0.15
    assert read(midnight + 50_000) == 1
    assert read(0) == 3
    assert now_s[0] == pytest.approx(11 / 24 / 2, abs=0.02)  # eleven hours, at half a second a day
    ask(terminal, "slow_history", None, 0.0)
    assert read(0) == 3
