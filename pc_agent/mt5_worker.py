"""The worker: the process that holds one terminal.

MetaTrader5 never lets go of the interpreter lock and knows one terminal a process, so it lives here alone, in a plain
loop. Orders go ahead of any read. This is the only module that imports the terminal's package.
"""

import ctypes
import importlib
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from mesh.console import told_to_end
from mesh.log import configure_logging, get_logger, set_level
from mesh.market import BEFORE_FIRST
from mesh.waiting import backoff
from pc_agent.domain.orders import OrderState, Result, Signal
from pc_agent.domain.symbol_names import SymbolNames
from pc_agent.file_lock import LockedError, file_lock
from pc_agent.readable import readable
from pc_agent.terminal.call_board import CallBoard, WatchedCalls
from pc_agent.terminal.limits import Limits, limit_this_process
from pc_agent.terminal.locks import note_account, require_free
from pc_agent.terminal.messages import (
    Adjust,
    Again,
    BooksRead,
    CloseSymbol,
    Command,
    Connected,
    Credit,
    Disconnected,
    Event,
    HistoryPage,
    NewestRead,
    OrderDone,
    ReadBooks,
    ReadHistory,
    Reading,
    ReadNewest,
    RefreshSymbols,
    SendOrders,
    Stop,
    WorkerTerms,
)
from pc_agent.terminal.mt5_books import read_books
from pc_agent.terminal.mt5_orders import send_orders
from pc_agent.terminal.mt5_session import BrokerLink, TerminalGoneError, connect
from pc_agent.terminal.mt5_symbols import SymbolBook
from pc_agent.terminal.mt5_ticks import History, TickReaders
from pc_agent.terminal.order_tasks import AWAY_MS
from pc_agent.terminal.quote_ages import QuoteAges

log = get_logger(__name__)

_CHECK_S = 1.0
_LOCK_RETRY_S = 0.05
# After how long it is said that the lock is held.
_LOCK_PATIENCE_S = 5.0
_STORM_S = 0.2
# `initialize` gives up by itself; it is taken for hung only when it does not even do that.
_INITIALIZE_GRACE_MS = 5_000
_PR_SET_PDEATHSIG = 1
_AWAY = Result(OrderState.REJECTED, "TERMINAL_DISCONNECTED", "not sent: the terminal does not answer")


