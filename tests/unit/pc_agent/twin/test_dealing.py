"""What becomes of orders: retcodes, netted positions, money, stops, and books that stay."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from pc_agent.twin import constants as mt5
from pc_agent.twin.books import Books, ForeignFolderError
from pc_agent.twin.results import TradePosition, TradeRequest
from pc_agent.twin.terminal import Terminal
from tests.unit.pc_agent.twin.trading import BUY, SELL, account, ask, deals, send
from tests.unit.pc_agent.twin.trading import request as trade

EURUSD = [(1000, 1.10000, 1.10010), (2000, 1.10100, 1.10110), (3000, 1.09900, 1.09910), (4000, 1.09800, 1.09810)]
Open = Callable[..., Terminal]
Replay = Callable[..., str]


def request(side: int = BUY, volume: float = 0.1, action: int = mt5.TRADE_ACTION_DEAL, **fields: Any) -> TradeRequest:
    return trade(action, type=side, volume=volume, **fields)


def position(terminal: Terminal) -> TradePosition | None:
    held = ask(terminal, "positions_get", "EURUSD", None, None)
    return held[0] if held else None


def test_a_buy_fills_at_the_ask_and_is_in_the_books(open_terminal: Open, replay: Replay) -> None:
    """The result names deal and order; order, deal and position bear magic and comment."""
    terminal = open_terminal(replay("EURUSD", EURUSD))
    result = send(terminal, BUY, 0.1)
    assert (result.retcode, result.price, result.volume) == (mt5.TRADE_RETCODE_DONE, 1.09810, 0.1)
    (deal,) = deals(terminal)
    (order,) = ask(terminal, "history_orders_get", None, None, result.order, None)
    held = position(terminal)
    assert held is not None
    assert (deal.ticket, deal.order, deal.entry) == (result.deal, result.order, mt5.DEAL_ENTRY_IN)
    assert order.state == mt5.ORDER_STATE_FILLED
    assert {(row.magic, row.comment) for row in (deal, order, held)} == {(7, "s1")}
    assert held.profit == -1.0  # ten points of spread on a tenth of a lot
    assert account(terminal).margin == pytest.approx(109.81)


def test_positions_net(open_terminal: Open, replay: Replay) -> None:
    """Increase, reduce, flip, close: IN, OUT, INOUT, OUT; a reversal keeps the identifier and changes the ticket."""
    terminal = open_terminal(replay("EURUSD", EURUSD))
    results = [send(terminal, *order) for order in ((BUY, 0.2), (BUY, 0.1), (SELL, 0.1), (SELL, 0.5))]
    held = position(terminal)
    assert held is not None
    assert (held.type, held.volume, held.ticket) == (mt5.POSITION_TYPE_SELL, 0.3, results[3].order)
    assert held.identifier == results[0].order
    send(terminal, BUY, 0.3)
    assert position(terminal) is None
    made = deals(terminal)
    assert [deal.entry for deal in made] == [0, 0, 1, 2, 1]
    assert {deal.position_id for deal in made} == {results[0].order}
    assert [deal.profit for deal in made] == [0.0, 0.0, -1.0, -2.0, -3.0]
    assert account(terminal).balance == 99_994.0
    tickets = [deal.ticket for deal in made]
    assert tickets == sorted(set(tickets))


@pytest.mark.parametrize(
    ("order", "retcode"),
    [
        ({"volume": 0.0}, mt5.TRADE_RETCODE_INVALID_VOLUME),
        ({"volume": -0.1}, mt5.TRADE_RETCODE_INVALID_VOLUME),
        ({"volume": 0.015}, mt5.TRADE_RETCODE_INVALID_VOLUME),
        ({"volume": 100.01}, mt5.TRADE_RETCODE_INVALID_VOLUME),
        ({"volume": float("nan")}, mt5.TRADE_RETCODE_INVALID_VOLUME),
        ({"sl": 1.0981}, mt5.TRADE_RETCODE_INVALID_STOPS),
        ({"tp": 1.0970}, mt5.TRADE_RETCODE_INVALID_STOPS),
        ({"sl": float("nan")}, mt5.TRADE_RETCODE_INVALID_STOPS),
        ({"side": SELL, "sl": 1.0970}, mt5.TRADE_RETCODE_INVALID_STOPS),
        ({"price": float("nan")}, mt5.TRADE_RETCODE_INVALID_PRICE),
        ({"type_time": 2**63}, mt5.TRADE_RETCODE_INVALID_EXPIRATION),
        ({"symbol": "NONE"}, mt5.TRADE_RETCODE_INVALID),
        ({"action": 99}, mt5.TRADE_RETCODE_INVALID),
        ({"action": mt5.TRADE_ACTION_SLTP}, mt5.TRADE_RETCODE_POSITION_CLOSED),
        ({"action": mt5.TRADE_ACTION_PENDING}, mt5.TRADE_RETCODE_INVALID_ORDER),
        ({"side": mt5.ORDER_TYPE_BUY_LIMIT}, mt5.TRADE_RETCODE_INVALID_ORDER),
        ({"side": 99}, mt5.TRADE_RETCODE_INVALID),
        ({"type_filling": mt5.ORDER_FILLING_RETURN}, mt5.TRADE_RETCODE_INVALID_FILL),
        ({"volume": 95.0}, mt5.TRADE_RETCODE_NO_MONEY),
        ({"position": 4711}, mt5.TRADE_RETCODE_POSITION_CLOSED),
    ],
)
def test_a_bad_order_gets_its_retcode_and_leaves_nothing(
    open_terminal: Open, replay: Replay, order: dict[str, Any], retcode: int
) -> None:
    """order_check says the same beforehand."""
    terminal = open_terminal(replay("EURUSD", EURUSD))
    assert ask(terminal, "order_check", request(**order)).retcode == retcode
    result = send(terminal, **order)
    assert (result.retcode, result.deal, result.order) == (retcode, 0, 0)
    assert deals(terminal) == []
    assert position(terminal) is None


def test_closing_by_ticket_closes_no_more_than_there_is(open_terminal: Open, replay: Replay) -> None:
    """A request that names a position can not turn it round."""
    terminal = open_terminal(replay("EURUSD", EURUSD))
    opened = send(terminal, BUY, 0.2)
    assert send(terminal, SELL, 0.3, position=opened.order).retcode == mt5.TRADE_RETCODE_INVALID_CLOSE_VOLUME
    assert send(terminal, SELL, 0.2, position=opened.order).retcode == mt5.TRADE_RETCODE_DONE
    assert position(terminal) is None


def test_a_check_says_what_the_account_would_be(open_terminal: Open, replay: Replay) -> None:
    """And changes nothing."""
    terminal = open_terminal(replay("EURUSD", EURUSD))
    check = ask(terminal, "order_check", request(BUY, 1.0))
    assert (check.retcode, check.comment, check.margin) == (0, "Done", 1098.1)
    assert deals(terminal) == []


def test_before_the_first_tick_there_is_no_price(open_terminal: Open, replay: Replay) -> None:
    """An order then is off quotes."""
    terminal = open_terminal(replay("EURUSD", EURUSD), speed="1")
    assert send(terminal).retcode == mt5.TRADE_RETCODE_PRICE_OFF


@pytest.mark.parametrize(
    ("stops", "price", "reason", "comment"),
    [
        ({"sl": 1.0985}, 1.09800, mt5.DEAL_REASON_SL, "[sl 1.09850]"),
        ({"tp": 1.1005, "sl": 1.0900}, 1.10100, mt5.DEAL_REASON_TP, "[tp 1.10050]"),
    ],
)
def test_stops_are_met_by_the_tick_that_touches_them(
    open_terminal: Open, replay: Replay, hand: Any, stops: dict[str, float], price: float, reason: int, comment: str
) -> None:
    """Without any call of a client: the pulse is enough."""
    terminal = open_terminal(replay("EURUSD", EURUSD), speed="1")
    hand.now_ms += 1
    assert send(terminal, BUY, 0.1, **stops).retcode == mt5.TRADE_RETCODE_DONE
    hand.now_ms += 5000
    terminal.pulse()
    assert position(terminal) is None
    deal = deals(terminal)[-1]
    assert (deal.price, deal.reason, deal.comment, deal.magic) == (price, reason, comment, 7)


def test_profit_is_in_the_accounts_currency(open_terminal: Open, replay: Replay) -> None:
    """Yen are worth what USDJPY says; what no symbol can value is not traded."""
    quotes = [(1000, 150.000, 150.010)]
    terminal = open_terminal(replay("USDJPY", quotes), replay("EURJPY", quotes))
    assert send(terminal, BUY, 1.0, symbol="USDJPY").retcode == mt5.TRADE_RETCODE_DONE
    assert account(terminal).profit == pytest.approx(-1000 / 150.01, abs=0.01)
    assert account(terminal).margin == pytest.approx(1000.0, abs=0.1)
    assert ask(terminal, "symbol_info", "EURJPY").trade_mode == mt5.SYMBOL_TRADE_MODE_FULL


def test_what_can_not_be_valued_is_not_traded(open_terminal: Open, replay: Replay) -> None:
    """No rate from yen to the account's currency: trading of the symbol is disabled, and said so."""
    terminal = open_terminal(replay("EURJPY", [(1000, 150.0, 150.01)]))
    assert ask(terminal, "symbol_info", "EURJPY").trade_mode == mt5.SYMBOL_TRADE_MODE_DISABLED
    assert send(terminal, BUY, 1.0, symbol="EURJPY").retcode == mt5.TRADE_RETCODE_TRADE_DISABLED


