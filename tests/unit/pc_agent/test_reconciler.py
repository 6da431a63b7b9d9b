"""Orders in doubt and pending orders, until the books have told."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from mesh.clock import boot_ns
from mesh.orders import Kind
from pc_agent.domain.books import BookDeal, BookOrder, BookPosition, Books
from pc_agent.domain.orders import Account, Entry, OrderState, Result, Side, Signal, mark_of
from pc_agent.domain.server_clock import ServerClock
from pc_agent.orders import account_books as books_module
from pc_agent.orders import reconciler as module
from pc_agent.orders.account_books import AccountBooks
from pc_agent.orders.deal_ledger import DealLedger
from pc_agent.orders.ledger import Ledger
from pc_agent.orders.reconciler import NotInDoubtError, Reconciler
from pc_agent.terminal.messages import ReadBooks
from tests.support import eventually
from tests.unit.pc_agent.test_ledger import in_one_commit

ACCOUNT = Account("broker-1", 42)
DAY_MS = 86_400_000
NOTHING = Books(1_000.0, (), (), (), ())


class Terminal:
    """Shows what a test gives it; None: it is away."""

    def __init__(self) -> None:
        self.books: Books | None = NOTHING
        self.asked: list[ReadBooks] = []
        # Soon after it has shown them.
        self.shown: Callable[[], object] = lambda: None

    async def read_books(self, ask: ReadBooks) -> Books | None:
        self.asked.append(ask)
        asyncio.get_running_loop().call_soon(self.shown)
        if self.books is None or not (ask.orders or ask.marks):
            return self.books and replace(self.books, history_orders=())
        return self.books


class World:
    """A reconciler with all that it needs; the engine was heard of just now."""

    def __init__(self, ledger: Ledger, terminal: Terminal | None = None) -> None:
        self.ledger, self.terminal, self.clock = ledger, terminal or Terminal(), ServerClock()
        now = boot_ns()
        self.clock.measure(now, now, time.time_ns())
        deals = self.deals = DealLedger(ledger, ACCOUNT)
        self.books = AccountBooks(self.terminal, deals, self.clock, lambda: "EURUSD")
        self.settled: list[Entry] = []
        self.reconciler = Reconciler(ledger, deals, self.books, self.terminal, self.clock, 60.0, self.settled.append)

    async def entry(self, name: str, state: OrderState, **changes: object) -> Entry:
        """In the ledger, in that state; its time was over an hour ago."""
        await self.begin(name, **changes)
        return await self.ledger.settle(name, Result(state, ticket=50 if state is OrderState.PLACED else 0))

    async def begin(self, name: str, **changes: object) -> None:
        """It is being sent."""
        not_after_ms = time.time_ns() // 1_000_000 - 3_600_000
        signal = Signal(name, ACCOUNT, 1, 1, False, False, "EURUSD", Side.BUY, "0.1", "", "", not_after_ms)
        signal = replace(signal, **changes)  # type: ignore[arg-type]
        await self.ledger.receive(ACCOUNT, 1, 1, [Entry(signal, Result(OrderState.RECEIVED), time.time_ns())])
        await self.ledger.intend([name], 1)

    async def look_given_up(self) -> None:
        """Whoever looks leaves while the ledger writes what the terminal has shown."""
        looking = asyncio.get_running_loop().create_task(self.books.look(5))
        self.terminal.shown = looking.cancel
        with pytest.raises(asyncio.CancelledError):
            await looking
        self.terminal.shown = lambda: None

    async def state(self, name: str) -> OrderState | None:
        entry = await self.ledger.entry(name)
        return entry.state if entry else None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.reconciler.run())
            yield
            running.cancel()


@pytest.fixture
def world(ledger: Ledger) -> World:
    return World(ledger)


def deal(name: str) -> BookDeal:
    mark = mark_of(name)
    now_ms = time.time_ns() // 1_000_000
    return BookDeal(7, 50, mark.magic, mark.comment, "EURUSD", 0, 0.1, 1.1, position=50, time_msc=now_ms)


async def test_a_symbol_is_frozen_until_its_doubt_is_resolved(world: World) -> None:
    """By the deal, as soon as that is shown; whoever counts orders hears of it."""
    world.terminal.books = None
    entry = await world.entry("s1", OrderState.UNKNOWN)
    async with world.running():
        world.reconciler.doubt(entry)
        assert (world.reconciler.is_frozen("EURUSD"), world.reconciler.is_frozen("GBPUSD")) == (True, False)
        world.terminal.books = replace(NOTHING, deals=(deal("s1"),))
        await eventually(lambda: not world.reconciler.is_frozen("EURUSD"))
    assert await world.state("s1") is OrderState.FILLED
    assert [one.state for one in world.settled] == [OrderState.FILLED]


async def test_a_doubt_and_its_deal_in_one_commit_leave_no_doubt(world: World) -> None:
    """The ledger says FILLED: a symbol that stayed frozen would have its closes refused."""
    await world.begin("s1")

    async def call_in_doubt() -> None:
        world.reconciler.doubt(await world.ledger.settle("s1", Result(OrderState.UNKNOWN)))

    await in_one_commit(world.ledger, call_in_doubt(), world.deals.take([deal("s1")]))
    assert await world.state("s1") is OrderState.FILLED
    assert not world.reconciler.is_frozen("EURUSD")


async def test_nothing_is_concluded_of_books_that_do_not_tell_all(world: World) -> None:
    """NOT_EXECUTED only when all of the past was looked through from before it can have been sent: an order of a week
    ago too, whose ledger was lost; and never while the engine's clock or the broker is not there."""
    week_ago_ms = time.time_ns() // 1_000_000 - 7 * DAY_MS
    world.reconciler.doubt(await world.entry("s1", OrderState.UNKNOWN, not_after_unix_ms=week_ago_ms))
    world.terminal.books = replace(NOTHING, connected_for_s=59.0)
    await world.reconciler.look_at_doubts()
    world.terminal.books, clock = NOTHING, world.clock
    clock.forget()
    await world.reconciler.look_at_doubts()
    assert await world.state("s1") is OrderState.UNKNOWN
    now = boot_ns()
    clock.measure(now, now, time.time_ns())
    await world.reconciler.look_at_doubts()
    assert await world.state("s1") is OrderState.NOT_EXECUTED
    (deep,) = [ask for ask in world.terminal.asked if ask.marks]
    assert (deep.marks, deep.from_s < week_ago_ms // 1000 - DAY_MS // 1000) == ((mark_of("s1"),), True)


async def test_what_another_ledger_had_is_found_at_the_first_look(world: World) -> None:
    """Its deal was taken for foreign before its signal came; nothing is concluded of what is not shown yet."""
    world.terminal.books = replace(NOTHING, connected_for_s=5.0, deals=(deal("s1"),))
    await world.books.look(5)
    for name in ("s1", "s2"):
        world.reconciler.doubt(await world.entry(name, OrderState.UNKNOWN, redelivered=True))
    await world.reconciler.look_at_doubts()
    assert [await world.state(name) for name in ("s1", "s2")] == [OrderState.FILLED, OrderState.UNKNOWN]


async def test_the_agents_own_signals_are_settled_by_the_pcs_clock(world: World) -> None:
    """They are made while the engine is away, and come to an end without it."""
    world.clock.forget()
    world.reconciler.doubt(await world.entry("local-1", OrderState.UNKNOWN, seq=0, kind=Kind.CLOSE, position=9))
    await world.reconciler.look_at_doubts()
    assert await world.state("local-1") is OrderState.NOT_EXECUTED


async def test_a_doubt_that_lasts_is_shouted_and_looked_at_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its symbol stays frozen; a person may say what became of it, once."""
    monkeypatch.setattr(module, "_QUICK_S", 0.0)
    world.terminal.books = None
    entry = await world.entry("s1", OrderState.UNKNOWN)
    async with world.running():
        world.reconciler.doubt(entry)
        await eventually(lambda: world.reconciler.unresolved == (entry,))
        assert world.reconciler.is_frozen("EURUSD")
        await world.reconciler.resolve_by_hand("s1", Result(OrderState.FILLED, "BY_HAND", volume="0.1", price="1.1"))
        assert not world.reconciler.is_frozen("EURUSD")
    with pytest.raises(NotInDoubtError, match="it is FILLED"):
        await world.reconciler.resolve_by_hand("s1", Result(OrderState.NOT_EXECUTED))


async def test_a_pending_order_is_watched_until_the_broker_is_done_with_it(world: World) -> None:
    """While it works nothing is said; removed or expired, it ends as the terminal's history says."""
    world.reconciler.watch(await world.entry("s1", OrderState.PLACED, kind=Kind.LIMIT))
    works = BookOrder(50, 0, "", "EURUSD", 2, 1, volume=0.1, rest=0.1)
    for books in (replace(NOTHING, orders=(works,)), NOTHING):
        world.terminal.books = books
        await world.books.look(5)
        await world.reconciler.look_at_pending()
        assert [one.state for one in world.reconciler.pending] == [OrderState.PLACED]
    world.terminal.books = replace(NOTHING, history_orders=(replace(works, state=6),))
    await world.books.look(5)
    await world.reconciler.look_at_pending()
    assert await world.state("s1") is OrderState.EXPIRED
    assert world.reconciler.pending == ()


async def test_many_that_ended_at_once_are_asked_for_few_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who reads ticks waits for few; what the past does not show keeps nobody from his turn."""
    monkeypatch.setattr(module, "_MOST_TICKETS", 12)
    for number in range(13):
        world.reconciler.watch(await world.entry(f"s{number}", OrderState.PLACED, kind=Kind.LIMIT))
    await world.books.look(5)
    for _ in range(2):
        await world.reconciler.look_at_pending()
    assert [len(ask.orders) for ask in world.terminal.asked] == [0, 10, 2, 10, 2]
    assert next(iter(world.reconciler.pending)).signal.signal_id == "s11"


async def test_what_our_signal_removed_is_not_said_to_be_removed_by_hand(world: World) -> None:
    """Also when the broker's answer to the removal is still to come; another order's removal proves nothing."""
    world.reconciler.watch(await world.entry("s1", OrderState.PLACED, kind=Kind.LIMIT))
    await world.entry("other", OrderState.UNKNOWN, kind=Kind.CANCEL_ORDER, order_ticket=51)
    await world.entry("halt-1", OrderState.UNKNOWN, kind=Kind.CANCEL_ORDER, order_ticket=50)
    gone = BookOrder(50, 0, "", "EURUSD", 2, 2, volume=0.1, rest=0.1)
    world.terminal.books = replace(NOTHING, history_orders=(gone,))
    await world.books.look(5)
    await world.reconciler.look_at_pending()
    ended = await world.ledger.entry("s1")
    assert ended
    assert (ended.state, ended.result.reason, "halt-1" in ended.result.message) == (
        *(OrderState.CANCELED, "REMOVED_AS_ASKED", True),
    )


async def test_an_order_whose_stops_are_as_asked_was_changed(world: World) -> None:
    """The books that show it are enough."""
    entry = await world.entry("s1", OrderState.UNKNOWN, kind=Kind.MODIFY_POSITION, position=9, stop_loss="1.05")
    world.terminal.books = replace(NOTHING, positions=(BookPosition(9, 0, "", "EURUSD", 0, 0.1, 1.1, stop_loss=1.05),))
    world.reconciler.doubt(entry)
    await world.reconciler.look_at_doubts()
    assert await world.state("s1") is OrderState.DONE


@pytest.mark.parametrize(("ahead_s", "told"), [(10 * 3600, True), (-4 * 365 * 86_400, False)])
async def test_the_newest_quote_tells_the_servers_time_unless_it_is_old(world: World, ahead_s: int, told: bool) -> None:
    """A replay's quotes are of years ago, a weekend's of Friday: the PC's clock stands for the server's then."""
    now_s = int(time.time())
    world.terminal.books = replace(NOTHING, server_s=now_s + ahead_s)
    look = await world.books.look(5)
    assert look
    assert abs(look.server_s - now_s - (ahead_s if told else 0)) < 60


async def test_what_is_paid_in_while_an_order_is_in_doubt_is_told_by_the_next_look(world: World) -> None:
    """Whoever looked first: a loss of that size must not hide behind it. Also one whose later pages were not read."""
    now_ms = time.time_ns() // 1_000_000
    first = replace(deal("old"), ticket=1, time_msc=now_ms - 60_000)
    world.terminal.books = replace(NOTHING, deals=(first,))
    await world.books.look(5)
    world.reconciler.doubt(await world.entry("s1", OrderState.UNKNOWN))
    deposit = BookDeal(2, 0, 0, "deposit", "", 2, 0.0, 0.0, profit=500.0, time_msc=now_ms)
    world.terminal.books = replace(NOTHING, deals=(first, deposit))
    await world.reconciler.look_at_doubts()
    look = await world.books.look(5)
    assert look
    assert look.paid_in == 500


async def test_what_is_paid_out_is_counted_though_whoever_looked_has_given_up(world: World) -> None:
    """A withdrawal that is not counted looks like a loss."""
    world.terminal.books = replace(NOTHING, deals=(deal("old"),))
    await world.books.look(5)
    withdrawal = BookDeal(8, 0, 0, "", "", 2, 0.0, 0.0, profit=-500.0, time_msc=time.time_ns() // 1_000_000)
    world.terminal.books = replace(NOTHING, deals=(withdrawal,))
    await world.look_given_up()
    look = await world.books.look(5)
    assert look
    assert look.paid_in == -500


async def test_what_was_paid_in_before_a_new_ledger_is_no_news(world: World) -> None:
    """Nor is what its first look did not reach, as it was given up; what comes behind that look is."""
    now_ms = time.time_ns() // 1_000_000
    paid = [
        BookDeal(ticket, 0, 0, "", "", 2, 0.0, 0.0, profit=100.0, time_msc=now_ms + ticket * 1000)
        for ticket in range(1, 4)
    ]
    world.terminal.books = replace(NOTHING, deals=(paid[0],))
    await world.look_given_up()
    for so_far in (paid[:2], paid):
        world.terminal.books = replace(NOTHING, deals=tuple(so_far))
        look = await world.books.look(5)
    assert look
    assert look.paid_in == 100


async def test_the_first_payment_of_an_account_without_deals_is_counted(world: World) -> None:
    """Its ledger is not new any more, though it has seen no deal yet."""
    await world.books.look(5)
    deposit = BookDeal(1, 0, 0, "", "", 2, 0.0, 0.0, profit=500.0, time_msc=time.time_ns() // 1_000_000)
    world.terminal.books = replace(NOTHING, deals=(deposit,))
    look = await world.books.look(5)
    assert look
    assert look.paid_in == 500


async def test_a_persons_word_holds_though_he_did_not_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger has it: the symbol is free, also while the terminal is away."""
    world.terminal.books = None
    world.reconciler.doubt(await world.entry("s1", OrderState.UNKNOWN))
    word = Result(OrderState.NOT_EXECUTED, "BY_HAND")
    run, asked = world.ledger.run, []

    def left_at_the_write(*what: Any) -> Any:
        asked.append(what)
        if len(asked) == 2:
            asyncio.get_running_loop().call_soon(resolving.cancel)
        return run(*what)

    monkeypatch.setattr(world.ledger, "run", left_at_the_write)
    resolving = asyncio.get_running_loop().create_task(world.reconciler.resolve_by_hand("s1", word))
    with pytest.raises(asyncio.CancelledError):
        await resolving
    assert await world.state("s1") is OrderState.NOT_EXECUTED
    assert not world.reconciler.is_frozen("EURUSD")


async def test_positions_closed_by_each_other_are_found_without_a_mark(world: World) -> None:
    """A broker that drops both the magic and the comment hides nothing: one order made a deal of each."""
    world.reconciler.doubt(
        await world.entry("s1", OrderState.UNKNOWN, kind=Kind.CLOSE_BY, position=8, opposite_position=9)
    )
    now_ms = time.time_ns() // 1_000_000
    made = [
        BookDeal(ticket, 70, 0, "", "EURUSD", 0, 0.1, 1.1, entry=3, position=position, time_msc=now_ms)
        for ticket, position in ((21, 8), (22, 9))
    ]
    opened = [replace(deal("x"), ticket=one.position, order=one.position, position=one.position) for one in made]
    world.terminal.books = replace(NOTHING, deals=(*opened, made[0]))
    await world.reconciler.look_at_doubts()
    assert await world.state("s1") is OrderState.NOT_EXECUTED
    world.reconciler.doubt(
        await world.entry("s2", OrderState.UNKNOWN, kind=Kind.CLOSE_BY, position=8, opposite_position=9)
    )
    world.terminal.books = replace(NOTHING, deals=(*opened, *made))
    await world.reconciler.look_at_doubts()
    assert await world.state("s2") is OrderState.DONE


async def test_an_expiry_in_doubt_waits_for_the_brokers_clock(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it nobody can tell whether the order ends when it was asked to."""
    now_s, now = int(time.time()), boot_ns()
    monkeypatch.setattr(books_module, "boot_ns", lambda: now)  # a quote's age is that of its looks
    asked_ms = (now_s + 86_400) * 1000
    entry = await world.entry(
        "s1", OrderState.UNKNOWN, kind=Kind.MODIFY_ORDER, order_ticket=50, expires_unix_ms=asked_ms
    )
    order = BookOrder(50, 0, "", "EURUSD", 2, 1, expires_s=now_s + 86_400 + 7_200, type_time=2)
    world.reconciler.doubt(entry)
    world.terminal.books = replace(NOTHING, orders=(order,), server_s=now_s + 7_200)
    await world.reconciler.look_at_doubts()
    assert await world.state("s1") is OrderState.UNKNOWN
    world.terminal.books = replace(NOTHING, orders=(order,), server_s=now_s + 7_201)
    await world.reconciler.look_at_doubts()
    assert await world.state("s1") is OrderState.DONE


async def test_the_engines_clock_tells_the_day_where_the_pcs_is_set_wrong(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quote that fits it tells more; the PC's own says nothing of the day."""
    now_s = int(time.time())
    monkeypatch.setattr(books_module, "unix_ns", lambda: (now_s + 86_400) * 10**9)
    look = await world.books.look(5)
    assert look
    assert (abs(look.server_s - now_s) < 60, look.is_told) == (True, True)
    world.clock.forget()
    look = await world.books.look(5)
    assert look
    assert not look.is_told
