"""The worker process as the agent keeps it."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from mesh.clock import boot_ns
from pc_agent.domain.orders import Account, OrderState, Side, Signal, mark_of
from pc_agent.terminal.messages import OrderDone, OrderTask, PriceBounds, ReadBooks, Sending, WorkerTerms
from pc_agent.terminal.pool import TerminalPool
from pc_agent.terminal.worker import TerminalWorker
from pc_agent.twin.control import script_fault
from tests.integration.pc_agent.conftest import PASSWORD, Rig
from tests.support import eventually
from tests.support.replay_file import generate

pytestmark = pytest.mark.integration


class Answers:
    """What becomes of orders."""

    def __init__(self) -> None:
        self.sending: list[str] = []
        self.done: dict[str, OrderDone] = {}

    def order_sending(self, sending: Sending) -> None:
        self.sending.append(sending.signal_id)

    def order_done(self, done: OrderDone) -> None:
        self.done[done.signal_id] = done


def task(signal_id: str, pool: TerminalPool) -> OrderTask:
    """To buy a tenth of EURUSD within a minute."""
    assert pool.facts
    account = Account(pool.facts.account.server, pool.facts.account.login)
    late = boot_ns() + 60 * 10**9
    signal = Signal(signal_id, account, 1, 1, False, False, "EURUSD", Side.BUY, "0.1", "", "", 2**53)
    return OrderTask(signal, mark_of(signal_id), account.login, late, late, PriceBounds(20))


@asynccontextmanager
async def running_pool(rig: Rig, folder: Path) -> AsyncIterator[TerminalPool]:
    secret = folder / "password"
    secret.write_text(PASSWORD)
    terms = WorkerTerms(
        "agent", "terminal", folder / "terminal.lock", os.getpid(), "pc_agent.twin.client", str(rig.terminal),
        login=1_000_001, password_file=secret, execution_timeout_ms=1_500,
    )  # fmt: skip
    pool = TerminalPool([TerminalWorker(terms, hang_s=2.0)])
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(pool.run())
        await pool.first_facts()
        yield pool
        await pool.stop()
        await running


async def test_a_worker_that_hangs_is_replaced_and_its_order_is_in_doubt(rig: Rig, tmp_path: Path) -> None:
    """In a call that takes longer than it may, or in its own loop; what it did not say it was sending was not sent."""
    await rig.start_terminal([generate(tmp_path, "EURUSD", 500, 1).feed], "max")
    async with running_pool(rig, tmp_path) as pool:
        worker, answers = pool.workers[0], Answers()
        first = worker.pid
        assert first
        script_fault(rig.terminal, "hang")
        pool.send_orders([task("hangs", pool), task("behind", pool)], answers)
        await eventually(lambda: len(answers.done) == 2, 20)
        assert answers.sending == ["hangs"]
        assert answers.done["hangs"].result.state is OrderState.UNKNOWN
        assert answers.done["hangs"].again is None
        assert answers.done["behind"].again is not None
        assert not psutil.pid_exists(first)
        await eventually(lambda: pool.connected and worker.pid != first)
        second = worker.pid
        assert second
        psutil.Process(second).suspend()
        await eventually(lambda: pool.connected and worker.pid not in (None, second), 20)
        assert worker.restarts == 2
        assert not psutil.pid_exists(second)
        pool.send_orders([task("behind", pool)], answers)
        await eventually(lambda: answers.done["behind"].result.state is OrderState.FILLED)
        books = await pool.read_books(ReadBooks(0, 1, (mark_of("hangs"), mark_of("behind"))))
        assert books
        assert [deal.symbol for deal in books.deals] == ["EURUSD"]
