"""Sending orders through a terminal module."""

import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from mesh.clock import boot_ns
from mesh.orders import Kind
from pc_agent.domain.orders import Account, OrderState, Side, Signal, mark_of
from pc_agent.domain.price_checks import PriceBounds
from pc_agent.terminal.mt5_orders import send_order, send_orders
from pc_agent.terminal.order_tasks import Again, OrderDone, OrderTask, Sending
from pc_agent.terminal.quote_ages import QuoteAges
from pc_agent.twin import constants

FOREVER = boot_ns() + 10**15
SIGNAL = Signal("s1", Account("broker", 42), 1, 1, False, False, "EURUSD", Side.BUY, "0.1", "", "1.3", 0)
TASK = OrderTask(SIGNAL, mark_of("s1"), 42, FOREVER, FOREVER, PriceBounds(20))


class Terminal:
    """Answers `order_send` with what it was given, in turn; remembers what it was asked. EURUSD is at 1.1/1.1001."""

    def __init__(self, *retcodes: int | None, login: int = 42, **facts: Any) -> None:
        self.retcodes = list(retcodes)
        self.sent: list[dict[str, Any]] = []
        self.login, self.server = login, SIGNAL.account.server
        self.info = SimpleNamespace(
            bid=1.1, ask=1.1001, time=1_000, point=0.00001, trade_stops_level=0, trade_freeze_level=0, filling_mode=1,
            trade_exemode=2, expiration_mode=15,
        )  # fmt: skip
        vars(self.info).update(facts)
        self.positions: list[Any] = []
        self.margin = 0.0  # of a lot
        self.orders: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(constants, name)

    def last_error(self) -> tuple[int, str]:
        return (-10005, "IPC timeout") if self.login else (-10004, "No IPC connection")

    def account_info(self) -> Any:
        money = {"margin_free": 100.0, "currency": "USD"}
        return SimpleNamespace(login=self.login, server=self.server, **money) if self.login else None

    def order_calc_margin(self, action: int, symbol: str, lots: float, price: float) -> float:
        assert (action, symbol, price) == (constants.ORDER_TYPE_BUY, "EURUSD", self.info.ask)
        return round(self.margin * lots, 2)

    def symbol_info(self, name: str) -> Any:
        return None if name == "GONE" else self.info

    def positions_get(self, ticket: int = 0, symbol: str = "") -> Any:
        return tuple(position for position in self.positions if symbol or position.ticket == ticket)

    def orders_get(self, ticket: int) -> Any:
        return tuple(order for order in self.orders if order.ticket == ticket)

    def order_send(self, request: dict[str, Any]) -> Any:
        self.sent.append(request)
        retcode = self.retcodes.pop(0)
        if retcode is None:
            return None
        told = retcode in (10009, 10010) and request["action"] == constants.TRADE_ACTION_DEAL
        return SimpleNamespace(
            retcode=retcode, order=5, deal=6 if told else 0, price=1.2 if told else 0.0, volume=0.1, comment="said"
        )


def order(**fields: Any) -> OrderTask:
    return replace(TASK, signal=replace(SIGNAL, take_profit="", **fields))


def row(**fields: Any) -> SimpleNamespace:
    """A position or an order as the terminal lists it."""
    return SimpleNamespace(**{"symbol": "EURUSD", **fields})


def send(terminal: Terminal, task: OrderTask = TASK) -> OrderDone:
    return send_order(terminal, task, QuoteAges(), lambda _: None)


def test_entries_that_were_stopped_meanwhile_come_back() -> None:
    """They are not sent, and judged anew by who knows why; what makes a position smaller goes."""
    terminal = Terminal(10009)
    terminal.positions = [row(ticket=5, symbol="GBPUSD", type=0, volume=1.0)]
    close = order(signal_id="c", kind=Kind.CLOSE, position=5, side=Side.SELL, symbol="GBPUSD")
    said: list[Any] = []
    send_orders(terminal, [order(signal_id="a"), close], QuoteAges(), said.append, lambda: True)
    first, _, second = said
    assert (first.signal_id, first.again is not None, second.result.state) == ("a", True, OrderState.FILLED)
    assert len(terminal.sent) == 1


def test_done_is_filled_with_what_the_terminal_said() -> None:
    """Ticket, deal, price and volume are the terminal's; the request bears the mark and only real floats."""
    terminal = Terminal(10009)
    said: list[Sending | OrderDone] = []
    result = send_order(terminal, TASK, QuoteAges(), said.append).result
    assert (result.state, result.ticket, result.deal) == (OrderState.FILLED, 5, 6)
    assert (result.price, result.volume) == ("1.2", "0.1")
    assert said == [Sending("s1", result.called_unix_ns)]
    assert 0 < result.called_unix_ns <= result.answered_unix_ns
    (request,) = terminal.sent
    assert (request["magic"], request["comment"]) == (TASK.mark.magic, TASK.mark.comment)
    assert (request["price"], request["tp"], request["deviation"]) == (1.1001, 1.3, 20)
    assert "sl" not in request


