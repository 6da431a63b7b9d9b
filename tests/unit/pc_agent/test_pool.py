"""The terminals of one account, without their processes."""

import time
from dataclasses import replace
from typing import Any

import pytest

from pc_agent.domain.books import Books
from pc_agent.domain.orders import Account, OrderState, Result, Side, Signal, mark_of
from pc_agent.domain.symbols import SymbolFacts
from pc_agent.domain.terminal_health import TerminalHealth
from pc_agent.terminal import pool as pool_module
from pc_agent.terminal.messages import (
    AccountFacts,
    Connected,
    HealthSeen,
    OrderDone,
    OrderTask,
    PriceBounds,
    ReadBooks,
    RefreshSymbols,
    Sending,
)
from pc_agent.terminal.pool import TerminalPool
from pc_agent.terminal.worker import AccountChangedError, TerminalWorker
from tests.unit.pc_agent.terminals import terms

ACCOUNT = AccountFacts("broker", 7, 0)
HEALTHY = TerminalHealth(True, True, False, True, True, False, 20.0, 0.0, 5_000)
SYMBOLS = tuple(SymbolFacts(f"S{n}", 5, 0.01, 1.0, 0.01, 1.0, 5) for n in range(12))


class Worker(TerminalWorker):
    """Keeps what it is asked; its terminal is as the test says."""

    def __init__(self, name: str) -> None:
        super().__init__(terms(name=name), 30)
        self.commands: list[Any] = []
        self.batches: list[tuple[list[str], Any]] = []
        self.book_seconds = 100.0
        self.read = False

    def join(self, account: AccountFacts = ACCOUNT, health: TerminalHealth = HEALTHY, since_s: float = 100.0) -> None:
        self.seen = HealthSeen(health, time.monotonic() - since_s)
        self._on(Connected(account, SYMBOLS))

    def leave(self) -> None:
        self._lose(is_all_said=True)

    def send(self, command: Any) -> None:
        self.commands.append(command)

    def send_orders(self, tasks: Any, listener: Any) -> None:
        self.batches.append(([task.signal_id for task in tasks], listener))

    async def read_books(self, ask: ReadBooks) -> Books | None:
        self.read = True
        return Books(self.book_seconds, (), (), (), ())


class Answers:
    def __init__(self) -> None:
        self.done: list[str] = []

    def order_sending(self, _: Sending) -> None: ...

    def order_done(self, done: OrderDone) -> None:
        self.done.append(done.signal_id)


def task(signal_id: str, symbol: str) -> OrderTask:
    signal = Signal(signal_id, Account("broker", 7), 1, 1, False, False, symbol, Side.BUY, "0.1", "", "", 2**53)
    return OrderTask(signal, mark_of(signal_id), 7, 2**62, 2**62, PriceBounds(20))


def pool_of(*names: str) -> tuple[TerminalPool, list[Worker]]:
    workers = [Worker(name) for name in names]
    pool = TerminalPool(workers, lost_after_s=0.0, back_after_s=0.0)
    for worker in workers:
        worker.join()
    return pool, workers


def test_a_batch_goes_to_the_terminals_that_have_its_symbols() -> None:
    """Each terminal gets its part in one message, each symbol's orders in their order."""
    pool, workers = pool_of("a", "b", "c")
    symbols = [f"S{n % 12}" for n in range(24)]
    pool.send_orders([task(f"{n}", symbol) for n, symbol in enumerate(symbols)], Answers())
    owners = {symbol: pool.owner_name(symbol) for symbol in symbols}
    assert set(owners.values()) == {"a", "b", "c"}
    for worker in workers:
        (ids,) = [ids for ids, _ in worker.batches]
        assert ids == [f"{n}" for n, symbol in enumerate(symbols) if owners[symbol] == worker.name]


