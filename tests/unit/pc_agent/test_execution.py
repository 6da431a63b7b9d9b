"""From the ledger to the terminal, and back."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from mesh.orders import Kind
from pc_agent.config import AgentSettings
from pc_agent.domain.orders import Account, Entry, Mark, OrderState, Result, Side, Signal, mark_of
from pc_agent.domain.refusal import Refusal
from pc_agent.domain.server_clock import Lease, ServerClock
from pc_agent.domain.symbols import SymbolFacts
from pc_agent.orders.admission import Admission, Policy
from pc_agent.orders.confirmations import Confirmations, NothingToConfirmError
from pc_agent.orders.execution import Execution
from pc_agent.orders.ledger import Ledger, open_ledger
from pc_agent.orders.permission import Permission
from pc_agent.settings.live import live_settings
from pc_agent.terminal.order_tasks import Again, OrderDone, OrderTask, Sending
from pc_agent.terminal.worker import OrderListener
from tests.support import eventually

ACCOUNT = Account("broker-1", 42)
FILLED = Result(OrderState.FILLED, ticket=5, deal=6, volume="0.1", price="1.1", called_unix_ns=1, answered_unix_ns=2)
UNKNOWN = Result(OrderState.UNKNOWN, "TIMEOUT", called_unix_ns=1)
REQUOTE = Result(OrderState.REJECTED, "REQUOTE", called_unix_ns=1)
SYMBOLS = {name: SymbolFacts(name, 5, 0.01, 100.0, 0.01, 1.0, 0) for name in ("EURUSD", "USDJPY")}


class Terminal:
    """Fills what it is sent, but for what `says` tells of a signal, in turn; `silent`: it says nothing of it."""

    def __init__(self) -> None:
        self.connected = True
        self.messages: list[list[OrderTask]] = []
        self.says: dict[str, list[OrderDone]] = {}
        self.silent: set[str] = set()
        self.listener: OrderListener | None = None

    @property
    def sent(self) -> list[str]:
        return [task.signal_id for message in self.messages for task in message]

    def is_ready(self, symbol: str) -> bool:
        return self.connected

    def send_orders(self, tasks: Sequence[OrderTask], listener: OrderListener) -> None:
        self.messages.append(list(tasks))
        self.listener = listener
        for task in tasks:
            if task.signal_id in self.silent:
                continue
            listener.order_sending(Sending(task.signal_id, 1))
            said = self.says.get(task.signal_id)
            listener.order_done(said.pop(0) if said else OrderDone(task.signal_id, FILLED))


class Truth:
    """Remembers what is in doubt and what is watched; frozen symbols are the test's to name. Refuses nothing itself."""

    def __init__(self) -> None:
        self.doubted: list[Entry] = []
        self.watched: list[Entry] = []
        self.refuses: Refusal | None = None
        self.intents: list[str] = []
        self.results: list[tuple[str, OrderState]] = []

    def doubt(self, entry: Entry) -> None:
        self.doubted.append(entry)

    def watch(self, entry: Entry) -> None:
        self.watched.append(entry)

    def is_frozen(self, symbol: str) -> bool:
        return any(entry.signal.symbol == symbol for entry in self.doubted)

    def refusal(self, signal: Signal) -> Refusal | None:
        return self.refuses

    def note_intent(self, signal: Signal) -> None:
        self.intents.append(signal.signal_id)

    def note_result(self, entry: Entry) -> None:
        self.results.append((entry.signal.signal_id, entry.state))


