"""The pipe to a worker that does not read."""

import multiprocessing
import sys
import threading

import pytest

from pc_agent.domain.orders import MAX_SIGNALS
from pc_agent.terminal.order_tasks import SendOrders
from pc_agent.terminal.worker_pipe import written_at_once
from tests.unit.pc_agent.test_pool import task


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread writes everything")
@pytest.mark.parametrize("orders", [1, MAX_SIGNALS, 2_000])
def test_nobody_waits_for_a_worker_that_does_not_read(orders: int) -> None:
    """What may not fit is left to the thread; an usual batch goes at once while there is room."""
    ours, theirs = multiprocessing.Pipe()
    message = SendOrders(tuple(task(f"0f8fad5b-d9cb-469f-a165-7086{n:08d}", f"S{n % 12}") for n in range(orders)))
    written: list[bool] = []

    def write() -> None:
        while not written or written[-1]:
            written.append(written_at_once(ours, message))

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    writer.join(30)
    assert not writer.is_alive()
    assert len(written) > 1 or orders > MAX_SIGNALS
    for _ in written[:-1]:
        assert theirs.recv() == message
    ours.close()
    theirs.close()
