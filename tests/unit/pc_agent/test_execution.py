"""From the ledger to the terminal, and back: one signal."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mesh.orders import Kind
from pc_agent.domain.orders import Account, Entry, OrderState, Result, Side, mark_of
from pc_agent.orders.confirmations import NothingToConfirmError
from pc_agent.orders.ledger import Ledger
from pc_agent.terminal.order_tasks import Again, OrderDone
from tests.support import eventually
from tests.unit.pc_agent.executing import ACCOUNT, REQUOTE, SYMBOLS, Desk, signal


async def test_a_requote_is_sent_again_in_its_place_and_not_for_ever(desk: Desk) -> None:
    """With the price of the first attempt; behind it what came with it; a broker that goes on refusing has refused."""
    again = OrderDone("a", REQUOTE, Again(1.1))
    desk.terminal.says = {"a": [again], "b": [OrderDone("b", REQUOTE, Again())], "never": [
        OrderDone("never", REQUOTE, Again(1.1)) for _ in range(50)
    ]}  # fmt: skip
    async with desk.running():
        await desk.take(signal("a"), signal("b"))
        await desk.becomes("b", OrderState.FILLED)
        assert desk.terminal.sent == ["a", "b", "a", "b"]
        assert desk.terminal.messages[1][0].first_price == 1.1
        await desk.take(signal("never"), last_seq=2)
        await desk.becomes("never", OrderState.REJECTED)
    assert len(desk.terminal.sent) < 20
    assert desk.truth.intents.count("a") == 2, "safety is asked anew before it is sent again"


async def test_what_is_not_answered_in_time_is_not_sent_again(desk: Desk) -> None:
    """A pause that a broker asked for does not outlive the signal."""
    desk.terminal.says = {"a": [OrderDone("a", REQUOTE, Again(1.1, 60_000))]}
    async with desk.running():
        await desk.take(signal("a"))
        await eventually(lambda: desk.terminal.sent)
        desk.hear_of_the_engine(ahead_s=30)
        await desk.becomes("a", OrderState.EXPIRED)
    assert desk.terminal.sent == ["a"]


async def test_the_pcs_deviation_is_a_cap_and_the_symbols_margin_goes_along(ledger: Ledger, tmp_path: Path) -> None:
    """A signal may ask for less slippage than the PC allows, never for more."""
    symbols = {**SYMBOLS, "EURUSD": replace(SYMBOLS["EURUSD"], margin_per_lot=1_100.0)}
    desk = Desk(ledger, tmp_path, symbols)
    async with desk.running():
        for name, points in (("none", 0), ("less", 5), ("more", 500)):
            await desk.take(signal(name, deviation_points=points))
        await desk.becomes("more", OrderState.FILLED)
    tasks = {task.signal_id: task for message in desk.terminal.messages for task in message}
    assert {name: task.bounds.deviation_points for name, task in tasks.items()} == {"none": 20, "less": 5, "more": 20}
    assert tasks["none"].margin_per_lot == 1_100.0


async def test_a_pending_order_is_watched_when_it_is_placed(desk: Desk) -> None:
    """It is not over when the terminal has answered."""
    desk.terminal.says = {"a": [OrderDone("a", Result(OrderState.PLACED, ticket=9))]}
    async with desk.running():
        await desk.take(signal("a", kind=Kind.LIMIT, price="1.1"))
        await eventually(lambda: desk.truth.watched)
    assert desk.truth.watched[0].result.ticket == 9


@pytest.mark.parametrize("missing", ["terminal", "lease", "truth"])
async def test_what_may_not_be_sent_yet_waits_and_is_sent_when_it_may(desk: Desk, missing: str) -> None:
    """A terminal that is away, a lease that lapsed, books that were not compared yet: nothing is sent, nothing lost."""
    desk.terminal.connected = missing != "terminal"
    desk.ready = missing != "truth"
    if missing == "lease":
        desk.lease.until_ns = 0
    async with desk.running():
        await desk.take(signal("a"))
        assert await desk.state("a") is OrderState.RECEIVED
        assert desk.terminal.sent == []
        desk.terminal.connected = desk.ready = True
        desk.hear_of_the_engine()
        await desk.becomes("a", OrderState.FILLED)


@pytest.mark.parametrize("state", [OrderState.RECEIVED, OrderState.INTENT, OrderState.SENT])
async def test_what_an_earlier_agent_left_is_executed_or_in_doubt(desk: Desk, state: OrderState) -> None:
    """What it had not begun is executed; what it may have sent is UNKNOWN, never sent again, and counts for the caps;
    another account's stays as it is."""
    begun = time.time_ns()
    for account in (ACCOUNT, Account("broker-1", 43)):
        name = f"a{account.login}"
        entry = Entry(signal(name, account=account), Result(OrderState.RECEIVED), 1)
        await desk.ledger.receive(account, 1, 1, [entry])
        if state is not OrderState.RECEIVED:
            await desk.ledger.intend([name], begun)
        if state is OrderState.SENT:
            desk.ledger.note_sent(name, 3, 4)
    async with desk.running():
        await desk.becomes("a42", OrderState.FILLED if state is OrderState.RECEIVED else OrderState.UNKNOWN)
    is_fresh = state is OrderState.RECEIVED
    assert desk.terminal.sent == (["a42"] if is_fresh else [])
    assert desk.truth.recalled == ([] if is_fresh else [begun])
    assert (("a42", OrderState.UNKNOWN) in desk.truth.results) is not is_fresh
    assert await desk.state("a43") is state