def work(terms: WorkerTerms, pipe: "Connection[Event, Command]", board: CallBoard) -> None:
    """The process's whole life: until told to stop, or until the agent is gone."""
    _die_with(terms.agent_pid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the agent ends it, in order
    instance = f"{terms.instance} {terms.name}"
    configure_logging("pc-agent", instance, terms.log_level, terms.log_format, terms.log_file)
    limit_this_process(terms.name, Limits(terms.cpu_limit_percent, terms.memory_limit_mb))
    try:
        with told_to_end(lambda: None):  # the agent is told too, and ends it, in order
            _with_the_lock(terms, pipe, board)
    except (EOFError, ConnectionError):
        log.info("the agent is gone")


def _with_the_lock(terms: WorkerTerms, pipe: "Connection[Event, Command]", board: CallBoard) -> None:
    """Only the holder touches the terminal: whoever held the lock before is dead, whatever the terminal was called; so
    is whoever was at this account by another terminal."""
    inbox, told_at = Inbox(pipe, readable(pipe)), time.monotonic() + _LOCK_PATIENCE_S
    while True:
        try:
            require_free(terms.other_locks, terms.server, terms.login)
            with file_lock(terms.lock_file):
                mt5 = _watched(importlib.import_module(terms.module), terms, board)
                Mt5Worker(mt5, terms, pipe, inbox, board, partial(note_account, terms.lock_file)).run()
                return
        except LockedError as error:
            if time.monotonic() > told_at:
                pipe.send(Disconnected(f"an earlier worker has not ended yet ({error}): end it, or restart the PC"))
                told_at = float("inf")
            board.turn()
            inbox.fill()  # or learn that the agent is gone
            time.sleep(_LOCK_RETRY_S)


def _watched(mt5: Any, terms: WorkerTerms, board: CallBoard) -> WatchedCalls:
    timeouts_ms = {
        "initialize": terms.initialize_timeout_ms + _INITIALIZE_GRACE_MS,
        "order_send": terms.execution_timeout_ms,
    }
    return WatchedCalls(mt5, board, timeouts_ms, terms.read_timeout_ms)


def _die_with(agent_pid: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != agent_pid:
            sys.exit(0)


class Inbox:
    """What was asked and is not done yet: orders apart, because they go ahead of everything.

    `is_readable` waits so many seconds at most for more on `pipe`.
    """

    def __init__(self, pipe: "Connection[Event, Command]", is_readable: Callable[[float], bool]) -> None:
        self.orders: deque[SendOrders] = deque()
        self.others: deque[Command] = deque()
        self._pipe = pipe
        self._is_readable = is_readable

    @property
    def holds(self) -> bool:
        return bool(self.orders or self.others)

    def wait(self, seconds: float) -> None:
        """Until something arrives."""
        self._is_readable(seconds)

    def fill(self) -> None:
        """Take what has arrived. Raises EOFError, ConnectionError: the agent is gone."""
        while self._is_readable(0):
            command = self._pipe.recv()
            if isinstance(command, SendOrders):
                self.orders.append(command)
            else:
                self.others.append(command)


class Mt5Worker:
    """The loop around one terminal."""

    def __init__(
        self,
        mt5: WatchedCalls,
        terms: WorkerTerms,
        pipe: "Connection[Event, Command]",
        inbox: Inbox,
        board: CallBoard,
        note: Callable[[str, int], None],
    ) -> None:
        """`note` is told at which account the lock is held, server and login; it may raise OSError."""
        self._mt5 = mt5
        self._terms = terms
        self._pipe = pipe
        self._inbox = inbox
        self._board = board
        self._note = note
        self._names = SymbolNames(terms.names)
        self._broker = BrokerLink(mt5, terms.health_s)
        self._symbols = SymbolBook(mt5, self._names, terms.symbols, terms.symbols_look_s)
        self._ages = QuoteAges()
        self._readers = TickReaders(mt5, self._names, self._broker, self._ages, pipe.send)
        self._history = History(mt5, self._names, self._broker, self._obey)
        self._questions: deque[ReadHistory | ReadNewest] = deque()
        self._connected = False
        self._stopping = False
        self._next_check = 0.0

    def run(self) -> None:
        """Until Stop.

        Raises:
            EOFError, ConnectionError: the agent is gone.
        """
        pauses = backoff(0.1, 5.0)
        while not self._stopping:
            try:
                self._board.turn()
                self._note_account(self._terms.server, self._terms.login)
                account = connect(self._mt5, self._terms, self._password())
                self._note_account(account.server, account.login)
                self._broker.joined(account)
                self._broker.check()
                symbols = self._symbols.read_all()
                self._broker.require_account()
                self._connected = True
                self._pipe.send(Connected(account, symbols, self._symbols.unknown))
                self._tell_health()
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

    def _note_account(self, server: str, login: int) -> None:
        """Before anything can be sent there."""
        try:
            self._note(server, login)
        except OSError as error:
            raise TerminalGoneError(f"the state folder can not be written: {error}") from None

    def _password(self) -> str:
        file = self._terms.password_file
        return file.read_text("utf-8").strip() if file else ""

    def _serve(self) -> None:
        while not self._stopping:
            self._look()
            self._obey()
            more = self._readers.read_round(self._obey)
            if self._questions:
                self._obey()
                self._answer(self._questions.popleft())
            elif not more and not self._inbox.holds:
                self._inbox.wait(self._terms.idle_ms / 1000)

    def _wait(self, seconds: float) -> None:
        """Without the terminal."""
        until = time.monotonic() + seconds
        while not self._stopping and (left := until - time.monotonic()) > 0:
            self._inbox.wait(min(left, _CHECK_S))
            self._obey()
            while self._questions:
                self._answer(self._questions.popleft())

    def _look(self) -> None:
        """How the terminal is, and what it shows."""
        if time.monotonic() >= self._next_check:
            self._next_check = time.monotonic() + _CHECK_S
            self._broker.check()
            self._tell_health()
        if shown := self._symbols.look():
            self._pipe.send(shown)

    def _tell_health(self) -> None:
        if seen := self._broker.news():
            self._pipe.send(seen)

    # commands

    def _obey(self) -> None:
        """Do what was asked, orders first; questions wait until there is nothing else to do.

        A storm of orders leaves room for a read now and then, which none of them waits for longer than for any other.
        """
        self._board.turn()
        self._inbox.fill()
        until = time.monotonic() + _STORM_S
        while self._inbox.holds:
            if self._inbox.orders:
                self._send(self._inbox.orders.popleft())
            else:
                self._do(self._inbox.others.popleft())
            if time.monotonic() > until:
                return
            self._inbox.fill()

    def _send_waiting(self) -> None:
        """The orders that have come while something else is done."""
        self._board.turn()
        self._inbox.fill()
        until = time.monotonic() + _STORM_S
        while self._inbox.orders and time.monotonic() < until:
            self._send(self._inbox.orders.popleft())
            self._inbox.fill()

    def _do(self, command: Command) -> None:
        match command:
            case ReadBooks():
                self._pipe.send(self._books(command))
            case ReadHistory() | ReadNewest():
                self._questions.append(command)
            case Reading() | CloseSymbol() | Credit():
                self._readers.steer(command)
            case RefreshSymbols():
                self._symbols.refresh()
            case Adjust():
                self._adjust(command)
            case Stop():
                self._stopping = True

    def _adjust(self, settings: Adjust) -> None:
        set_level(settings.log_level)
        self._mt5.allow("order_send", settings.execution_timeout_ms)
        self._broker.health_s = settings.health_s
        self._symbols.carry(settings.symbols)

    def _send(self, batch: SendOrders) -> None:
        if self._connected:
            named = (replace(task, signal=self._named(task.signal)) for task in batch.tasks)
            send_orders(self._mt5, named, self._ages, self._pipe.send, lambda: self._board.entries_stopped)
            return
        for task in batch.tasks:
            self._pipe.send(OrderDone(task.signal_id, _AWAY, Again(task.first_price, AWAY_MS)))

    def _named(self, signal: Signal) -> Signal:
        """As the broker calls its symbol."""
        return replace(signal, symbol=self._names.broker(signal.symbol))

    def _books(self, ask: ReadBooks) -> BooksRead:
        if not self._connected:
            return BooksRead(ask.request, None, "the terminal does not answer")
        try:
            quote_of = self._names.broker(ask.quote_of) if ask.quote_of else ""
            books = read_books(self._mt5, self._broker, replace(ask, quote_of=quote_of), self._send_waiting)
        except TerminalGoneError as gone:
            return BooksRead(ask.request, None, str(gone))
        return BooksRead(ask.request, books.named(self._names.mesh))

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
                self._pipe.send(self._history.newest(ask))
            else:
                self._pipe.send(self._history.read(ask))
        except TerminalGoneError as gone:
            self._pipe.send(_unanswered(ask, str(gone)))
            raise


def _unanswered(ask: ReadHistory | ReadNewest, because: str) -> HistoryPage | NewestRead:
    if isinstance(ask, ReadNewest):
        return NewestRead(ask.request, BEFORE_FIRST)
    return HistoryPage(ask.request, error=because)
