"""The agent's side of its worker: starts it, hears it, kills it when it hangs, starts it again."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from mesh.log import get_logger
from mesh.market import BEFORE_FIRST, TickId
from mesh.waiting import backoff
from pc_agent.domain.books import Books
from pc_agent.domain.orders import OrderState, Result
from pc_agent.terminal.messages import (
    BooksRead,
    Command,
    Connected,
    Disconnected,
    Event,
    HistoryFound,
    HistoryPage,
    NewestRead,
    OrderDone,
    OrderTask,
    ReadBooks,
    ReadHistory,
    ReadNewest,
    Sending,
    SendOrders,
    Stop,
    SymbolsShown,
    TicksRead,
    WorkerTerms,
)
from pc_agent.terminal.worker_pipe import WorkerPipe

log = get_logger(__name__)

V = TypeVar("V")

_STOP_S = 3.0


class WorkerLostError(Exception):
    """The worker died, or was killed because it hung: what it was doing may have happened."""


class TickListener(Protocol):
    """Hears what the worker reads."""

    def ticks_read(self, ticks: TicksRead) -> None: ...
    def history_found(self, found: HistoryFound) -> None: ...
    def reader_ready(self, facts: Connected) -> None:
        """The terminal answers, and the worker has no symbol open."""

    def symbols_shown(self, facts: Connected) -> None:
        """The terminal shows other symbols than before."""


class OrderListener(Protocol):
    """Hears what becomes of the orders that it sent."""

    def order_sending(self, sending: Sending) -> None: ...
    def order_done(self, done: OrderDone) -> None: ...


class AccountChangedError(Exception):
    """The terminal came back with another account: nothing that the agent holds fits it."""


class TerminalWorker:
    """One terminal, whatever becomes of the processes that hold it."""

    def __init__(self, terms: WorkerTerms, hang_s: float) -> None:
        self.facts: Connected | None = None
        self.connected = False
        # What the terminal shows now.
        self.symbols: set[str] = set()
        self.listener: TickListener | None = None
        self._terms = terms
        self._hang_s = hang_s
        self._known = asyncio.Event()
        self._pipe: WorkerPipe | None = None
        self._orders: dict[str, OrderListener] = {}
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._requests = 0
        self._stopping = False

    async def first_facts(self) -> Connected:
        """What the terminal is, once it has answered."""
        await self._known.wait()
        assert self.facts is not None
        return self.facts

    async def run(self) -> None:
        """Keep a worker until `stop`.

        Raises:
            AccountChangedError: the agent must begin anew.
        """
        pauses = backoff(0.05, 5.0)
        while not self._stopping:
            started = time.monotonic()
            self._pipe = pipe = WorkerPipe(self._terms)
            log.info("worker started", pid=pipe.pid)
            try:
                await self._hear(pipe)
            finally:
                pipe.kill()
                self._pipe = None
                self._lose()
            if time.monotonic() - started > self._hang_s:
                pauses = backoff(0.05, 5.0)
            await asyncio.sleep(next(pauses))

    async def stop(self) -> None:
        """Ask the worker to let the terminal go; it has a moment for it."""
        self._stopping = True
        if self._pipe is not None:
            self._pipe.send(Stop())
            try:
                async with asyncio.timeout(_STOP_S):
                    await self._pipe.ended.wait()
            except TimeoutError:
                log.warning("the worker did not stop in time")

    @property
    def pid(self) -> int | None:
        return self._pipe.pid if self._pipe else None

    def send(self, command: Command) -> None:
        """Give the worker something to do; nothing happens while there is none, it asks anew when it comes."""
        if self._pipe is not None:
            self._pipe.send(command)

    def send_orders(self, tasks: Sequence[OrderTask], listener: OrderListener) -> None:
        """In this order, ahead of everything else; `listener` hears of each of them until it is done."""
        if self._pipe is None:
            away = Result(OrderState.REJECTED, "TERMINAL_DISCONNECTED", "not sent: the terminal's worker was away")
            for task in tasks:
                listener.order_done(OrderDone(task.signal_id, away))
            return
        self._orders.update({task.signal_id: listener for task in tasks})
        self._pipe.send(SendOrders(tuple(tasks)))

    async def read_books(self, ask: ReadBooks) -> Books | None:
        """The terminal's books, `ask.request` is given here; None while they can not be read."""
        try:
            read: BooksRead = await self._ask(lambda request: replace(ask, request=request))
        except WorkerLostError:
            return None
        return read.books

    async def read_history(self, ask: ReadHistory) -> HistoryPage:
        """One page, read behind everything else; `ask.request` is given here. Its `error` says why there is none."""
        if not self.connected:
            return HistoryPage(ask.request, error="the terminal is away")
        try:
            page: HistoryPage = await self._ask(lambda request: replace(ask, request=request))
        except WorkerLostError as lost:
            return HistoryPage(ask.request, error=str(lost))
        return page

    async def read_newest(self, symbol: str) -> TickId:
        """The newest tick that the terminal shows; 0/0: none, or the terminal is away."""
        if not self.connected:
            return BEFORE_FIRST
        try:
            read: NewestRead = await self._ask(lambda request: ReadNewest(request, symbol))
        except WorkerLostError:
            return BEFORE_FIRST
        return read.newest

    async def _ask(self, command: Callable[[int], Command]) -> Any:
        """The worker's answer. Raises WorkerLostError."""
        if self._pipe is None:
            raise WorkerLostError("the worker was away")
        self._requests += 1
        request = self._requests
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._answers[request] = future
        self._pipe.send(command(request))
        try:
            return await future
        finally:
            self._answers.pop(request, None)

    async def _hear(self, pipe: WorkerPipe) -> None:
        """Until the worker ends or is silent for too long."""
        while not pipe.ended.is_set():
            try:
                async with asyncio.timeout(self._hang_s):
                    await pipe.arrived.wait()
            except TimeoutError:
                log.error("the worker hangs: it is killed", pid=pipe.pid, silent_s=self._hang_s)
                return
            pipe.arrived.clear()
            for event in pipe.take():
                self._on(event)
        if not self._stopping:
            log.warning("the worker ended", pid=pipe.pid)

    def _on(self, event: Event) -> None:
        match event:
            case TicksRead():
                if self.listener:
                    self.listener.ticks_read(event)
            case HistoryFound():
                if self.listener:
                    self.listener.history_found(event)
            case Sending() | OrderDone():
                self._on_order(event)
            case BooksRead() | HistoryPage() | NewestRead():
                _resolve(self._answers.get(event.request), event)
            case Connected():
                self._take_facts(event)
            case SymbolsShown():
                self._take_symbols(event)
            case Disconnected():
                self.connected = False
                log.warning("the terminal is away", because=event.reason)

    def _on_order(self, event: Sending | OrderDone) -> None:
        if (listener := self._orders.get(event.signal_id)) is None:
            return
        if isinstance(event, Sending):
            listener.order_sending(event)
        else:
            del self._orders[event.signal_id]
            listener.order_done(event)

    def _take_facts(self, facts: Connected) -> None:
        if self.facts and self.facts.account != facts.account:
            raise AccountChangedError(f"the terminal had {self.facts.account}, now it has {facts.account}")
        self.facts, self.connected = facts, True
        self._note_symbols()
        self._known.set()
        log.info("terminal connected", account=facts.account.login, server=facts.account.server)
        if self.listener:
            self.listener.reader_ready(facts)

    def _take_symbols(self, shown: SymbolsShown) -> None:
        if self.facts:
            self.facts = replace(self.facts, symbols=shown.symbols)
            self._note_symbols()
            if self.listener:
                self.listener.symbols_shown(self.facts)

    def _note_symbols(self) -> None:
        assert self.facts is not None
        self.symbols.clear()
        self.symbols.update(symbol.symbol for symbol in self.facts.symbols)

    def _lose(self) -> None:
        self.connected = False
        orders, lost = self._orders, list(self._answers.values())
        self._orders = {}
        self._answers.clear()
        unknown = Result(OrderState.UNKNOWN, "WORKER_LOST", "the terminal's worker died before it answered")
        for signal_id, listener in orders.items():
            listener.order_done(OrderDone(signal_id, unknown))
        for future in lost:
            if not future.done():
                future.set_exception(WorkerLostError("the worker died before it answered"))


def _resolve(future: "asyncio.Future[V] | None", value: V) -> None:
    if future is not None and not future.done():
        future.set_result(value)
