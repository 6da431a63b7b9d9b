"""Worker processes. The first may be started ahead: it loads what it needs while the agent loads what it needs itself.

Until somebody wants one this module loads next to nothing.
"""

import multiprocessing
import signal
import sys
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, NamedTuple

from pc_agent.terminal.call_board import CallBoard

# That nobody takes it for hung while it waits.
_TURN_S = 1.0

_context = multiprocessing.get_context("spawn")


class WorkerProcess(NamedTuple):
    """One that waits for its WorkerTerms, the first thing that it is sent."""

    process: SpawnProcess
    pipe: "Connection[Any, Any]"
    board: CallBoard


_ahead: list[WorkerProcess] = []


def start_ahead() -> None:
    """Have one ready. Call it from the main thread, to which its life is bound."""
    _ahead.append(_started())


def worker_process() -> WorkerProcess:
    """The one that is ready, or another."""
    return _ahead.pop() if _ahead else _started()


def _started() -> WorkerProcess:
    ours, theirs = _context.Pipe()
    board = CallBoard.shared(_context)
    # From the main thread: the worker's death signal is bound to the thread that started it.
    process = _context.Process(target=_live, args=(theirs, board), name="mt5 worker", daemon=True)
    process.start()
    theirs.close()
    return WorkerProcess(process, ours, board)


def _live(pipe: "Connection[Any, Any]", board: CallBoard) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the agent ends it, in order
    if sys.platform != "win32":
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # for the agent, though a supervisor may send it to all
    from pc_agent.mt5_worker import work

    try:
        while not pipe.poll(_TURN_S):
            board.turn()
        terms = pipe.recv()
    except EOFError:
        return  # the agent ended before it wanted a worker
    board.turn()
    work(terms, pipe, board)
