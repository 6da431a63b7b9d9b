"""The worker: the process that holds one terminal.

MetaTrader5 never lets go of the interpreter lock and knows one terminal a process, so it lives here alone, in a plain
loop. Orders go ahead of any tick read. This is the only module that imports the terminal's package.
"""

import ctypes
import importlib
import os
import signal
import sys
import time
from collections import deque
from multiprocessing.connection import Connection
from typing import Any

from mesh.log import configure_logging, get_logger
from mesh.market import BEFORE_FIRST
from mesh.waiting import backoff
from pc_agent.domain.orders import OrderState, Result
from pc_agent.file_lock import LockedError, file_lock
from pc_agent.terminal.messages import (
    BooksRead,
    CloseSymbol,
    Command,
    Credit,
    Disconnected,
    Event,
    HistoryPage,
    NewestRead,
    OrderDone,
    OrderTask,
    Pulse,
    ReadBooks,
    ReadHistory,
    Reading,
    ReadNewest,
    SendOrders,
    Stop,
    WorkerTerms,
)
from pc_agent.terminal.mt5_books import read_books
from pc_agent.terminal.mt5_orders import execute
from pc_agent.terminal.mt5_session import BrokerLink, ShownSymbols, TerminalGoneError, connect
from pc_agent.terminal.mt5_ticks import TickReaders, read_history, read_newest

log = get_logger(__name__)

PULSE_S = 1.0
_LOCK_RETRY_S = 0.05
_PR_SET_PDEATHSIG = 1


def work(terms: WorkerTerms, pipe: "Connection[Event, Command]") -> None:
    """The process's whole life: until told to stop, or until the agent is gone."""
    _die_with(terms.agent_pid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the agent ends it, in order
    configure_logging("pc-agent", f"{terms.instance} worker", terms.log_level, terms.log_format)
    try:
        _with_the_lock(terms, pipe)
    except (EOFError, ConnectionError):
        log.info("the agent is gone")


def _with_the_lock(terms: WorkerTerms, pipe: "Connection[Event, Command]") -> None:
    """Only the holder touches the terminal: whoever held the lock before is dead."""
    while True:
        try:
            with file_lock(terms.lock_file):
                Mt5Worker(importlib.import_module(terms.terminal_module), terms, pipe).run()
                return
        except LockedError:
            pipe.send(Pulse())
            time.sleep(_LOCK_RETRY_S)


def _die_with(agent_pid: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != agent_pid:
            sys.exit(0)


class Mt5Worker:
    """The loop around one terminal module."""

    def __init__(self, mt5: Any, terms: WorkerTerms, pipe: "Connection[Event, Command]") -> None:
        self._mt5 = mt5
        self._terms = terms
        self._pipe = pipe
        self._broker = BrokerLink(mt5)
        self._shown = ShownSymbols(mt5, terms.symbols_look_s)
        self._readers = TickReaders(mt5, self._broker, pipe.send)
        self._questions: deque[ReadHistory | ReadNewest] = deque()
        self._connected = False
        self._stopping = False
        self._next_pulse = 0.0

    def run(self) -> None:
        """Until Stop.

        Raises:
            EOFError, ConnectionError: the agent is gone.
        """
        pauses = backoff(0.1, 5.0)
        while not self._stopping:
            try:
                self._pulse()
                facts = connect(self._mt5, self._terms, self._password())
                self._connected = True
                self._broker.joined(facts.account)
                self._broker.check()
                self._shown.joined(facts.symbols)
                self._pipe.send(facts)
                pauses = backoff(0.1, 5.0)
                self._serve()
            except TerminalGoneError as gone:
                self._connected = False
                self._broker.lost()
                self._readers.drop()
                self._mt5.shutdown()
                self._pipe.send(Disconnected(str(gone)))
                self._wait(next(pauses))
        self._mt5.shutdown()

    def _password(self) -> str:
        file = self._terms.password_file
        return file.read_text("utf-8").strip() if file else ""

    def _serve(self) -> None:
        while not self._stopping:
            self._pulse()
            self._obey()
            more = self._readers.read_round(self._obey)
            if self._questions:
                self._obey()
                self._answer(self._questions.popleft())
            elif not more:
                self._pipe.poll(self._terms.idle_ms / 1000)

    def _wait(self, seconds: float) -> None:
        """Without the terminal."""
        until = time.monotonic() + seconds
        while not self._stopping and (left := until - time.monotonic()) > 0:
            self._pulse()
            self._pipe.poll(min(left, PULSE_S))
            self._obey()
            while self._questions:
                self._answer(self._questions.popleft())

    def _pulse(self) -> None:
        """Show that the loop turns; see whether the terminal still has its broker, and what it shows."""
        if time.monotonic() >= self._next_pulse:
            self._next_pulse = time.monotonic() + PULSE_S
            self._pipe.send(Pulse())
            if self._connected:
                self._broker.check()
        if self._connected and not self._terms.symbols and (shown := self._shown.look()):
            self._pipe.send(shown)

    # commands

    def _obey(self) -> None:
        """Do all that was asked, orders first."""
        inbox: list[Command] = []
        while self._pipe.poll(0):
            inbox.append(self._pipe.recv())
        for command in inbox:
            if isinstance(command, SendOrders):
                for task in command.tasks:
                    self._pipe.send(OrderDone(task.signal_id, self._order(task)))
        for command in inbox:
            match command:
                case ReadBooks():
                    self._pipe.send(self._books(command))
                case Stop():
                    self._stopping = True
                case ReadHistory() | ReadNewest():
                    self._questions.append(command)
                case Reading() | CloseSymbol() | Credit():
                    self._readers.steer(command)

    def _order(self, task: OrderTask) -> Result:
        if not self._connected:
            return Result(OrderState.REJECTED, "TERMINAL_DISCONNECTED", "not sent: the terminal does not answer")
        return execute(self._mt5, task)

    def _books(self, command: ReadBooks) -> BooksRead:
        if not self._connected:
            return BooksRead(command.request, None, "the terminal does not answer")
        try:
            return BooksRead(command.request, read_books(self._mt5, self._broker, command))
        except TerminalGoneError as gone:
            return BooksRead(command.request, None, str(gone))

    def _answer(self, ask: ReadHistory | ReadNewest) -> None:
        """One page of history; the agent asks for the next.

        Raises:
            TerminalGoneError: after the question was answered so.
        """
        if not self._connected:
            self._pipe.send(_unanswered(ask, "the terminal does not answer"))
            return
        try:
            if isinstance(ask, ReadNewest):
                self._pipe.send(read_newest(self._mt5, self._broker, ask))
            else:
                self._pipe.send(read_history(self._mt5, self._broker, ask))
        except TerminalGoneError as gone:
            self._pipe.send(_unanswered(ask, str(gone)))
            raise


def _unanswered(ask: ReadHistory | ReadNewest, because: str) -> HistoryPage | NewestRead:
    if isinstance(ask, ReadNewest):
        return NewestRead(ask.request, BEFORE_FIRST)
    return HistoryPage(ask.request, error=because)