def test_an_agent_that_stood_still_meanwhile_does_not_make_it_late() -> None:
    """Saying that it is about to be sent may take until the agent goes on: then its time is looked at once more."""
    terminal = Terminal(10009)
    task = replace(TASK, expires_ns=boot_ns() + 50_000_000)
    done = send_order(terminal, task, QuoteAges(), lambda _: time.sleep(0.06))
    assert (done.result.state, done.again, terminal.sent) == (OrderState.EXPIRED, None, [])


@pytest.mark.parametrize("retcode", [10004, 10020, 10021])
def test_a_requote_is_tried_again_within_the_deviation_from_the_first_price(retcode: int) -> None:
    """The worker does not send twice by itself; it says where the first price was, and holds the next against it."""
    terminal = Terminal(retcode, 10009)
    done = send(terminal)
    assert done.again == Again(1.1001)
    again = replace(TASK, first_price=1.1001)
    terminal.info.ask = 1.10031
    refused = send(terminal, again)
    assert (refused.result.state, refused.result.reason, refused.again) == (OrderState.REJECTED, "PRICE_MOVED", None)
    terminal.info.ask = 1.1003
    assert send(terminal, again).result.state is OrderState.FILLED
    terminal.retcodes, terminal.info.ask = [10009], 1.05
    assert send(terminal, again).result.state is OrderState.FILLED, "a better price is no reason to refuse"


def test_a_broker_with_too_many_requests_is_given_a_pause() -> None:
    """Proven not executed: it comes again, later."""
    again = send(Terminal(10024)).again
    assert again
    assert again.pause_ms > 0


@pytest.mark.parametrize("retcode", [None, 10011, 10012, 10028, 10031, 10008])
def test_doubt_is_unknown_and_not_sent_again(retcode: int | None) -> None:
    """No answer, an error after the fact, or placed without a deal: the books must tell."""
    terminal = Terminal(retcode)
    done = send(terminal)
    assert (done.result.state, done.again) == (OrderState.UNKNOWN, None)


@pytest.mark.parametrize(
    ("kind", "retcode", "state"),
    [
        (Kind.MARKET, 10010, OrderState.PARTIALLY_FILLED),
        (Kind.MARKET, 10025, OrderState.REJECTED),
        (Kind.MARKET, 10013, OrderState.REJECTED),
        (Kind.MARKET, 99_999, OrderState.REJECTED),
        (Kind.LIMIT, 10008, OrderState.PLACED),
        (Kind.LIMIT, 10009, OrderState.PLACED),
        (Kind.CLOSE, 10009, OrderState.FILLED),
        (Kind.MODIFY_POSITION, 10009, OrderState.DONE),
        (Kind.MODIFY_POSITION, 10025, OrderState.DONE),
        (Kind.MODIFY_ORDER, 10025, OrderState.DONE),
        (Kind.MODIFY_POSITION, 10008, OrderState.UNKNOWN),
        (Kind.CANCEL_ORDER, 10009, OrderState.DONE),
        (Kind.CLOSE_BY, 10009, OrderState.DONE),
        (Kind.CLOSE_BY, 10012, OrderState.UNKNOWN),
    ],
)
def test_an_answer_means_what_the_kind_makes_of_it(kind: Kind, retcode: int, state: OrderState) -> None:
    """Placed is an end for a pending order only, no changes is success for a change, an unknown code is a refusal."""
    terminal = Terminal(retcode)
    terminal.positions = [
        row(ticket=ticket, type=constants.POSITION_TYPE_SELL, volume=0.1, sl=0.0, tp=0.0) for ticket in (7, 9)
    ]
    terminal.orders = [
        row(
            ticket=8, type=constants.ORDER_TYPE_BUY_LIMIT, price_open=1.0, price_stoplimit=0.0, volume_current=0.1,
            type_filling=2,
        )
    ]  # fmt: skip
    task = order(kind=kind, price="1.05", position=7, opposite_position=9, order_ticket=8)
    assert send(terminal, task).result.state is state


@pytest.mark.parametrize(
    ("task", "reason"),
    [(replace(TASK, expires_ns=0), "EXPIRED"), (replace(TASK, lease_until_ns=0), "LEASE_LAPSED")],
)
def test_nothing_is_sent_too_late(task: OrderTask, reason: str) -> None:
    """Expiry and lease are looked at last of all."""
    terminal = Terminal()
    result = send(terminal, task).result
    assert (result.state, result.reason) == (OrderState.EXPIRED, reason)
    assert not terminal.sent