def test_a_symbol_moves_when_its_order_is_done_and_in_no_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The terminal that had it is lost: the others take the rest at once."""
    monkeypatch.setattr(pool_module, "_SETTLING_S", 3_600.0)
    pool, workers = pool_of("a", "b", "c")
    lost = workers[0]
    had = [symbol.symbol for symbol in SYMBOLS if pool.owner_name(symbol.symbol) == "a"]
    answers, in_doubt = Answers(), {had[1]}
    pool.is_frozen = in_doubt.__contains__
    pool.send_orders([task("1", had[0])], answers)
    lost.leave()
    assert {pool.owner_name(symbol) for symbol in had[2:]} <= {"b", "c"}
    assert [pool.owner_name(symbol) for symbol in had[:2]] == ["a", "a"]
    assert [pool.is_ready(symbol) for symbol in had] == [False, False, *(True for _ in had[2:])]
    lost.batches[0][1].order_done(OrderDone("1", Result(OrderState.UNKNOWN)))
    in_doubt.clear()
    pool.terminal_changed(lost)
    assert [pool.owner_name(symbol) == "a" for symbol in had[:2]] == [True, False]  # doubt takes a moment to be known
    monkeypatch.setattr(pool_module, "_SETTLING_S", 0.0)
    pool.terminal_changed(lost)
    assert pool.owner_name(had[0]) != "a"
    assert answers.done == ["1"]


def test_a_terminal_that_would_take_no_order_gets_none() -> None:
    """Its symbols go to those that would; when none would, it is said why."""
    pool, workers = pool_of("a", "b")
    assert pool.trading_disabled() is None
    off = replace(HEALTHY, trade_allowed=False)
    workers[0]._on(HealthSeen(off, 1.0))
    assert {pool.owner_name(symbol.symbol) for symbol in SYMBOLS} == {"b"}
    assert pool.trading_disabled() is None
    assert "press the button" in workers[0].findings()[0]
    workers[1]._on(HealthSeen(off, 1.0))
    finding = pool.trading_disabled()
    assert finding
    assert finding.reason == "AUTOTRADING_OFF"


def test_where_no_terminal_has_anything_to_trade_it_is_said() -> None:
    """One symbol is enough."""
    pool, (worker,) = pool_of("a")
    assert pool.symbols_missed() == ""
    worker._on(Connected(ACCOUNT, SYMBOLS[:1], ("TYPO",)))
    assert pool.symbols_missed() == ""
    worker._on(Connected(ACCOUNT, (), ("S0", "TYPO")))
    assert "none of the symbols wanted, no S0, TYPO: correct" in pool.symbols_missed()
    assert "nothing is traded" in pool.symbols_missed()


async def test_books_are_those_of_the_terminal_that_has_had_its_broker_for_longest() -> None:
    """Those of one that has lost it stand still, though it answers; none has it: better old ones than none."""
    pool, workers = pool_of("a", "b", "c")
    for worker, seconds in zip(workers, (10.0, 30.0, 20.0), strict=True):
        worker.seen = HealthSeen(HEALTHY, time.monotonic() - seconds)
    away = replace(HEALTHY, connected=False)
    for order in ("b", "c"):
        await pool.read_books(ReadBooks(0, 1))
        assert [worker.name for worker in workers if worker.read] == [order]
        (read,) = [worker for worker in workers if worker.read]
        read.read = False
        read._on(HealthSeen(away, None))
    workers[0].book_seconds = 0.0  # it has just lost it and has not said so
    workers[1].join(since_s=1.0)
    books = await pool.read_books(ReadBooks(0, 1))
    assert [worker.read for worker in workers] == [True, True, False]
    assert books
    assert books.connected_for_s == 0.0
    workers[1].leave()
    workers[0]._on(HealthSeen(away, None))
    assert await pool.read_books(ReadBooks(0, 1))


async def test_books_prove_that_nothing_happened_only_when_every_terminal_is_there() -> None:
    """An order may still be in the hands of one that is away."""
    pool, workers = pool_of("a", "b")
    workers[1].join(since_s=3.0)
    books = await pool.read_books(ReadBooks(0, 1))
    assert books
    assert 2.5 < books.connected_for_s < 99.0
    workers[1].leave()
    books = await pool.read_books(ReadBooks(0, 1))
    assert books
    assert books.connected_for_s == 0.0


def test_terminals_of_different_accounts_are_no_pool() -> None:
    """Nothing that was agreed for one may reach the other."""
    pool = TerminalPool([Worker("a"), Worker("b")])
    one, other = pool.workers
    one.join()  # type: ignore[attr-defined]
    with pytest.raises(AccountChangedError, match="different accounts"):
        other.join(AccountFacts("broker", 8, 0))  # type: ignore[attr-defined]


def test_facts_that_proved_wrong_are_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for each of many orders."""
    monkeypatch.setattr(pool_module, "_REFRESH_S", 3_600.0)
    pool, (worker,) = pool_of("a")
    answers = Answers()
    pool.send_orders([task("1", "S1"), task("2", "S2")], answers)
    for signal_id in ("1", "2"):
        worker.batches[0][1].order_done(OrderDone(signal_id, Result(OrderState.REJECTED, "INVALID_STOPS")))
    assert worker.commands == [RefreshSymbols()]
    assert answers.done == ["1", "2"]