class Desk:
    """An execution with all that it needs, the engine heard of just now."""

    trade_confirmation = False
    auto_close_trades = False

    def __init__(self, ledger: Ledger, folder: Path, symbols: Mapping[str, SymbolFacts] = SYMBOLS) -> None:
        self.ledger = ledger
        self.terminal, self.truth = Terminal(), Truth()
        self.ready = True
        self.clock, self.lease = ServerClock(), Lease()
        self.hear_of_the_engine()
        self.confirmations = Confirmations()
        settings = live_settings(AgentSettings(state_dir=folder))  # type: ignore[call-arg]
        # Of positions at the terminal.
        self.marks: set[Mark] = set()
        policy = Policy(
            ACCOUNT, False, lambda: symbols, lambda: settings, self, self.truth, self.truth.is_frozen,
            holds=lambda mark: mark in self.marks,
        )  # fmt: skip
        permission = Permission(self.terminal, self.clock, self.lease, lambda: self.ready)
        self.execution = Execution(Admission(policy, permission, self.confirmations), ledger, self.terminal, self.truth)

    def hear_of_the_engine(self) -> None:
        now = time.monotonic_ns()
        self.clock.measure(now, now, time.time_ns())
        self.lease.renew(now, 60_000)

    async def take(self, *signals: Signal, last_seq: int = 1) -> None:
        await self.execution.ready()
        await self.execution.take(signals, 1, last_seq, 7)

    async def state(self, name: str) -> OrderState | None:
        entry = await self.ledger.entry(name)
        return entry.state if entry else None

    async def becomes(self, name: str, state: OrderState) -> None:
        async def is_so() -> bool:
            return await self.state(name) is state

        await eventually(is_so)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.execution.run())
            yield
            running.cancel()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(tmp_path) as opened:
        yield opened


@pytest.fixture
def desk(ledger: Ledger, tmp_path: Path) -> Desk:
    return Desk(ledger, tmp_path)


def signal(name: str, symbol: str = "EURUSD", **changes: object) -> Signal:
    not_after_ms = time.time_ns() // 1_000_000 + 20_000
    made = Signal(name, ACCOUNT, 1, 1, False, False, symbol, Side.BUY, "0.1", "", "", not_after_ms)
    return replace(made, **changes)  # type: ignore[arg-type]


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
    late = time.time_ns() // 1_000_000 + 150
    desk.terminal.says = {"a": [OrderDone("a", REQUOTE, Again(1.1, 60_000))]}
    async with desk.running():
        await desk.take(signal("a", not_after_unix_ms=late))
        await desk.becomes("a", OrderState.EXPIRED)
    assert desk.terminal.sent == ["a"]


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
    """What it had not begun is executed; what it may have sent is UNKNOWN and never sent again; another account's stays
    as it is."""
    for account in (ACCOUNT, Account("broker-1", 43)):
        name = f"a{account.login}"
        entry = Entry(signal(name, account=account), Result(OrderState.RECEIVED), 1)
        await desk.ledger.receive(account, 1, 1, [entry])
        if state is not OrderState.RECEIVED:
            await desk.ledger.intend([name], 2)
        if state is OrderState.SENT:
            desk.ledger.note_sent(name, 3, 4)
    async with desk.running():
        await desk.becomes("a42", OrderState.FILLED if state is OrderState.RECEIVED else OrderState.UNKNOWN)
    assert desk.terminal.sent == (["a42"] if state is OrderState.RECEIVED else [])
    assert await desk.state("a43") is state


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


async def test_nothing_is_sent_before_the_person_said_yes(desk: Desk) -> None:
    """Refused is NOT_CONFIRMED, unanswered is EXPIRED, confirmed is executed; one signal does not wait for another."""
    desk.trade_confirmation = True
    soon = time.time_ns() // 1_000_000 + 150
    async with desk.running():
        await desk.take(signal("no"), signal("yes"), signal("late", not_after_unix_ms=soon))
        await desk.becomes("late", OrderState.EXPIRED)
        assert [question.signal.signal_id for question in desk.confirmations.waiting] == ["no", "yes"]
        desk.confirmations.answer("no", False)
        desk.confirmations.answer("yes", True)
        await desk.becomes("yes", OrderState.FILLED)
        await desk.becomes("no", OrderState.REJECTED)
        with pytest.raises(NothingToConfirmError):
            desk.confirmations.answer("late", True)
    assert desk.terminal.sent == ["yes"]
    refused = await desk.ledger.entry("no")
    assert refused
    assert refused.result.reason == "NOT_CONFIRMED"
