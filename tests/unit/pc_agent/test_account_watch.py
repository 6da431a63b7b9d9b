"""When the books are looked at, and that the engine hears of what they show."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from pc_agent.domain.books import BookOrder, BookPosition, Books, Money
from pc_agent.domain.orders import Entry, Mark, OrderState, Result, Side, Signal, mark_of
from pc_agent.orders import account_books, reconciler
from pc_agent.orders import account_watch as module
from pc_agent.orders.account_books import Look
from pc_agent.orders.account_watch import AccountWatch
from pc_agent.orders.ledger import open_ledger
from pc_agent.terminal.messages import ReadBooks
from tests.support import eventually
from tests.unit.pc_agent.test_reconciler import ACCOUNT, NOTHING, Terminal, World, deal

BOOKS = replace(NOTHING, money=Money(1_000.0, 1_000.0, 0.0, 1_000.0))
OPEN = BookPosition(9, 0, "", "EURUSD", 0, 0.1, 1.1)


class WatchedTerminal(Terminal):
    """Connected; remembers when it was asked, and tells somebody."""

    connected = True

    def __init__(self) -> None:
        super().__init__()
        self.books = BOOKS
        self.asked_s: list[float] = []
        self.during_look: Callable[[], None] = lambda: None

    async def read_books(self, ask: ReadBooks) -> Books | None:
        self.asked_s.append(time.monotonic())
        books = await super().read_books(ask)
        self.during_look()
        return books


class Watched:
    """A watch that looks by itself once in a minute."""

    def __init__(self, world: World, terminal: WatchedTerminal) -> None:
        self.world, self.terminal = world, terminal
        self.looks: list[Look] = []
        self.watch = AccountWatch(
            ACCOUNT, world.ledger, world.deals, world.books, world.reconciler, terminal,
            lambda: 30.0, self.looks.append,
        )  # fmt: skip

    def tickets(self) -> list[int]:
        snapshot = self.watch.snapshot
        return [position.ticket for position in snapshot.positions] if snapshot else []

    def end(self, state: OrderState) -> None:
        """An order has ended so."""
        signal = Signal("s1", ACCOUNT, 1, 1, False, False, "EURUSD", Side.BUY, "0.1", "", "", 1)
        self.watch.ended(Entry(signal, Result(state), 1))


@asynccontextmanager
async def watching(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    monkeypatch.setattr(module, "_LOOK_S", 60.0)
    with open_ledger(folder) as ledger:
        terminal = WatchedTerminal()
        watched = Watched(World(ledger, terminal), terminal)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(watched.watch.run())
            await eventually(lambda: watched.watch.snapshot is not None)
            yield watched
            running.cancel()


async def no_past(*_: object) -> dict[int, BookOrder]:
    return {}


async def test_what_an_outcome_did_to_the_books_is_told_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine is to hear of it, the safety has seen it; many outcomes at once cost one look."""
    async with watching(tmp_path, monkeypatch) as watched:
        watched.watch.changed.clear()
        watched.terminal.books = replace(BOOKS, positions=(OPEN,))
        for _ in range(100):
            watched.end(OrderState.FILLED)
        await eventually(lambda: watched.tickets() == [9])
        assert watched.watch.changed.is_set()
        watched.terminal.books = BOOKS
        watched.end(OrderState.DONE)
        await eventually(lambda: watched.tickets() == [])
        assert len(watched.looks) == 3


async def test_an_order_is_ours_by_the_mark_of_a_signal_that_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All others are foreign, whoever made them: nothing here removes them, not when the engine is gone either."""
    async with watching(tmp_path, monkeypatch) as watched:
        await watched.world.entry("s1", OrderState.PLACED)
        marks = [mark_of("s1"), Mark(mark_of("s1").magic, ""), Mark(0, ""), Mark(77, "grid"), mark_of("of another PC")]
        orders = [BookOrder(at, mark.magic, mark.comment, "EURUSD", 2, 1) for at, mark in enumerate(marks, 1)]
        watched.terminal.books = replace(BOOKS, orders=tuple(orders))
        await watched.watch.look()
        assert [order.ticket for order in watched.watch.our_orders()] == [1, 2]
        assert [order.ticket for order in watched.watch.foreign_orders()] == [3, 4, 5]


@pytest.mark.parametrize(("state", "looks"), [(OrderState.REJECTED, 1), (OrderState.UNKNOWN, 2)])
async def test_what_never_was_costs_no_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: OrderState, looks: int
) -> None:
    """A refusal left the books as they were; what may have been executed did not."""
    monkeypatch.setattr(module, "_PAUSE_S", 0.0)
    async with watching(tmp_path, monkeypatch) as watched:
        watched.end(state)
        for _ in range(3):  # in turn with whoever else wants to look
            await watched.watch.look()
        assert len(watched.looks) == looks + 3


async def test_a_storm_leaves_the_terminal_to_its_orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks are apart however much happens; what happens while the books are read is seen by the next one."""
    monkeypatch.setattr(module, "_PAUSE_S", 0.05)
    async with watching(tmp_path, monkeypatch) as watched:
        watched.terminal.during_look = lambda: watched.end(OrderState.FILLED)
        watched.end(OrderState.FILLED)
        await eventually(lambda: len(watched.looks) >= 5)
        asked_s = watched.terminal.asked_s
        assert all(later - one >= 0.05 for one, later in pairwise(asked_s))


async def test_a_look_that_was_overtaken_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Safety would count without a position that is open, and what was closed would be closed again. Both may be of one
    tick: some systems' clocks move every 16 ms."""
    async with watching(tmp_path, monkeypatch) as watched:
        now = time.monotonic()
        monkeypatch.setattr(account_books, "time", SimpleNamespace(monotonic=lambda: now))
        pending = await watched.world.entry("s1", OrderState.PLACED)
        watched.world.reconciler.watch(pending)
        held_up, go_on = asyncio.Event(), asyncio.Event()

        async def slow_past(*_: object) -> dict[int, BookOrder]:
            held_up.set()
            await go_on.wait()
            return await no_past()

        monkeypatch.setattr(reconciler, "past_orders", slow_past)
        older = asyncio.get_running_loop().create_task(watched.watch.look())
        await held_up.wait()
        monkeypatch.setattr(reconciler, "past_orders", no_past)
        watched.terminal.books = replace(BOOKS, positions=(OPEN,))
        assert await watched.watch.look()
        go_on.set()
        assert await older
        assert (watched.tickets(), watched.watch.foreign()) == ([9], [OPEN])
        assert watched.looks[-1].books.positions == (OPEN,)


async def test_a_deal_that_was_only_read_was_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its position counts, and is closed, from the look on that shows both: another one may have taken the deal."""
    async with watching(tmp_path, monkeypatch) as watched:
        watched.terminal.books = replace(BOOKS, positions=(OPEN,), deals=(deal("s1"),))
        await watched.watch.read()
        assert (watched.watch.has_shown(7), watched.watch.foreign()) == (False, [])
        await watched.watch.look()
        assert (watched.watch.has_shown(7), watched.watch.foreign()) == (True, [OPEN])