def test_the_books_stay(open_terminal: Open, replay: Replay) -> None:
    """A restarted terminal has the same deals, orders, position and balance, and goes on with its tickets."""
    feed = replay("EURUSD", EURUSD)
    terminal = open_terminal(feed)
    send(terminal, BUY, 0.3, magic=2**64 - 1)
    send(terminal, SELL, 0.1)
    before = deals(terminal), position(terminal), account(terminal)
    terminal = open_terminal(feed)
    assert (deals(terminal), position(terminal), account(terminal)) == before
    assert before[0][0].magic == 2**64 - 1
    assert ask(terminal, "deal_count", 2**64 - 1) == 1
    assert ask(terminal, "deal_count", None) == 2
    assert send(terminal, SELL, 0.2).deal == before[0][-1].ticket + 1


def test_only_the_accounts_own_password_opens_it(open_terminal: Open, replay: Replay) -> None:
    """Nothing given is the account the terminal is logged in to."""
    terminal = open_terminal(replay("EURUSD", EURUSD))
    assert terminal.handle("login", (None, None, None))[0] == 1
    assert terminal.handle("login", (1, "secret", "test"))[0] == 1
    for wrong in ((2, "secret", "test"), (1, "guess", "test"), (1, "secret", "other")):
        assert terminal.handle("login", wrong)[:2] == (-6, "Terminal: Authorization failed")


def test_books_of_another_account_are_not_taken(open_terminal: Open, replay: Replay, tmp_path: Any) -> None:
    """A folder belongs to one server and login."""
    terminal = open_terminal(replay("EURUSD", EURUSD))
    (deposit,) = ask(terminal, "history_deals_get", (0, 2**31 - 1), None, None, None)
    with closing(Books(tmp_path / "books.sqlite")) as books, pytest.raises(ForeignFolderError, match="belongs to"):
        books.open_account("another", 1, deposit)


def test_the_books_log_stays_short(open_terminal: Open, replay: Replay, tmp_path: Any) -> None:
    """It is moved into the file by the pulse, which no order waits for; nothing of it is lost."""
    feed = replay("EURUSD", EURUSD)
    terminal = open_terminal(feed)
    for _ in range(4):
        for _ in range(120):
            send(terminal, BUY, 0.01)
            send(terminal, SELL, 0.01)
        terminal.pulse()
    assert (tmp_path / "books.sqlite-wal").stat().st_size < 16_000_000
    assert len(deals(open_terminal(feed))) == 960
