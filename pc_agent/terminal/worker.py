"""The agent's side of its worker: starts it, hears it, kills it when it hangs, starts it again."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from mesh.log import get_logger
from mesh.market import BEFORE_FIRST, TickId
from mesh.waiting import backoff
from pc_agent.domain.books import Books
from pc_agent.domain.orders import OrderState, Result
from pc_agent.domain.symbols import SymbolFacts
from pc_agent.domain.terminal_health import Finding, findings, unknown_symbols
from pc_agent.terminal.messages import (
    AccountFacts,
    Adjust,
    Again,
    BooksRead,
    Command,
    Connected,
    Disconnected,
    Event,
    HealthSeen,
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
from pc_agent.terminal.order_tasks import AWAY_MS
from pc_agent.terminal.worker_pipe import WorkerPipe

log = get_logger(__name__)

V = TypeVar("V")

_STOP_S = 3.0
# How often it is looked whether a worker hangs.
_WATCH_S = 0.05
_LOST = Result(OrderState.UNKNOWN, "WORKER_LOST", "the terminal's worker died while it sent the order")
_NOT_SENT = Result(OrderState.REJECTED, "WORKER_LOST", "not sent: the terminal's worker died before it came to it")


class WorkerLostError(Exception):
    """The worker died, or was killed because it hung: what it was doing may have happened."""


class WorkerListener(Protocol):
    """Hears what the worker reads, and how its terminal is."""

    def ticks_read(self, worker: "TerminalWorker", ticks: TicksRead) -> None: ...
    def history_found(self, worker: "TerminalWorker", found: HistoryFound) -> None: ...
    def terminal_joined(self, worker: "TerminalWorker") -> None:
        """The terminal answers, and the worker has no symbol open."""

    def terminal_changed(self, worker: "TerminalWorker") -> None:
        """Whether it answers, what it carries, or how it is."""


class OrderListener(Protocol):
    """Hears what becomes of the orders that it sent."""

    def order_sending(self, sending: Sending) -> None: ...
    def order_done(self, done: OrderDone) -> None: ...


class AccountChangedError(Exception):
    """The terminal came back with another account: nothing that the agent holds fits it."""


@dataclass(slots=True)
class _Held:
    """An order that the worker has; `is_sending`: it may have been sent."""

    listener: OrderListener
    is_sending: bool = False


class TerminalWorker:
    """One terminal, whatever becomes of the processes that hold it."""

    def __init__(self, terms: WorkerTerms, hang_s: float) -> None:
        self.name = terms.name
        self.facts: Connected | None = None
        self.connected = False
        # What the terminal carries now.
        self.symbols: dict[str, SymbolFacts] = {}
        # A part of what it carries, the rest of which is to come.
        self._shown: list[SymbolFacts] = []
        self.listener: WorkerListener | None = None
        self.restarts = 0
        self.seen: HealthSeen | None = None
        self._found: tuple[Finding, ...] = ()
        self._terms = terms
        self._hang_s = hang_s
        self._pipe: WorkerPipe | None = None
        self._orders: dict[str, _Held] = {}
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._requests = 0
        self._away = "its worker starts"
        self._entries_stopped = False
        self._stopping = False

    async def run(self) -> None:
        """Keep a worker until `stop`.

        Raises:
            AccountChangedError: the agent must begin anew.
        """
        pauses = backoff(0.05, 5.0)
        while not self._stopping:
            started = time.monotonic()
            self._pipe = pipe = WorkerPipe(self._terms)
            pipe.board.stop_entries(self._entries_stopped)
            log.info("worker started", terminal=self.name, pid=pipe.pid)
            try:
                await self._hear(pipe)
            finally:
                await self._bury(pipe)
            if time.monotonic() - started > self._hang_s:
                pauses = backoff(0.05, 5.0)
            self.restarts += not self._stopping
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

    def adjust(self, settings: Adjust) -> None:
        """These from now on, and in every worker to come."""
        self._terms = replace(
            self._terms,
            symbols=settings.symbols,
            health_s=settings.health_s,
            execution_timeout_ms=settings.execution_timeout_ms,
            log_level=settings.log_level,
        )
        self.send(settings)

    def findings(self) -> tuple[str, ...]:
        """What is wrong and what to do; none: it is healthy."""
        if not self.connected:
            return (f"the terminal does not answer: {self._away}",)
        return tuple(finding.sentence for finding in self._found)

    @property
    def unknown_symbols(self) -> tuple[str, ...]:
        """Of the symbols that the settings name, those that the terminal has not got."""
        return self.facts.unknown if self.facts else ()

    @property
    def queued_orders(self) -> int:
        return len(self._orders)

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
                listener.order_done(OrderDone(task.signal_id, away, Again(task.first_price, AWAY_MS)))
            return
        self._orders.update({task.signal_id: _Held(listener) for task in tasks})
        self._pipe.send(SendOrders(tuple(tasks)))

    def stop_entries(self, stopped: bool) -> None:
        """Entries that it has and has not sent yet come back, to be judged anew."""
        self._entries_stopped = stopped
        if self._pipe is not None:
            self._pipe.board.stop_entries(stopped)

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
        """Until the worker ends or hangs."""
        hang_ns = int(self._hang_s * 1e9)
        while not pipe.ended.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_WATCH_S):
                    await pipe.arrived.wait()
            pipe.arrived.clear()
            for event in pipe.take():
                self._on(event)
            if because := pipe.board.hangs(hang_ns):
                log.error("the worker hangs: it is replaced", terminal=self.name, pid=pipe.pid, because=because)
                return
        if not self._stopping:
            log.warning("the worker ended", terminal=self.name, pid=pipe.pid)

    async def _bury(self, pipe: WorkerPipe) -> None:
        """Its last words count: an order of which it did not say that it was being sent was not sent."""
        self._pipe = None
        is_all_said = await pipe.kill()
        for event in pipe.take():
            if isinstance(event, Sending | OrderDone):
                self._on_order(event)
        self._lose(is_all_said)

    def _on(self, event: Event) -> None:
        match event:
            case TicksRead() | HistoryFound():
                self._on_ticks(event)
            case Sending() | OrderDone():
                self._on_order(event)
            case BooksRead() | HistoryPage() | NewestRead():
                _resolve(self._answers.get(event.request), event)
            case Connected():
                self._take_facts(event)
            case SymbolsShown():
                self._take_symbols(event)
            case HealthSeen():
                self._take_health(event)
            case Disconnected():
                self._go_away(event.reason)
                self._tell_change()
                log.warning("the terminal is away", terminal=self.name, because=event.reason)

    def _on_ticks(self, event: TicksRead | HistoryFound) -> None:
        if self.listener is None:
            return
        if isinstance(event, TicksRead):
            self.listener.ticks_read(self, event)
        else:
            self.listener.history_found(self, event)

    def _on_order(self, event: Sending | OrderDone) -> None:
        if (held := self._orders.get(event.signal_id)) is None:
            return
        if isinstance(event, Sending):
            held.is_sending = True
            held.listener.order_sending(event)
        else:
            del self._orders[event.signal_id]
            held.listener.order_done(event)

    def _take_facts(self, facts: Connected) -> None:
        if self.facts and _owner(self.facts.account) != _owner(facts.account):
            raise AccountChangedError(f"the terminal had {self.facts.account}, now it has {facts.account}")
        self.facts, self.connected = facts, True
        self._note_symbols()
        log.info("terminal connected", terminal=self.name, account=facts.account.login, server=facts.account.server)
        if self.listener:
            self.listener.terminal_joined(self)

    def _take_symbols(self, shown: SymbolsShown) -> None:
        self._shown += shown.symbols
        if self.facts and not shown.more:
            self.facts = replace(self.facts, symbols=tuple(self._shown), unknown=shown.unknown)
            self._note_symbols()
            self._tell_change()

    def _note_symbols(self) -> None:
        assert self.facts is not None
        self._shown.clear()
        self.symbols.clear()
        self.symbols.update({symbol.symbol: symbol for symbol in self.facts.symbols})
        self._note_findings()

    def _take_health(self, seen: HealthSeen) -> None:
        self.seen = seen
        self._note_findings()
        self._tell_change()

    def _note_findings(self) -> None:
        before, health = self._found, findings(self.seen.health) if self.seen else ()
        self._found = (*health, *unknown_symbols(self.unknown_symbols, bool(self.symbols)))
        for finding in self._found:
            if finding not in before:
                log.warning("terminal", terminal=self.name, reason=finding.reason, what=finding.sentence)
        if before and not self._found:
            log.info("the terminal is healthy", terminal=self.name)

    def _go_away(self, because: str) -> None:
        self.connected, self.seen, self._found, self._away = False, None, (), because

    def _tell_change(self) -> None:
        if self.listener:
            self.listener.terminal_changed(self)

    def _lose(self, is_all_said: bool) -> None:
        self._go_away("its worker starts anew")
        orders, lost = self._orders, list(self._answers.values())
        self._orders = {}
        self._answers.clear()
        for signal_id, held in orders.items():
            if held.is_sending or not is_all_said:
                held.listener.order_done(OrderDone(signal_id, _LOST))
            else:
                held.listener.order_done(OrderDone(signal_id, _NOT_SENT, Again()))
        for future in lost:
            if not future.done():
                future.set_exception(WorkerLostError("the worker died before it answered"))
        self._tell_change()


def _owner(account: AccountFacts) -> tuple[str, int]:
    return account.server, account.login


def _resolve(future: "asyncio.Future[V] | None", value: V) -> None:
    if future is not None and not future.done():
        future.set_result(value)