async def test_an_expiry_is_told_by_the_brokers_clock_or_the_order_is_not_sent(desk: Desk) -> None:
    """By the clock of a quote that was only found, hours old, it would end hours early."""
    until_ms = time.time_ns() // 1_000_000 + 3_600_000
    async with desk.running():
        for name, desk.server_ahead_s in (("unknown", None), ("known", 7_200)):
            await desk.take(signal(name, kind=Kind.LIMIT, price="1.0", expires_unix_ms=until_ms))
        await desk.take(signal("none", kind=Kind.LIMIT, price="1.0"))
        await desk.becomes("none", OrderState.FILLED)
    refused = await desk.ledger.entry("unknown")
    assert refused
    assert refused.result.reason == "SERVER_CLOCK_UNKNOWN"
    tasks = [task for message in desk.terminal.messages for task in message]
    assert [(task.signal_id, task.server_ahead_s) for task in tasks] == [("known", 7_200), ("none", 7_200)]


async def test_a_signal_of_another_ledger_is_in_doubt(desk: Desk) -> None:
    """Handed out before, unknown here: it may have been executed, and nothing follows on its symbol in the batch."""
    async with desk.running():
        await desk.take(signal("lost", redelivered=True), signal("next"))
        await desk.becomes("next", OrderState.REJECTED)
    assert [entry.signal.signal_id for entry in desk.truth.doubted] == ["lost"]
    assert desk.terminal.sent == []


async def test_what_may_have_been_executed_is_not_called_refused(desk: Desk) -> None:
    """Handed out before: that it could not be executed now proves nothing of then."""
    past_ms = time.time_ns() // 1_000_000 - 1
    lost = [
        signal("expired", kind=Kind.LIMIT, price="1.1", expires_unix_ms=past_ms, redelivered=True),
        signal("hidden", "GBPUSD", redelivered=True),
    ]
    async with desk.running():
        await desk.take(*lost)
    assert [await desk.state(one.signal_id) for one in lost] == [OrderState.UNKNOWN] * 2


async def test_a_void_of_another_ledger_counts_while_the_terminal_holds_what_came_of_it(desk: Desk) -> None:
    """Then the books are asked whose that is; of the others nothing is kept, nor of a void that is no redelivery."""
    desk.marks = {mark_of("held"), mark_of("own")}
    voids = [signal("held", void=True, redelivered=True), signal("over", void=True, redelivered=True)]
    async with desk.running():
        await desk.take(*voids, signal("own", void=True))
    assert [await desk.state(name) for name in ("held", "over", "own")] == [OrderState.UNKNOWN, None, None]
    assert desk.terminal.sent == []


