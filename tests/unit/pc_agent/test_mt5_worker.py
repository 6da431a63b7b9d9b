"""The worker's loop around a terminal that the test plays."""

from collections.abc import Callable
from itertools import repeat
from typing import Any

import numpy as np
import pytest

from mesh.market import BEFORE_FIRST
from pc_agent import mt5_worker
from pc_agent.domain.books import Books
from pc_agent.domain.orders import Account, OrderState, Result, Side, Signal, mark_of
from pc_agent.domain.symbol_names import NameRules
from pc_agent.domain.terminal_health import findings
from pc_agent.terminal import mt5_symbols
from pc_agent.terminal.messages import (
    Adjust,
    BooksRead,
    Connected,
    Disconnected,
    HealthSeen,
    HistoryPage,
    NewestRead,
    OrderDone,
    OrderTask,
    PriceBounds,
    ReadBooks,
    ReadHistory,
    Reading,
    ReadNewest,
    RefreshSymbols,
    SendOrders,
    SymbolsShown,
    TicksRead,
)
from tests.unit.pc_agent.terminals import FakeMt5, ticks_at
from tests.unit.pc_agent.worker_turns import FROM, Script, ask, run


@pytest.fixture(autouse=True)
def _no_storm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few commands are none, however slow the machine."""
    monkeypatch.setattr(mt5_worker, "_STORM_S", 1_000.0)


def test_whose_account_it_is_at_is_noted_before_anything_can_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the settings say, then as the terminal does; where that can not be kept, nothing is sent."""
    monkeypatch.setattr(mt5_worker, "backoff", lambda *_: repeat(0.0))
    pipe: Any = Script()
    full = iter((OSError("disk full"),))

    def note(*account: Any) -> None:
        if error := next(full, None):
            raise error
        pipe.events.append(account)

    run(FakeMt5(EURUSD=ticks_at([FROM])), pipe=pipe, note=note)
    assert "disk full" in pipe.said(Disconnected)[0].reason
    assert [event for event in pipe.events[1:4] if isinstance(event, tuple)] == [("", 0), ("broker", 42)]
    assert isinstance(pipe.events[3], Connected)


def test_history_is_read_behind_live_ticks_a_page_a_round() -> None:
    """Between two pages every open symbol is read once."""
    mt5 = FakeMt5(EURUSD=ticks_at([FROM]), GBPUSD=ticks_at(FROM + np.arange(20_000)))
    pipe = run(
        mt5,
        ask(
            Reading("EURUSD", 1, BEFORE_FIRST, 32_000),
            *(ReadHistory(n, "GBPUSD", BEFORE_FIRST, 0, FROM + 60_000) for n in range(3)),
        ),
    )
    copies = [call for call in mt5.calls if call.startswith("copy")]
    assert copies[:6] == ["copy EURUSD", "copy GBPUSD"] * 3
    assert [page.request for page in pipe.said(HistoryPage)] == [0, 1, 2]
    kinds = [type(event) for event in pipe.events if not isinstance(event, HealthSeen | SymbolsShown)]
    assert kinds.index(TicksRead) < kinds.index(HistoryPage)


def test_questions_are_answered_while_the_terminal_is_away() -> None:
    """With why not, so that nobody waits."""
    mt5 = FakeMt5(EURUSD=ticks_at([FROM]))

    def go_away(pipe: Script) -> None:
        mt5.gone = True
        ask(ReadHistory(1, "EURUSD", BEFORE_FIRST, 0, FROM))(pipe)

    pipe = run(mt5, go_away, ask(ReadHistory(2, "EURUSD", BEFORE_FIRST, 0, FROM), ReadNewest(3, "EURUSD")))
    assert pipe.said(Disconnected)
    errors = {page.request: page.error for page in pipe.said(HistoryPage)}
    # Whether the first question finds out that it is away, or the look at its health a moment before.
    assert "No IPC connection" in errors[1] or "does not answer" in errors[1]
    assert "does not answer" in errors[2]
    assert pipe.said(NewestRead)[0].newest == BEFORE_FIRST


def test_no_symbol_is_open_when_the_terminal_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read last may never have been told: the agent asks anew."""
    monkeypatch.setattr(mt5_worker, "backoff", lambda *_: repeat(0.0))
    mt5 = FakeMt5(EURUSD=ticks_at([FROM]))

    def go_away(_: Script) -> None:
        mt5.gone, mt5.back_after = True, 3
        mt5.ticks["EURUSD"] = ticks_at([FROM, FROM + 1])

    pipe = run(mt5, ask(Reading("EURUSD", 1, BEFORE_FIRST, 9)), go_away, lambda _: None, lambda _: None)
    told = [type(event) for event in pipe.events if isinstance(event, Connected | TicksRead)]
    assert told == [Connected, TicksRead, Connected]


def order(signal_id: str, symbol: str = "EURUSD") -> OrderTask:
    signal = Signal(signal_id, Account("broker", 42), 1, 1, False, False, symbol, Side.BUY, "0.1", "", "", 2**53)
    return OrderTask(signal, mark_of(signal_id), 42, 2**62, 2**62, PriceBounds(20))


def test_an_order_goes_between_any_two_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes while a page is read, live or of the past, and is the next thing that the terminal is asked."""
    mt5 = FakeMt5(EURUSD=ticks_at(FROM + np.arange(20_000)), GBPUSD=ticks_at(FROM + np.arange(20_000)))
    placed: list[str] = []
    script: list[Script] = []

    def send_orders(_: Any, tasks: Any, *__: Any) -> None:
        for task in tasks:
            mt5.calls.append("order")
            placed.append(task.signal_id)

    def order_comes() -> None:
        script[0].inbox.append(SendOrders((order(f"o{len(mt5.calls)}"),)))

    def begin(pipe: Script) -> None:
        script.append(pipe)
        mt5.calls.clear()
        mt5.during_copy = order_comes
        readings = [Reading(symbol, 1, BEFORE_FIRST, 8_000) for symbol in mt5.ticks]
        ask(*readings, *(ReadHistory(n, "GBPUSD", BEFORE_FIRST, 0, FROM + 60_000) for n in range(3)))(pipe)

    monkeypatch.setattr(mt5_worker, "send_orders", send_orders)
    run(mt5, begin)
    calls = [call for call in mt5.calls if call == "order" or call.startswith("copy")]
    assert calls[:14] == ["copy EURUSD", "order", "copy GBPUSD", "order", "copy GBPUSD", "order"] * 2 + calls[12:14]
    assert len(placed) == len([call for call in calls if call.startswith("copy")])


