"""A worker's loop around a terminal that the test plays."""

from collections.abc import Callable
from typing import Any

from pc_agent.mt5_worker import Inbox, Mt5Worker
from pc_agent.terminal.call_board import CallBoard, WatchedCalls
from pc_agent.terminal.messages import Stop
from tests.unit.pc_agent.terminals import FakeMt5, FakePipe, terms

# When the terminal's ticks begin, in Unix ms.
FROM = 1_580_511_600_000


class Script(FakePipe):
    """A pipe whose inbox the test fills as the worker looks into it."""

    def __init__(self, *turns: Callable[["Script"], object]) -> None:
        super().__init__()
        self._turns = iter(turns)

    def poll(self, seconds: float = 0) -> bool:
        if not self.inbox and seconds:
            next(self._turns, lambda pipe: pipe.inbox.append(Stop()))(self)
        return bool(self.inbox)


def run(
    mt5: FakeMt5, *turns: Callable[[Script], object], pipe: Any = None, note: Any = lambda *_: None, **values: Any
) -> Script:
    """A worker that does `turns`, or what `pipe` brings, one each time that it has nothing to do, and stops."""
    pipe = pipe or Script(*turns)
    given, board = terms(symbols_look_s=1e-9, **values), CallBoard([0, 0, 0, 0])
    inbox = Inbox(pipe, pipe.poll)
    Mt5Worker(WatchedCalls(mt5, board, {}, 1_000), given, pipe, inbox, board, note).run()
    return pipe  # type: ignore[no-any-return]


def ask(*commands: Any) -> Callable[[Script], object]:
    return lambda pipe: pipe.inbox.extend(commands)
