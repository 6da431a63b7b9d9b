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
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from typing import Any

from mesh.log import configure_logging, get_logger
from mesh.waiting import backoff
from pc_agent.domain.orders import OrderState, Result
from pc_agent.domain.tick_cursor import Columns, TickCursor
from pc_agent.file_lock import LockedError, file_lock
from pc_agent.messages import (
    BooksRead,
    CloseSymbol,
    Command,
    Credit,
    Disconnected,
    Event,
    HistoryFound,
    OrderDone,
    OrderTask,
    Pulse,
    ReadBooks,
    Reading,
    Stop,
    TicksRead,
    WorkerTerms,
)
from pc_agent.mt5_orders import execute
from pc_agent.mt5_session import BrokerLink, TerminalGoneError, answered, connect, read_books

log = get_logger(__name__)

PULSE_S = 1.0
_LOCK_RETRY_S = 0.05
_MESSAGE_TICKS = 2_000
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


class _Reader:
    """One open symbol."""

    def __init__(self, reading: Reading) -> None:
        self.symbol = reading.symbol
        self.generation = reading.generation
        self.credit = reading.credit
        self.cursor = TickCursor(reading.after)
        self.anchor_told = False
        self.complained: int | None = None


class Mt5Worker:
    """The loop around one terminal module."""

    def __init__(self, mt5: Any, terms: WorkerTerms, pipe: "Connection[Event, Command]") -> None:
        self._mt5 = mt5
        self._terms = terms
        self._pipe = pipe
        self._broker = BrokerLink(mt5)
        self._readers: dict[str, _Reader] = {}
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
                self._pipe.send(facts)
                pauses = backoff(0.1, 5.0)
                self._serve()
            except TerminalGoneError as gone:
                self._connected = False
                self._broker.lost()
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
            if not self._read_round():
                self._pipe.poll(self._terms.idle_ms / 1000)

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopping and (left := until - time.monotonic()) > 0:
            self._pulse()
            self._pipe.poll(min(left, PULSE_S))
            self._obey()

    def _pulse(self) -> None:
        """Show that the loop turns; see whether the terminal still has its broker."""
        if time.monotonic() >= self._next_pulse:
            self._next_pulse = time.monotonic() + PULSE_S
            self._pipe.send(Pulse())
            if self._connected:
                self._broker.check()

    # commands

    def _obey(self) -> None:
        """Do all that was asked, orders first."""
        inbox: list[Command] = []
        while self._pipe.poll(0):
            inbox.append(self._pipe.recv())
        for command in inbox:
            if isinstance(command, OrderTask):
                self._pipe.send(OrderDone(command.signal_id, self._order(command)))
        for command in inbox:
            match command:
                case ReadBooks():
                    self._pipe.send(self._books(command))
                case Stop():
                    self._stopping = True
                case Reading() | CloseSymbol() | Credit():
                    self._steer(command)

    def _steer(self, command: Reading | CloseSymbol | Credit) -> None:
        if isinstance(command, Reading):
            self._readers[command.symbol] = _Reader(command)
        elif isinstance(command, CloseSymbol):
            self._readers.pop(command.symbol, None)
        elif reader := self._readers.get(command.symbol):
            reader.credit += command.ticks

    def _order(self, task: OrderTask) -> Result:
        if not self._connected:
            return Result(OrderState.REJECTED, "TERMINAL_DISCONNECTED", "not sent: the terminal does not answer")
        return execute(self._mt5, task, self._terms.deviation_points)

    def _books(self, command: ReadBooks) -> BooksRead:
        if not self._connected:
            return BooksRead(command.request, None, "the terminal does not answer")
        try:
            return BooksRead(command.request, read_books(self._mt5, self._broker, command))
        except TerminalGoneError as gone:
            return BooksRead(command.request, None, str(gone))

    # ticks

    def _read_round(self) -> bool:
        """One page of every symbol; whether any may have more."""
        more = False
        for symbol in tuple(self._readers):
            if self._pipe.poll(0):
                self._obey()
            reader = self._readers.get(symbol)
            if reader and reader.credit > 0:
                more |= self._read(reader)
        return more

    def _read(self, reader: _Reader) -> bool:
        cursor = reader.cursor
        start = datetime.fromtimestamp(cursor.from_s, UTC)
        page = self._mt5.copy_ticks_from(reader.symbol, start, cursor.count, self._mt5.COPY_TICKS_ALL)
        read_unix_ns = time.time_ns()
        if answered(self._mt5, page, f"copy_ticks_from {reader.symbol}") is None:
            self._complain(reader)
            return False
        progress = cursor.accept(page, reader.credit)
        if cursor.anchor and not reader.anchor_told:
            reader.anchor_told = True
            self._pipe.send(HistoryFound(reader.symbol, reader.generation, cursor.anchor))
        if progress.columns is not None:
            self._send_ticks(reader, read_unix_ns, progress.columns)
        return progress.more and reader.credit > 0

    def _send_ticks(self, reader: _Reader, read_unix_ns: int, columns: Columns) -> None:
        total = len(columns["time_msc"])
        reader.credit -= total
        for at in range(0, total, _MESSAGE_TICKS):
            part = {name: column[at : at + _MESSAGE_TICKS].tobytes() for name, column in columns.items()}
            self._pipe.send(TicksRead(reader.symbol, reader.generation, read_unix_ns, part))

    def _complain(self, reader: _Reader) -> None:
        code, text = self._mt5.last_error()
        if code != reader.complained:
            reader.complained = code
            log.warning("the terminal gives no ticks", symbol=reader.symbol, because=text, code=code)