def test_an_order_goes_while_books_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is answered before them."""
    order_done = OrderDone("o1", Result(OrderState.FILLED))

    def read_books(_: Any, __: Any, ___: Any, between: Callable[[], None]) -> Books:
        pipe.inbox.append(SendOrders((order("o1"),)))
        between()
        return Books(1.0, (), (), (), ())

    pipe: Any = Script(ask(ReadBooks(1, 1)))
    monkeypatch.setattr(mt5_worker, "read_books", read_books)
    monkeypatch.setattr(mt5_worker, "send_orders", lambda *_: pipe.send(order_done))
    run(FakeMt5(EURUSD=ticks_at([FROM])), pipe=pipe)
    said = [event for event in pipe.events if isinstance(event, OrderDone | BooksRead)]
    assert [type(event) for event in said] == [OrderDone, BooksRead]


def test_a_storm_of_orders_leaves_room_for_a_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders that never end do not end the ticks."""
    monkeypatch.setattr(mt5_worker, "_STORM_S", 0.0)
    monkeypatch.setattr(mt5_worker, "send_orders", lambda *_: None)
    mt5 = FakeMt5(EURUSD=ticks_at(FROM + np.arange(10)))
    storm = [SendOrders((order(f"o{n}"),)) for n in range(50)]
    pipe = run(mt5, ask(Reading("EURUSD", 1, BEFORE_FIRST, 100)), lambda pipe: pipe.inbox.extend(storm))
    assert pipe.said(TicksRead)


def test_the_broker_is_asked_by_its_own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ticks, history, orders and facts; the agent hears of EURUSD only."""
    sent: list[str] = []
    monkeypatch.setattr(mt5_worker, "send_orders", lambda _, tasks, *__: sent.extend(task.symbol for task in tasks))
    mt5 = FakeMt5(**{"EURUSD.r": ticks_at([FROM])})
    pipe = run(
        mt5,
        ask(
            Reading("EURUSD", 1, BEFORE_FIRST, 100),
            ReadHistory(1, "EURUSD", BEFORE_FIRST, 0, FROM + 1),
            ReadNewest(2, "EURUSD"),
            SendOrders((order("o1"),)),
        ),
        names=NameRules(suffixes=(".r",)),
    )
    assert sent == ["EURUSD.r"]
    assert {call for call in mt5.calls if call.startswith("copy")} == {"copy EURUSD.r"}
    (facts,) = pipe.said(Connected)[0].symbols
    assert (facts.symbol, facts.terminal_symbol) == ("EURUSD", "EURUSD.r")
    assert {event.symbol for event in pipe.said(TicksRead)} == {"EURUSD"}
    assert pipe.said(HistoryPage)[0].columns
    assert pipe.said(NewestRead)[0].newest.time_msc == FROM


def test_health_is_told_when_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once when the terminal is joined, then when something else is wrong; not for each measurement."""
    monkeypatch.setattr(mt5_worker, "_CHECK_S", 0.0)
    mt5 = FakeMt5(EURUSD=ticks_at([FROM]))

    def set_to(**values: Any) -> Callable[[Script], object]:
        return lambda _: mt5.terminal.update(values)

    pipe = run(mt5, set_to(ping_last=21_000), set_to(trade_allowed=False), set_to(connected=False))
    told = [([finding.reason for finding in findings(seen.health)], seen.broker_since is None)
            for seen in pipe.said(HealthSeen)]  # fmt: skip
    assert told == [([], False), (["AUTOTRADING_OFF"], False), (["AUTOTRADING_OFF", "NO_BROKER"], True)]


def test_facts_are_told_when_the_broker_changes_them_or_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A price that moves changes none; the margin of a lot is not asked for each time."""
    monkeypatch.setattr(mt5_symbols, "_STEP_SHARE", 0)
    mt5 = FakeMt5(EURUSD=ticks_at([FROM]))

    def widen(_: Script) -> None:
        mt5.facts["trade_stops_level"] = 30

    pipe = run(mt5, lambda _: mt5.facts.update(trade_tick_value=2.0), widen, ask(RefreshSymbols()), lambda _: None)
    assert [event.symbols[0].stops_level for event in pipe.said(SymbolsShown)] == [30, 30]
    assert pipe.said(Connected)[0].symbols[0].margin_per_lot == 2_000.0
    assert mt5.calls.count("margin EURUSD") == 2


def test_settings_may_change_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other symbols are carried, others hidden from the agent; it logs as told."""
    levels: list[str] = []
    monkeypatch.setattr("pc_agent.mt5_worker.set_level", levels.append)
    mt5 = FakeMt5(EURUSD=ticks_at([FROM]), GBPUSD=ticks_at([FROM]))
    pipe = run(mt5, ask(Adjust(("GBPUSD",), 30.0, 500, "error")), lambda _: None, lambda _: None)
    assert [[s.symbol for s in event.symbols] for event in pipe.said(SymbolsShown)] == [["GBPUSD"]]
    assert levels == ["error"]
