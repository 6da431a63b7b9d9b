"""From the ledger to the terminal, and back out of doubt."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pc_agent.domain.books import Books
from pc_agent.domain.orders import Account, Entry, OrderState, Result, Side, Signal
from pc_agent.domain.server_clock import Lease, ServerClock
from pc_agent.orders.execution import Execution, Permission
from pc_agent.orders.ledger import Ledger, open_ledger
from pc_agent.orders.reconciler import Reconciler
from pc_agent.terminal.messages import OrderDone, OrderTask, ReadBooks
from pc_agent.terminal.worker import OrderListener
from tests.support import eventually

ACCOUNT = Account("broker-1", 42)
DAY_MS = 86_400_000


class Terminal:
    """Fills what it is sent; its books are empty and away."""

    connected = True

    def __init__(self) -> None:
        self.sent: list[OrderTask] = []
        self.asked_since: list[int] = []

    def send_orders(self, tasks: Sequence[OrderTask], listener: OrderListener) -> None:
        self.sent += tasks
        for task in tasks:
            result = Result(OrderState.FILLED, ticket=5, deal=6, volume="0.1", price="1.1")
            listener.order_done(OrderDone(task.signal_id, result))

    async def read_books(self, ask: ReadBooks) -> Books | None:
        self.asked_since.append(ask.from_s)
        return None


class Desk:
    """An execution with all that it needs, the engine heard of just now."""

    def __init__(self, ledger: Ledger) -> None:
        self.terminal = Terminal()
        self.clock, lease = ServerClock(), Lease()
        self.hear_of_the_engine()
        lease.renew(time.monotonic_ns(), 60_000)
        self.reconciler = Reconciler(ledger, self.terminal, self.clock, 60.0, lambda: None)
        permission = Permission(self.terminal, self.clock, lease)
        self.execution = Execution(
            ACCOUNT, ["EURUSD"], ledger, self.terminal, permission, self.reconciler, lambda: None
        )

    def hear_of_the_engine(self) -> None:
        now = time.monotonic_ns()
        self.clock.measure(now, now, time.time_ns())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self.execution.run()), tasks.create_task(self.reconciler.run())]
            yield
            for task in running:
                task.cancel()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(tmp_path) as opened:
        yield opened


def signal(name: str, account: Account = ACCOUNT) -> Signal:
    not_after_ms = time.time_ns() // 1_000_000 + 20_000
    return Signal(name, account, 1, 1, False, False, "EURUSD", Side.BUY, "0.1", "", "", not_after_ms)


@pytest.mark.parametrize("left", [OrderState.RECEIVED, OrderState.INTENT])
async def test_what_was_left_of_another_account_is_not_this_ones(ledger: Ledger, left: OrderState) -> None:
    """A terminal that changed its account neither executes the other's signals nor tells what became of them."""
    for other in (Account("broker-2", 42), Account("broker-1", 43)):
        name = f"{other.server} {other.login}"
        await ledger.receive(other, 1, 1, [Entry(signal(name, other), Result(OrderState.RECEIVED), time.time_ns())])
        if left is OrderState.INTENT:
            await ledger.intend([name], time.time_ns())
    desk = Desk(ledger)
    async with desk.running():
        await desk.execution.take([signal("ours")], 1, 1)
        await eventually(lambda: len(desk.terminal.sent) > 0)
    assert [task.signal_id for task in desk.terminal.sent] == ["ours"]
    assert desk.terminal.asked_since == []
    assert {report.entry.signal.account for report in await ledger.reports(ACCOUNT, 100)} == {ACCOUNT}


async def test_a_lane_that_comes_back_meanwhile_does_not_stop_an_order(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine's clock may be forgotten while the intent is written: what was measured before still holds."""
    desk = Desk(ledger)
    intend = ledger.intend

    async def forgetting(signal_ids: Sequence[str], intent_unix_ns: int) -> None:
        await intend(signal_ids, intent_unix_ns)
        desk.clock.forget()

    monkeypatch.setattr(ledger, "intend", forgetting)
    async with desk.running():
        await desk.execution.take([signal("s1")], 1, 1)
        await eventually(lambda: len(desk.terminal.sent) > 0)


async def test_books_are_read_from_when_an_order_may_have_been_sent(ledger: Ledger) -> None:
    """A signal handed out again after a week to an agent without its ledger was executed a week ago, if at all."""
    desk = Desk(ledger)
    week_ago_ms = time.time_ns() // 1_000_000 - 7 * DAY_MS
    old = replace(signal("old"), redelivered=True, not_after_unix_ms=week_ago_ms)
    async with desk.running():
        await desk.execution.take([old], 1, 1)
        await eventually(lambda: desk.terminal.asked_since != [])
    assert desk.terminal.asked_since[0] <= week_ago_ms // 1000