async def test_a_lane_that_comes_back_meanwhile_does_not_stop_an_order(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine's clock may be forgotten while the intent is written: what was measured before still holds."""
    receive = desk.ledger.receive

    async def forgetting(account: Account, epoch: int, last_seq: int, entries: Sequence[Entry]) -> frozenset[str]:
        new = await receive(account, epoch, last_seq, entries)
        desk.clock.forget()
        return new

    monkeypatch.setattr(desk.ledger, "receive", forgetting)
    async with desk.running():
        await desk.take(signal("a"))
        await desk.becomes("a", OrderState.FILLED)


async def test_a_lane_that_is_cut_takes_no_order_with_it(desk: Desk) -> None:
    """Who waited for the ledger is gone; the order goes on its way."""
    async with desk.running():
        await desk.execution.ready()
        taken = desk.execution.take([signal("a")], 1, 1, 7)
        lane = asyncio.ensure_future(asyncio.shield(taken))
        await asyncio.sleep(0)
        lane.cancel()
        await desk.becomes("a", OrderState.FILLED)


async def test_the_agents_own_signals_need_neither_lease_nor_clock_and_are_not_reported(desk: Desk) -> None:
    """They work while the engine is gone; asked again, the first answer is given."""
    desk.clock.forget()
    desk.lease.until_ns = 0
    own = signal("local-1", kind=Kind.CLOSE, position=7, side=None, volume="", seq=0, epoch=0)
    async with desk.running():
        entry = await desk.execution.take_local(own)
        again = await desk.execution.take_local(own)
        wrong = await desk.execution.take_local(replace(own, signal_id="local-2", symbol="NOPE"))
    assert (entry.state, again.state, wrong.state) == (OrderState.FILLED, OrderState.FILLED, OrderState.REJECTED)
    assert entry.resolved_unix_ns
    assert await desk.ledger.reports(ACCOUNT, 10) == []


async def test_confirmed_entries_of_a_symbol_keep_their_order(desk: Desk) -> None:
    """Each goes when those before it were answered, and the person is told of which; other symbols do not wait."""
    desk.trade_confirmation = True
    async with desk.running():
        await desk.take(*(signal(name) for name in "abcd"), signal("other", "USDJPY"))
        await eventually(lambda: len(desk.confirmations.waiting) == 5)
        behind = [desk.confirmations.answer(name, True) for name in ("other", "d", "b")]
        await desk.becomes("other", OrderState.FILLED)
        assert (behind, desk.terminal.sent, desk.execution.queued) == (["", "a", "a"], ["other"], 4)
        assert desk.confirmations.answer("a", True) == ""
        await desk.becomes("b", OrderState.FILLED)
        assert desk.terminal.sent == ["other", "a", "b"]
        assert desk.confirmations.answer("c", False) == ""
        await desk.becomes("d", OrderState.FILLED)
    assert desk.terminal.sent == ["other", "a", "b", "d"]


async def test_a_question_holds_back_nothing_that_makes_nothing_larger(desk: Desk) -> None:
    """Not even behind an entry that is confirmed already; of the same batch or later, the engine's or the agent's."""
    desk.trade_confirmation = True
    smaller: dict[str, dict[str, Any]] = {
        "close": {"kind": Kind.CLOSE, "side": Side.SELL, "position": 7},
        "stops": {"kind": Kind.MODIFY_POSITION, "side": None, "volume": "", "position": 7, "stop_loss": "1.0"},
        "moved": {"kind": Kind.MODIFY_ORDER, "side": None, "volume": "", "order_ticket": 9, "price": "1.0"},
        "removed": {"kind": Kind.CANCEL_ORDER, "side": None, "volume": "", "order_ticket": 9},
    }
    async with desk.running():
        await desk.take(signal("asked"), signal("confirmed"), signal("batch", **smaller["close"]))
        await desk.becomes("batch", OrderState.FILLED)
        assert desk.confirmations.answer("confirmed", True) == "asked"
        await desk.take(*(signal(name, **fields) for name, fields in smaller.items()), last_seq=2)
        await desk.becomes("removed", OrderState.FILLED)
        own = await desk.execution.take_local(signal("local", **smaller["close"], seq=0, epoch=0))
        assert own.state is OrderState.FILLED
        assert await desk.state("confirmed") is OrderState.RECEIVED
    assert desk.terminal.sent == ["batch", *smaller, "local"]


async def test_an_entry_that_nobody_answers_holds_its_symbol_back_no_longer_than_it_lives(desk: Desk) -> None:
    """What is confirmed behind it goes then; where that runs out first, it says what it waited for."""
    desk.trade_confirmation = True
    first_ms, long_ms = (time.time_ns() // 1_000_000 + after_s * 1_000 for after_s in (60, 100))
    async with desk.running():
        first, long = signal("first", not_after_unix_ms=first_ms), signal("long", not_after_unix_ms=long_ms)
        await desk.take(first, signal("short"), long)
        await eventually(lambda: len(desk.confirmations.waiting) == 3)
        assert [desk.confirmations.answer(name, True) for name in ("short", "long")] == ["first", "first"]
        desk.hear_of_the_engine(ahead_s=30)
        await desk.becomes("short", OrderState.EXPIRED)
        assert desk.terminal.sent == []
        desk.hear_of_the_engine(ahead_s=70)
        await desk.becomes("long", OrderState.FILLED)
        await desk.becomes("first", OrderState.EXPIRED)
    assert desk.terminal.sent == ["long"]
    ended = [await desk.ledger.entry(name) for name in ("short", "first")]
    assert [entry.result.message if entry else "" for entry in ended] == [
        "an earlier entry of its symbol waited to be confirmed until its time ran out",
        "nobody confirmed it (trade_confirmation) before its time ran out",
    ]


async def test_an_entry_that_is_not_asked_for_any_more_keeps_its_place(desk: Desk) -> None:
    """Who switches the preference off does not answer what was asked before; of another symbol nothing waits."""
    desk.trade_confirmation = True
    async with desk.running():
        await desk.take(signal("asked"))
        desk.trade_confirmation = False
        await desk.take(signal("behind"), signal("other", "USDJPY"), last_seq=2)
        await desk.becomes("other", OrderState.FILLED)
        assert desk.terminal.sent == ["other"]
        assert [question.signal.signal_id for question in desk.confirmations.waiting] == ["asked"]
        desk.confirmations.answer("asked", True)
        await desk.becomes("behind", OrderState.FILLED)
    assert desk.terminal.sent == ["other", "asked", "behind"]


async def test_more_questions_than_a_person_can_answer_are_not_asked(desk: Desk) -> None:
    """What comes on top of them is NOT_CONFIRMED at once."""
    desk.trade_confirmation = True
    async with desk.running():
        await desk.take(*(signal(f"s{number}") for number in range(201)))
        await desk.becomes("s200", OrderState.REJECTED)
        assert len(desk.confirmations.waiting) == 200


async def test_nothing_is_sent_before_the_person_said_yes(desk: Desk) -> None:
    """Refused is NOT_CONFIRMED, unanswered is EXPIRED when late, confirmed is executed. What closes is not asked."""
    desk.trade_confirmation = True
    later = time.time_ns() // 1_000_000 + 60_000
    async with desk.running():
        await desk.take(signal("no", not_after_unix_ms=later), signal("yes", not_after_unix_ms=later), signal("late"))
        await desk.take(signal("out", kind=Kind.CLOSE, position=7, side=Side.SELL))
        await desk.becomes("out", OrderState.FILLED)
        desk.hear_of_the_engine(ahead_s=30)
        await desk.becomes("late", OrderState.EXPIRED)
        assert [question.signal.signal_id for question in desk.confirmations.waiting] == ["no", "yes"]
        desk.confirmations.answer("no", False)
        desk.confirmations.answer("yes", True)
        await desk.becomes("yes", OrderState.FILLED)
        await desk.becomes("no", OrderState.REJECTED)
        with pytest.raises(NothingToConfirmError):
            desk.confirmations.answer("late", True)
    assert desk.terminal.sent == ["out", "yes"]
    refused, late = await desk.ledger.entry("no"), await desk.ledger.entry("late")
    assert refused
    assert late
    assert (refused.result.reason, "nobody confirmed it" in late.result.message) == ("NOT_CONFIRMED", True)
