"""The worker process as the agent keeps it."""

import asyncio
import os
import time
from pathlib import Path

import psutil
import pytest

from pc_agent.domain.orders import Side, mark_of
from pc_agent.terminal.messages import OrderTask, ReadBooks, WorkerTerms
from pc_agent.terminal.worker import TerminalWorker, WorkerLostError
from tests.integration.pc_agent.conftest import PASSWORD, Rig
from tests.support import eventually
from tests.support.replay_file import generate

pytestmark = pytest.mark.integration


async def test_a_worker_that_hangs_is_replaced_and_its_order_is_in_doubt(rig: Rig, tmp_path: Path) -> None:
    """Silent for too long it is killed; who waited for it learns that nobody knows; the next one serves."""
    await rig.start_terminal([generate(tmp_path, "EURUSD", 500, 1).feed], "max")
    secret = tmp_path / "password"
    secret.write_text(PASSWORD)
    terms = WorkerTerms(
        "agent", "info", "json", "pc_agent.twin.client", str(rig.terminal), 1_000_001, "", secret, (), 5.0,
        tmp_path / "terminal.lock", 5, 20, os.getpid(),
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
        task = OrderTask("s1", "EURUSD", Side.BUY, 0.1, 0.0, 0.0, mark_of("s1"), 1_000_001, late, late)
        with pytest.raises(WorkerLostError):
            await worker.send_order(task)
        assert not psutil.pid_exists(first)
        await eventually(lambda: worker.connected and worker.pid != first)
        books = await worker.read_books(ReadBooks(0, int(time.time()), (mark_of("s1"),)))
        assert books
        assert not books.deals
        await worker.stop()
        await running
