"""The worker process as the agent keeps it."""

import asyncio
import os
import time
from pathlib import Path

import psutil
import pytest

from pc_agent.domain.orders import Account, OrderState, Side, Signal, mark_of
from pc_agent.terminal.messages import OrderDone, OrderTask, PriceBounds, ReadBooks, Sending, WorkerTerms
from pc_agent.terminal.worker import TerminalWorker
from tests.integration.pc_agent.conftest import PASSWORD, Rig
from tests.support import eventually
from tests.support.replay_file import generate

pytestmark = pytest.mark.integration


class Heard:
    """Remembers what came of orders."""

    def __init__(self) -> None:
        self.done: list[OrderDone] = []

    def order_sending(self, sending: Sending) -> None:
        raise AssertionError(f"a suspended worker can not say {sending}")

    def order_done(self, done: OrderDone) -> None:
        self.done.append(done)


async def test_a_worker_that_hangs_is_replaced_and_its_order_is_in_doubt(rig: Rig, tmp_path: Path) -> None:
    """Silent for too long it is killed; who waited for it learns that nobody knows; the next one serves."""
    await rig.start_terminal([generate(tmp_path, "EURUSD", 500, 1).feed], "max")
    secret = tmp_path / "password"
    secret.write_text(PASSWORD)
    terms = WorkerTerms(
        "agent", "terminal", tmp_path / "terminal.lock", os.getpid(), "pc_agent.twin.client", str(rig.terminal),
        login=1_000_001, password_file=secret,
    )  # fmt: skip
    worker = TerminalWorker(terms, hang_s=4.0)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(worker.run())
        facts = await worker.first_facts()
        assert [symbol.symbol for symbol in facts.symbols] == ["EURUSD"]
        first = worker.pid
        assert first
        psutil.Process(first).suspend()
        late = time.monotonic_ns() + 60 * 10**9
        signal = Signal("s1", Account("", 1_000_001), 1, 1, False, False, "EURUSD", Side.BUY, "0.1", "", "", 0)
        task = OrderTask(signal, mark_of("s1"), 1_000_001, late, late, PriceBounds(20))
        heard = Heard()
        worker.send_orders([task], heard)
        await eventually(lambda: heard.done)
        assert heard.done[0].result.state is OrderState.UNKNOWN
        assert not psutil.pid_exists(first)
        await eventually(lambda: worker.connected and worker.pid != first)
        books = await worker.read_books(ReadBooks(0, int(time.time()), (mark_of("s1"),)))
        assert books
        assert not books.deals
        await worker.stop()
        await running
