"""The terminals of one account: what executes its orders, shows its books and reads its ticks."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from mesh.log import get_logger
from mesh.market import BEFORE_FIRST, TickId
from pc_agent.domain.books import Books
from pc_agent.domain.orders import Result
from pc_agent.domain.sharing import SymbolSharing
from pc_agent.domain.symbols import SymbolFacts
from pc_agent.domain.terminal_health import Finding, findings, unknown_symbols
from pc_agent.terminal.messages import (
    Adjust,
    CloseSymbol,
    Connected,
    Credit,
    HistoryFound,
    HistoryPage,
    OrderDone,
    OrderTask,
    ReadBooks,
    ReadHistory,
    Reading,
    RefreshSymbols,
    Sending,
    TicksRead,
)
from pc_agent.terminal.worker import AccountChangedError, OrderListener, TerminalWorker
from pc_agent.ticks.sources import SourceListener

log = get_logger(__name__)

_LOOK_S = 0.1
# An order that is done may be in doubt: that takes a moment to be known.
_SETTLING_S = 1.0
_REFRESH_S = 5.0
# Return codes of orders that the facts of their symbol should have kept from being sent.
_FACTS_ARE_WRONG = frozenset(
    {
        "INVALID_VOLUME", "INVALID_PRICE", "INVALID_STOPS", "INVALID_EXPIRATION", "INVALID_FILL", "TRADE_DISABLED",
        "LIMIT_VOLUME", "LONG_ONLY", "SHORT_ONLY", "CLOSE_ONLY",
    }
)  # fmt: skip


class TerminalPool:
    """One to five terminals that are logged in to the same account.

    Each has a part of the symbols: their orders and their ticks. A symbol's orders keep their order, because they all
    go to the terminal that has it.
    """

    def __init__(
        self, workers: Sequence[TerminalWorker], lost_after_s: float = 3.0, back_after_s: float = 10.0
    ) -> None:
        self.workers = tuple(workers)
        # What may be traded now, by the mesh's names; the same object for ever.
        self.symbols: dict[str, SymbolFacts] = {}
        # Whether an order on a symbol is in doubt: then it stays where it is.
        self.is_frozen: Callable[[str], bool] = lambda _: False
        # Set when anything of health, facts or ownership changed.
        self.changed = asyncio.Event()
        self._listener: SourceListener | None = None
        self._sharing = SymbolSharing(len(self.workers), lost_after_s, back_after_s, time.monotonic())
        self._fit_since: list[float | None] = [None] * len(self.workers)
        self._under_way: Counter[str] = Counter()
        self._done_at: dict[str, float] = {}
        self._refreshed_at = -_REFRESH_S
        self._known = asyncio.Event()
        for worker in self.workers:
            worker.listener = self

    # what it is

    @property
    def name(self) -> str:
        return ", ".join(worker.name for worker in self.workers)

    @property
    def connected(self) -> bool:
        """Any terminal answers."""
        return any(worker.connected for worker in self.workers)

    @property
    def facts(self) -> Connected | None:
        """What the account is, and what is carried; None: no terminal has answered yet."""
        known = next((worker.facts for worker in self.workers if worker.facts), None)
        return Connected(known.account, tuple(self.symbols.values())) if known else None

    @property
    def server(self) -> str:
        """Empty: not known yet."""
        return self.facts.account.server if self.facts else ""

    @property
    def newest_msc(self) -> Mapping[str, int]:
        return {name: facts.newest_msc for name, facts in self.symbols.items()}

    def is_ready(self, symbol: str) -> bool:
        """The terminal that has the symbol answers."""
        owner = self._owner(symbol)
        return owner is not None and owner.connected

    def owner_name(self, symbol: str) -> str:
        """Which terminal has it; empty: none."""
        owner = self._owner(symbol)
        return owner.name if owner else ""

    @property
    def queued_orders(self) -> int:
        return sum(worker.queued_orders for worker in self.workers)

    def trading_disabled(self) -> Finding | None:
        """Why no terminal of the account would take an order; None: one would, or it is not known yet."""
        first: Finding | None = None
        for worker in self.workers:
            if worker.seen is None:
                continue
            forbidding = [finding for finding in findings(worker.seen.health) if finding.forbids_trading]
            if not forbidding:
                return None
            first = first or forbidding[0]
        return first

    def symbols_missed(self) -> str:
        """That there is nothing to trade, because no terminal has any of the symbols that the settings name, and what
        to do; empty: there is."""
        missed = dict.fromkeys(name for worker in self.workers for name in worker.unknown_symbols)
        found = () if self.symbols else unknown_symbols(tuple(missed), carries_others=False)
        return found[0].sentence if found else ""

    # its life

    def listen(self, listener: SourceListener) -> None:
        """Tell `listener` what is read."""
        self._listener = listener

    async def first_facts(self) -> Connected:
        """What the account is, once a terminal has answered."""
        await self._known.wait()
        assert self.facts is not None
        return self.facts

    async def run(self) -> None:
        """Keep the workers until `stop`, and every symbol at the terminal that is to have it.

        Raises:
            AccountChangedError: the agent must begin anew.
        """
        async with asyncio.TaskGroup() as tasks:
            sharing = tasks.create_task(self._share_for_ever())
            async with asyncio.TaskGroup() as workers:
                for worker in self.workers:
                    workers.create_task(worker.run(), name=f"terminal {worker.name}")
            sharing.cancel()

    async def stop(self) -> None:
        """Let the terminals go."""
        async with asyncio.TaskGroup() as tasks:
            for worker in self.workers:
                tasks.create_task(worker.stop())

    # what is asked of it

    def send(self, command: Reading | CloseSymbol | Credit) -> None:
        if owner := self._owner(command.symbol):
            owner.send(command)

    def stop_entries(self, stopped: bool) -> None:
        """Also those that a terminal has and has not sent yet: they come back, to be judged anew."""
        for worker in self.workers:
            worker.stop_entries(stopped)

    def send_orders(self, tasks: Sequence[OrderTask], listener: OrderListener) -> None:
        """Ahead of everything else, those of a symbol in this order; `listener` hears of each until it is done."""
        batches: defaultdict[TerminalWorker, list[OrderTask]] = defaultdict(list)
        for task in tasks:
            # One that nobody carries is refused by the terminal itself.
            batches[self._owner(task.symbol) or self.workers[0]].append(task)
        self._under_way.update(task.symbol for task in tasks)
        for worker, batch in batches.items():
            symbols = {task.signal_id: task.symbol for task in batch}
            worker.send_orders(batch, _Noted(listener, symbols, self._done))

    async def read_books(self, ask: ReadBooks) -> Books | None:
        """The account's books, `ask.request` is given here; None while they can not be read.

        The terminal that has had its broker for longest shows what happened; that something did not happen is shown by
        all of them together: so `connected_for_s` is that of the terminal that was away last.
        """
        books: Books | None = None
        for worker in self._readers():
            books = await worker.read_books(ask) or books
            if books and books.connected_for_s:
                break
        if books is None or len(self.workers) == 1:
            return books
        return replace(books, connected_for_s=min(books.connected_for_s, self._all_connected_for_s()))

    async def read_history(self, ask: ReadHistory) -> HistoryPage:
        """One page; its `error` says why there is none."""
        if owner := self._owner(ask.symbol):
            return await owner.read_history(ask)
        return HistoryPage(ask.request, error=f"no terminal has {ask.symbol}")

    async def read_newest(self, symbol: str) -> TickId:
        """The newest tick that the terminal shows; 0/0: none, or the terminal is away."""
        owner = self._owner(symbol)
        return await owner.read_newest(symbol) if owner else BEFORE_FIRST

    def refresh_symbols(self) -> None:
        """What is known of symbols proved wrong: ask the terminals again."""
        for worker in self.workers:
            worker.send(RefreshSymbols())

    def adjust(self, settings: Sequence[Adjust]) -> None:
        """Settings changed; one for each worker."""
        for worker, adjusted in zip(self.workers, settings, strict=True):
            worker.adjust(adjusted)

    # a worker speaks

    def ticks_read(self, worker: TerminalWorker, ticks: TicksRead) -> None:
        """See `WorkerListener`."""
        if self._listener and self._owner(ticks.symbol) is worker:
            self._listener.ticks_read(self, ticks)

    def history_found(self, worker: TerminalWorker, found: HistoryFound) -> None:
        """See `WorkerListener`."""
        if self._listener and self._owner(found.symbol) is worker:
            self._listener.history_found(self, found)

    def terminal_joined(self, worker: TerminalWorker) -> None:
        """See `WorkerListener`."""
        self._require_one_account()
        self.terminal_changed(worker)
        self._known.set()
        if self._listener:
            self._listener.readers_lost(self, [symbol for symbol in self.symbols if self._owner(symbol) is worker])

    def terminal_changed(self, worker: TerminalWorker) -> None:
        """See `WorkerListener`."""
        self._share()
        facts: dict[str, SymbolFacts] = {}
        for one in self.workers:
            facts |= {name: fact for name, fact in one.symbols.items() if self._owner(name) is one}
        self.symbols.clear()
        self.symbols.update(facts)
        self.changed.set()
        if self._listener:
            self._listener.source_changed(self)

    # sharing

    def _owner(self, symbol: str) -> TerminalWorker | None:
        number = self._sharing.owner(symbol)
        return None if number is None else self.workers[number]

    async def _share_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            if len(self.workers) > 1:
                self._share()

    def _share(self) -> None:
        now = time.monotonic()
        for number, worker in enumerate(self.workers):
            if not _is_fit(worker):
                self._fit_since[number] = None
            elif self._fit_since[number] is None:
                self._fit_since[number] = now
        carried = [worker.symbols for worker in self.workers]
        symbols = dict.fromkeys(symbol for worker in self.workers for symbol in worker.symbols)
        moved = self._sharing.look(self._fit_since, carried, symbols, self._is_busy, now)
        left = {symbol: self.workers[before] for symbol, (before, _) in moved.items() if before is not None}
        for symbol, worker in left.items():
            worker.send(CloseSymbol(symbol))
        if left:
            log.warning("symbols move to other terminals", symbols={name: self.owner_name(name) for name in left})
            if self._listener:
                self._listener.readers_lost(self, list(left))

    def _done(self, symbol: str, result: Result) -> None:
        now = time.monotonic()
        self._under_way[symbol] -= 1
        self._done_at[symbol] = now
        if result.reason in _FACTS_ARE_WRONG and now - self._refreshed_at > _REFRESH_S:
            self._refreshed_at = now
            self.refresh_symbols()

    def _is_busy(self, symbol: str) -> bool:
        if self._under_way[symbol] > 0 or self.is_frozen(symbol):
            return True
        return time.monotonic() - self._done_at.get(symbol, -_SETTLING_S) < _SETTLING_S

    def _readers(self) -> list[TerminalWorker]:
        """Whose books may be read; those of a terminal without its broker stand still: read where there is no other."""
        connected = [worker for worker in self.workers if worker.connected]
        having = [worker for worker in connected if _broker_since(worker) < float("inf")]
        return sorted(having, key=_broker_since) or connected[:1]

    def _all_connected_for_s(self) -> float:
        now = time.monotonic()
        return min(max(0.0, now - _broker_since(worker)) for worker in self.workers)

    def _require_one_account(self) -> None:
        accounts = {(one.facts.account.server, one.facts.account.login) for one in self.workers if one.facts}
        if len(accounts) > 1:
            raise AccountChangedError(f"the terminals {self.name} are logged in to different accounts: {accounts}")


class _Noted:
    """Tells the pool what became of an order, then who sent it."""

    def __init__(
        self, listener: OrderListener, symbols: Mapping[str, str], note: Callable[[str, Result], None]
    ) -> None:
        self._listener = listener
        self._symbols = symbols
        self._note = note

    def order_sending(self, sending: Sending) -> None:
        self._listener.order_sending(sending)

    def order_done(self, done: OrderDone) -> None:
        self._note(self._symbols[done.signal_id], done.result)
        self._listener.order_done(done)


def _broker_since(worker: TerminalWorker) -> float:
    """Monotonic; infinity: it has none."""
    since = worker.seen.broker_since if worker.seen else None
    return float("inf") if since is None else since


def _is_fit(worker: TerminalWorker) -> bool:
    """Orders would reach the broker, and be taken."""
    if not worker.connected or worker.seen is None or worker.seen.broker_since is None:
        return False
    return not any(finding.forbids_trading for finding in findings(worker.seen.health))
