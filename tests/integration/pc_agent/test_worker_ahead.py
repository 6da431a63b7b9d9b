"""The worker that is started before the agent has loaded what it needs itself."""

from multiprocessing import active_children

import pytest

from pc_agent.terminal.worker_process import start_ahead, worker_process

pytestmark = pytest.mark.integration

_WITHIN_S = 30


def test_it_is_the_first_that_is_used_and_ends_with_an_agent_that_never_wanted_one() -> None:
    """Whoever asks gets the one that is ready; when its pipe closes before it was told anything, it goes in order."""
    start_ahead()
    running = [process.pid for process in active_children()]
    worker = worker_process()
    try:
        assert worker.process.pid in running
        worker.pipe.close()
        worker.process.join(_WITHIN_S)
        assert worker.process.exitcode == 0
    finally:
        worker.process.kill()