def test_the_same_login_of_another_broker_is_another_account() -> None:
    """Numbers are unique only on a broker's server."""
    terminal = Terminal()
    terminal.server = "other broker"
    assert send(terminal, TASK).result.reason == "ACCOUNT_CHANGED"
    assert not terminal.sent


@pytest.mark.parametrize(("login", "reason"), [(43, "ACCOUNT_CHANGED"), (0, "TERMINAL_DISCONNECTED")])
def test_nothing_is_sent_to_another_account_or_to_nobody(login: int, reason: str) -> None:
    """A person may have logged in elsewhere; a terminal may be gone."""
    terminal = Terminal(login=login)
    result = send(terminal).result
    assert (result.state, result.reason) == (OrderState.REJECTED, reason)
    assert not terminal.sent


def test_an_order_waits_for_a_terminal_that_is_away_but_not_for_a_symbol_that_is_gone() -> None:
    """The one may come back in time; the other is refused."""
    assert send(Terminal(login=0)).again
    terminal = Terminal()
    terminal.last_error = lambda: (-4, "Terminal: Not found")  # type: ignore[method-assign]
    gone = send(terminal, order(symbol="GONE"))
    assert (gone.result.reason, gone.again) == ("UNKNOWN_SYMBOL", None)


def test_an_entry_that_the_free_margin_is_too_little_for_is_not_sent() -> None:
    """By what the terminal says of the moment; nothing is refused of which nobody knows what it needs, that may make a
    position smaller, or that waits for a price."""
    terminal = Terminal(*[10009] * 5)
    task = replace(TASK, margin_per_lot=1_001.0)
    for margin in (1_000.0, 0.0):
        terminal.margin = margin
        assert send(terminal, task).result.state is OrderState.FILLED
    terminal.margin = 1_001.0
    assert send(terminal, TASK).result.state is OrderState.FILLED
    refused = send(terminal, task).result
    assert (refused.reason, refused.message) == (
        *("NOT_ENOUGH_MARGIN", "not sent: 0.1 lots of EURUSD need a margin of 100.10 USD, 100.00 USD are free"),
    )
    waits = replace(order(kind=Kind.LIMIT, price="1.05"), margin_per_lot=1_001.0)
    assert send(terminal, waits).result.state is OrderState.PLACED
    terminal.positions = [row(ticket=7, type=constants.POSITION_TYPE_SELL, volume=0.1)]
    assert send(terminal, task).result.state is OrderState.FILLED
    terminal.positions[0].type = constants.POSITION_TYPE_BUY
    assert send(terminal, task).result.reason == "NOT_ENOUGH_MARGIN"


@pytest.mark.parametrize(
    ("mask", "mode", "filling"), [(1, 2, 0), (3, 2, 0), (2, 2, 1), (0, 2, 0), (0, 1, 2), (2, 3, 1), (0, 3, 2)]
)
def test_filling_is_one_that_the_symbol_allows(mask: int, mode: int, filling: int) -> None:
    """The symbol's bit mask has another numbering than the request; market execution leaves no rest; a pending order's
    rest stays."""
    terminal = Terminal(10009, 10009, filling_mode=mask, trade_exemode=mode)
    send(terminal)
    assert terminal.sent[0]["type_filling"] == filling
    send(terminal, order(kind=Kind.STOP, price="1.2"))
    assert terminal.sent[1]["type_filling"] == constants.ORDER_FILLING_RETURN


def test_a_close_takes_side_and_volume_from_its_position() -> None:
    """What is not said is all of it, the other way; more than there is, or the wrong way, is not sent."""
    terminal = Terminal(10009, 10009)
    terminal.positions = [row(ticket=7, type=constants.POSITION_TYPE_BUY, volume=0.3)]
    send(terminal, order(kind=Kind.CLOSE, side=None, volume="", position=7))
    send(terminal, order(kind=Kind.CLOSE, side=Side.SELL, volume="0.1", position=7))
    whole, part = terminal.sent
    assert (whole["type"], whole["volume"], whole["position"], whole["price"]) == (1, 0.3, 7, 1.1)
    assert (part["volume"], part["position"]) == (0.1, 7)
    for wrong, reason in (
        ({"side": Side.BUY, "position": 7}, "WRONG_SIDE"),
        ({"side": None, "volume": "0.4", "position": 7}, "VOLUME_OVER_POSITION"),
        ({"side": None, "position": 9}, "POSITION_CLOSED"),
    ):
        assert send(terminal, order(kind=Kind.CLOSE, **wrong)).result.reason == reason
    assert len(terminal.sent) == 2


