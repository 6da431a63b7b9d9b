"""What counts for this PC's caps, from intent to the books."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from mesh.orders import Kind
from pc_agent.domain.books import BookOrder, BookPosition, Books
from pc_agent.domain.cap_usage import CapUsage
from pc_agent.domain.orders import Account, Entry, OrderState, Result, Side, Signal
from pc_agent.domain.safety import RATE_S, Exposure

D = Decimal
BUY = Signal("s1", Account("t", 1), 1, 1, False, False, "EURUSD", Side.BUY, "0.3", "", "", 1)
SELL = replace(BUY, signal_id="s2", side=Side.SELL)
LIMIT = replace(BUY, kind=Kind.LIMIT, price="1.0")
CLOSE = replace(BUY, kind=Kind.CLOSE, side=Side.SELL, position=50)
FILLED = Result(OrderState.FILLED, deal=7, volume="0.3")
PLACED = Result(OrderState.PLACED, ticket=9)
NOTHING = Books(60.0, (), (), (), ())
POSITION = replace(NOTHING, positions=(BookPosition(50, 0, "", "EURUSD", 0, 0.3, 1.1),))
WORKING = replace(NOTHING, orders=(BookOrder(9, 0, "", "EURUSD", 2, 1, rest=0.3),))


@pytest.fixture
def usage() -> CapUsage:
    return CapUsage(hedging=True)


def at(usage: CapUsage, now: float = 0.0) -> tuple[Exposure, int, int]:
    """Lots of EURUSD, places and entries of the last minute."""
    account = usage.measured("EURUSD", now)
    return account.exposures["EURUSD"], account.places, account.entries_last_minute


def shown(_: int) -> bool:
    return True


@pytest.mark.parametrize("state", [OrderState.REJECTED, OrderState.EXPIRED, OrderState.NOT_EXECUTED])
def test_an_entry_counts_until_it_never_was(usage: CapUsage, state: OrderState) -> None:
    """By its side, from its intent on; of the minute's it stays one, and what makes nothing larger is none."""
    for signal in (BUY, SELL, CLOSE):
        usage.begin(signal, 0.0)
    assert at(usage) == (Exposure(buying=D("0.3"), selling=D("0.3")), 2, 2)
    usage.note(Entry(BUY, Result(state), 1), 1.0)
    usage.note(Entry(CLOSE, Result(OrderState.FILLED), 1), 1.0)
    assert at(usage) == (Exposure(selling=D("0.3")), 1, 2)
    assert usage.expected == {"EURUSD": {"s2"}}


@pytest.mark.parametrize(
    ("result", "exposure"),
    [
        (FILLED, Exposure(long=D("0.3"))),
        (Result(OrderState.PARTIALLY_FILLED, deal=7, volume="0.1"), Exposure(long=D("0.1"))),
        (Result(OrderState.FILLED, deal=7), Exposure(buying=D("0.3"))),
    ],
    ids=["filled", "in part", "nobody says how much"],
)
def test_what_was_filled_is_held_though_no_book_shows_it(usage: CapUsage, result: Result, exposure: Exposure) -> None:
    """As much as was filled; where that was not told, as much as was ordered."""
    usage.begin(BUY, 0.0)
    usage.note(Entry(BUY, result, 1), 1.0)
    assert at(usage) == (exposure, 1, 1)


@pytest.mark.parametrize(
    ("signal", "result", "asked", "has_shown", "books", "counts_twice"),
    [
        (BUY, FILLED, 1.0, shown, POSITION, True),
        (BUY, FILLED, 1.1, shown, POSITION, False),
        (BUY, FILLED, 1.1, {8}.__contains__, POSITION, True),
        (BUY, FILLED, 61.1, {8}.__contains__, POSITION, False),
        (LIMIT, PLACED, 1.1, shown, WORKING, False),
        (LIMIT, PLACED, 1.1, shown, replace(WORKING, orders=(replace(WORKING.orders[0], ticket=8),)), True),
    ],
    ids=["asked before", "asked since", "its deal is missing", "for too long", "it works", "another works"],
)
def test_what_the_books_show_is_counted_as_they_show_it(
    usage: CapUsage, signal: Signal, result: Result, asked: float, has_shown: Callable[[int], bool], books: Books,
    counts_twice: bool,
) -> None:  # fmt: skip
    """Once it is known that they do: rather twice for a while than not at all."""
    usage.begin(signal, 0.0)
    usage.note(Entry(signal, result, 1), 1.0)
    usage.look(books, asked, has_shown)
    assert (at(usage)[1], bool(usage.expected)) == (2 if counts_twice else 1, counts_twice)


def test_a_pending_order_that_ends_at_once_is_forgotten(usage: CapUsage) -> None:
    """Removed before any look showed it; what a look tells of it afterwards changes nothing."""
    usage.begin(LIMIT, 0.0)
    usage.note(Entry(LIMIT, PLACED, 1), 1.0)
    usage.note(Entry(LIMIT, Result(OrderState.CANCELED), 1), 2.0)
    assert usage.expected == {}
    usage.look(WORKING, 3.0, shown)
    assert at(usage)[:2] == (Exposure(buying=D("0.3")), 1)


def test_what_is_in_doubt_counts_until_that_is_resolved(usage: CapUsage) -> None:
    """Also one that another agent began, if it can be counted; no look ends it, and the minute does not know it."""
    usage.begin(BUY, 0.0)
    strange = [replace(SELL, signal_id="x", volume="x"), replace(SELL, signal_id="y", volume=""), CLOSE]
    for signal in (BUY, SELL, *strange):
        usage.note(Entry(signal, Result(OrderState.UNKNOWN), 1), 1.0)
    usage.look(NOTHING, 99.0, shown)
    assert at(usage) == (Exposure(buying=D("0.3"), selling=D("0.3")), 2, 1)
    usage.note(Entry(BUY, Result(OrderState.NOT_EXECUTED), 1), 100.0)
    usage.note(Entry(SELL, FILLED, 1), 100.0)
    assert at(usage)[:2] == (Exposure(short=D("0.3")), 1)
    usage.note(Entry(replace(BUY, signal_id="nobody's"), FILLED, 1), 100.0)
    assert usage.expected == {"EURUSD": {"s2"}}


def test_a_minute_has_the_entries_of_its_last_sixty_seconds(usage: CapUsage) -> None:
    """Those that an agent before this one began are the older ones."""
    usage.begin(BUY, 30.0)
    usage.recall([1.0, 2.0])
    assert [at(usage, now)[2] for now in (30.0, 1.0 + RATE_S, 2.0 + RATE_S, 30.0 + RATE_S)] == [3, 2, 1, 0]


def test_a_netting_account_has_one_place_for_a_symbol() -> None:
    """However often it is traded; what is not held yet takes one."""
    usage = CapUsage(hedging=False)
    usage.look(POSITION, 0.0, shown)
    for signal in (BUY, SELL, replace(BUY, signal_id="s3", symbol="USDJPY")):
        usage.begin(signal, 1.0)
    assert at(usage)[1] == 2
