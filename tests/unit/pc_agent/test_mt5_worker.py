"""The worker's loop around a terminal that the test plays."""

from collections.abc import Callable
from itertools import repeat
from typing import Any

import numpy as np
import pytest

from mesh.market import BEFORE_FIRST
from pc_agent import mt5_worker
from pc_agent.mt5_worker import Inbox, Mt5Worker
from pc_agent.terminal import mt5_symbols
from pc_agent.terminal.call_board import CallBoard, WatchedCalls
from pc_agent.terminal.messages import (
    Connected,
    Disconnected,
    HealthSeen,
    HistoryPage,
    NewestRead,
    ReadHistory,
    Reading,
    ReadNewest,
    Stop,
    SymbolsShown,
    TicksRead,
)
from tests.unit.pc_agent.terminals import FakeMt5, FakePipe, terms, ticks_at

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


def run(mt5: FakeMt5, *turns: Callable[[Script], object], **values: Any) -> Script:
    """A worker that does `turns`, one each time that it has nothing to do, and stops."""
    pipe: Any = Script(*turns)
    given, board = terms(symbols_look_s=1e-9, **values), CallBoard([0, 0, 0, 0])
    Mt5Worker(WatchedCalls(mt5, board, {}, 1_000), given, pipe, Inbox(pipe), board).run()
    return pipe  # type: ignore[no-any-return]


def ask(*commands: Any) -> Callable[[Script], object]:
    return lambda pipe: pipe.inbox.extend(commands)


def test_symbols_that_are_shown_or_hidden_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, when they change."""
    monkeypatch.setattr(mt5_symbols, "_STEP_SHARE", 0)
    mt5 = FakeMt5(EURUSD=ticks_at([FROM]), GBPUSD=ticks_at([FROM]))
    mt5.shown = {"EURUSD"}
    pipe = run(
        mt5,
        lambda _: None,
        lambda _: mt5.shown.add("GBPUSD"),
        lambda _: None,
        lambda _: mt5.shown.remove("EURUSD"),
        lambda _: None,
    )
    assert [[s.symbol for s in event.symbols] for event in pipe.said(Connected)] == [["EURUSD"]]
    shown = [{s.symbol for s in event.symbols} for event in pipe.said(SymbolsShown)]
    assert shown == [{"EURUSD", "GBPUSD"}, {"GBPUSD"}]


def test_symbols_that_a_setting_names_are_not_looked_for() -> None:
    """What the terminal shows besides does not matter."""
    mt5 = FakeMt5(EURUSD=ticks_at([FROM]))
    run(mt5, lambda _: None, lambda _: mt5.shown.clear(), lambda _: None, symbols=("EURUSD",))
    assert mt5.calls.count("symbols_get") == 1


def test_history_is_read_behind_live_ticks_a_page_a_round() -> None:
    """Between two pages every open symbol is read once."""
    mt5 = FakeMt5(EURUSD=ticks_at([FROM]), GBPUSD=ticks_at(FROM + np.arange(20_000)))
    pipe = run(
        mt5,
        ask(
            Reading("EURUSD", 1, BEFORE_FIRST, 32_000),
            *(ReadHistory(n, "GBPUSD", BEFORE_FIRST, 0, FROM + 60_000) for n in range(3)),
        ),
    )
    copies = [call for call in mt5.calls if call.startswith("copy")]
    assert copies[:6] == ["copy EURUSD", "copy GBPUSD"] * 3
    assert [page.request for page in pipe.said(HistoryPage)] == [0, 1, 2]
    kinds = [type(event) for event in pipe.events if not isinstance(event, HealthSeen | SymbolsShown)]
    assert kinds.index(TicksRead) < kinds.index(HistoryPage)


def test_questions_are_answered_while_the_terminal_is_away() -> None:
    """With why not, so that nobody waits."""
    mt5 = FakeMt5(EURUSD=ticks_at([FROM]))

    def go_away(pipe: Script) -> None:
        mt5.gone = True
        ask(ReadHistory(1, "EURUSD", BEFORE_FIRST, 0, FROM))(pipe)

    pipe = run(mt5, go_away, ask(ReadHistory(2, "EURUSD", BEFORE_FIRST, 0, FROM), ReadNewest(3, "EURUSD")))
    assert pipe.said(Disconnected)
    errors = {page.request: page.error for page in pipe.said(HistoryPage)}
    assert "No IPC connection" in errors[1]
    assert "does not answer" in errors[2]
    assert pipe.said(NewestRead)[0].newest == BEFORE_FIRST


def test_no_symbol_is_open_when_the_terminal_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read last may never have been told: the agent asks anew."""
    monkeypatch.setattr(mt5_worker, "backoff", lambda *_: repeat(0.0))
    mt5 = FakeMt5(EURUSD=ticks_at([FROM]))

    def go_away(pipe: Script) -> None:
        mt5.gone, mt5.back_after = True, 3
        ask(Reading("EURUSD", 1, BEFORE_FIRST, 9))(pipe)

    pipe = run(mt5, go_away, lambda _: None, lambda _: None)
    assert len(pipe.said(Connected)) == 2
    assert pipe.said(TicksRead) == []
