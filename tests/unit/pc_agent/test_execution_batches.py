"""Signals that come together or behind each other: one message, and the order of each symbol."""

import asyncio
import time

import pytest

from pc_agent.domain.orders import Account, OrderState
from pc_agent.domain.refusal import Refusal
from pc_agent.terminal.order_tasks import OrderDone
from tests.unit.pc_agent.executing import ACCOUNT, FILLED, UNKNOWN, Desk, signal


async def test_a_batch_is_one_message_and_bears_the_times_of_its_way(desk: Desk) -> None:
    """Written as INTENT in the commit that receives it; received, queued, called, answered are kept with the result."""
    async with desk.running():
        await desk.take(signal("a"), signal("b", "USDJPY"), signal("c"))
        await desk.becomes("c", OrderState.FILLED)
    assert [[task.signal_id for task in message] for message in desk.terminal.messages] == [["a", "b", "c"]]
    entry = await desk.ledger.entry("a")
    assert entry
    assert (entry.received_unix_ns, entry.result.called_unix_ns, entry.result.answered_unix_ns) == (7, 1, 2)
    assert entry.intent_unix_ns <= entry.queued_unix_ns <= time.time_ns()
    assert entry.clock_offset_ns


async def test_a_refusal_is_a_report_of_its_own(desk: Desk) -> None:
    """What is wrong with one takes nothing from the others; safety has the last word."""
    async with desk.running():
        await desk.take(
            signal("account", account=Account("broker-1", 43)),
            signal("symbol", "NOPE"),
            signal("step", volume="0.015"),
            signal("late", not_after_unix_ms=1),
            signal("good"),
        )
        await desk.becomes("good", OrderState.FILLED)
        desk.truth.refuses = Refusal("KILL_SWITCH", "thrown")
        await desk.take(signal("halted"), last_seq=2)
        reports = await desk.ledger.reports(ACCOUNT, 100)
    reasons = {report.entry.signal.signal_id: report.entry.result.reason for report in reports}
    assert reasons["symbol"] == "UNKNOWN_SYMBOL"
    assert reasons["step"] == "VOLUME_OFF_STEP"
    assert reasons["late"] == "EXPIRED"
    assert reasons["halted"] == "KILL_SWITCH"
    assert desk.terminal.sent == ["good"]
    refused = await desk.ledger.entry("account")
    assert refused
    assert refused.result.reason == "WRONG_ACCOUNT"


async def test_the_same_signal_is_never_sent_twice(desk: Desk) -> None:
    """Twice in a batch, again while the first is at the terminal, again when it is done: one order."""
    desk.terminal.silent = {"a"}
    async with desk.running():
        await desk.take(signal("a", seq=1), signal("a", seq=2), last_seq=2)
        await desk.take(signal("a", seq=3), signal("a", "USDJPY", seq=4), last_seq=4)
        await desk.take(signal("a", "USDJPY", seq=5), last_seq=5)
        assert desk.terminal.listener
        desk.terminal.listener.order_done(OrderDone("a", FILLED))
        await desk.becomes("a", OrderState.FILLED)
        await desk.take(signal("a", seq=6), last_seq=6)
    assert desk.terminal.sent == ["a"]


async def test_orders_of_a_symbol_wait_for_those_before_them(desk: Desk) -> None:
    """What comes while the terminal has one of the symbol goes in the next message; other symbols do not wait."""
    desk.terminal.silent = {"a"}
    async with desk.running():
        await desk.take(signal("a"))
        await desk.take(signal("b"), signal("c"), signal("other", "USDJPY"), last_seq=2)
        assert desk.terminal.sent == ["a", "other"]
        assert desk.terminal.listener
        desk.terminal.listener.order_done(OrderDone("a", FILLED))
        await desk.becomes("c", OrderState.FILLED)
    assert [[task.signal_id for task in message] for message in desk.terminal.messages][2:] == [["b", "c"]]


async def test_however_many_wait_a_message_holds_a_hundred(desk: Desk) -> None:
    """The rest of a symbol follows when they are done, other symbols do not wait for that."""
    desk.terminal.silent = {"first"}
    names = [f"e{n}" for n in range(150)]
    async with desk.running():
        await desk.take(signal("first"), signal("other", "USDJPY"))
        desk.terminal.connected = False
        for start in (0, 100):
            await desk.take(*(signal(name) for name in names[start : start + 100]), last_seq=2)
        await desk.take(*(signal(f"u{n}", "USDJPY") for n in range(20)), last_seq=3)
        desk.terminal.silent = {"e99"}
        desk.terminal.connected = True
        assert desk.terminal.listener
        desk.terminal.listener.order_done(OrderDone("first", FILLED))
        await desk.becomes("u19", OrderState.FILLED)
        assert "e100" not in desk.terminal.sent
        desk.terminal.listener.order_done(OrderDone("e99", FILLED))
        await desk.becomes("e149", OrderState.FILLED)
    assert [name for name in desk.terminal.sent if name.startswith("e")] == names
    assert max(len(message) for message in desk.terminal.messages) == 100


async def test_each_that_goes_counts_for_those_behind_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cap is not passed by those that waited together."""
    full = Refusal("OPEN_POSITIONS_CAP", "two are open")
    monkeypatch.setattr(desk.truth, "refusal", lambda _: full if len(desk.truth.intents) >= 2 else None)
    async with desk.running():
        await desk.execution.ready()
        desk.terminal.connected = False
        await desk.take(*(signal(name) for name in "abc"), signal("d", "USDJPY"))
        desk.terminal.connected = True
        await desk.becomes("d", OrderState.REJECTED)
        await desk.becomes("c", OrderState.REJECTED)
    assert desk.terminal.sent == ["a", "b"]


async def test_behind_one_in_doubt_the_symbol_is_frozen(desk: Desk) -> None:
    """What waits behind it is refused, not sent; the doubt is told when the ledger has it."""
    desk.terminal.silent = {"a"}
    async with desk.running():
        await desk.take(signal("a"))
        await desk.take(signal("b"), last_seq=2)
        assert desk.terminal.listener
        desk.terminal.listener.order_done(OrderDone("a", UNKNOWN))
        await desk.becomes("b", OrderState.REJECTED)
    assert [entry.state for entry in desk.truth.doubted] == [OrderState.UNKNOWN]
    assert desk.terminal.sent == ["a"]


async def test_what_is_being_written_holds_back_what_comes_behind_it(desk: Desk) -> None:
    """While the ledger writes one in doubt, or one that may not be sent yet, no other of its symbol overtakes it."""
    async with desk.running():
        await desk.execution.ready()
        desk.terminal.connected = False
        one = desk.execution.take([signal("lost", redelivered=True), signal("waits", "USDJPY")], 1, 1, 7)
        await asyncio.sleep(0)  # it is judged now, and being written
        desk.terminal.connected = True
        two = desk.execution.take([signal("behind"), signal("next", "USDJPY")], 1, 2, 7)
        await asyncio.gather(one, two)
        await desk.becomes("next", OrderState.FILLED)
        await desk.becomes("behind", OrderState.REJECTED)
    assert desk.terminal.sent == ["waits", "next"]