@pytest.mark.parametrize("kind", [Kind.CLOSE, Kind.CLOSE_BY, Kind.MODIFY_POSITION, Kind.MODIFY_ORDER])
def test_a_ticket_of_another_symbol_is_let_be(kind: Kind) -> None:
    """All that was checked is of the order's symbol; of two that close each other either may be the wrong one."""
    terminal = Terminal()
    terminal.positions = [row(ticket=7, symbol="XAUUSD" if kind is not Kind.CLOSE_BY else "EURUSD")]
    terminal.positions.append(row(ticket=9, symbol="XAUUSD"))
    terminal.orders = [row(ticket=8, symbol="XAUUSD")]
    task = order(kind=kind, side=None, volume="", position=7, opposite_position=9, order_ticket=8)
    assert send(terminal, task).result.reason == "WRONG_SYMBOL"
    assert not terminal.sent


def test_a_pending_order_says_where_it_waits_and_until_when_by_the_brokers_clock() -> None:
    """Prices as floats; the expiry in whole seconds, moved by as much as the broker's clock is ahead."""
    now_ms = time.time_ns() // 1_000_000
    terminal = Terminal(10009, time=now_ms // 1000 - 36 * 3600)
    signal = replace(
        SIGNAL, kind=Kind.STOP_LIMIT, price="1.2", limit_price="1.15", stop_loss="1.1", take_profit="1.4",
        expires_unix_ms=now_ms + 60_000,
    )  # fmt: skip
    assert send(terminal, replace(TASK, signal=signal, server_ahead_s=3 * 3600)).result.ticket == 5
    (request,) = terminal.sent
    assert request["type"] == constants.ORDER_TYPE_BUY_STOP_LIMIT
    assert (request["price"], request["stoplimit"], request["sl"], request["tp"]) == (1.2, 1.15, 1.1, 1.4)
    assert request["type_time"] == constants.ORDER_TIME_SPECIFIED
    assert request["expiration"] == (now_ms + 60_000) // 1000 + 3 * 3600


def test_a_changed_order_keeps_what_is_not_said_of_its_prices() -> None:
    """Its stops go when they are not given: so says the contract."""
    terminal = Terminal(10009)
    terminal.orders = [
        row(
            ticket=8, type=constants.ORDER_TYPE_SELL_LIMIT, price_open=1.2, price_stoplimit=0.0, volume_current=0.5,
            type_filling=2, sl=1.3,
        )
    ]  # fmt: skip
    send(terminal, order(kind=Kind.MODIFY_ORDER, side=None, volume="", order_ticket=8))
    (request,) = terminal.sent
    assert (request["action"], request["order"], request["price"]) == (constants.TRADE_ACTION_MODIFY, 8, 1.2)
    assert "sl" not in request


def test_behind_one_in_doubt_nothing_of_its_symbol_is_sent() -> None:
    """The rest of the batch comes back unsent; other symbols go on."""
    terminal = Terminal(10012, 10009)
    tasks = [order(signal_id="a"), order(signal_id="b"), order(signal_id="c", symbol="USDJPY")]
    said: list[Sending | OrderDone] = []
    send_orders(terminal, tasks, QuoteAges(), said.append)
    done = {one.signal_id: one for one in said if isinstance(one, OrderDone)}
    assert done["a"].result.state is OrderState.UNKNOWN
    assert (done["b"].result.reason, done["b"].again) == ("NOT_SENT", Again())
    assert done["c"].result.state is OrderState.FILLED
    assert [request["symbol"] for request in terminal.sent] == ["EURUSD", "USDJPY"]


def test_an_order_behind_a_requote_keeps_its_place() -> None:
    """Orders on one symbol keep their order, also when the first has to be tried again."""
    terminal = Terminal(10004)
    said: list[Sending | OrderDone] = []
    send_orders(terminal, [order(signal_id="a"), order(signal_id="b")], QuoteAges(), said.append)
    assert [one.signal_id for one in said if isinstance(one, OrderDone) and one.again] == ["a", "b"]
    assert len(terminal.sent) == 1


def test_a_quote_ages_while_it_stands() -> None:
    """By when it moved here; the first look trusts who read it, or nobody knows better."""
    ages = QuoteAges()
    assert ages.age_ns("A", (1, 1.0, 1.1), 100) == 0
    assert ages.age_ns("A", (1, 1.0, 1.1), 150) == 50
    assert ages.age_ns("A", (1, 1.0, 1.2), 170) == 0
    ages.moved("B", 100)
    assert ages.age_ns("B", (1, 1.0, 1.1), 130) == 30
    ages.moved("B", 140)
    assert ages.age_ns("B", (1, 1.0, 1.1), 150) == 10
