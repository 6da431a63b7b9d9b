"""What this PC allows by itself."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.orders import ENTRIES, Kind
from pc_agent.domain import safety
from pc_agent.domain.books import BookOrder, BookPosition
from pc_agent.domain.dead_man import Absence, Noted
from pc_agent.domain.live_settings import DeadMan, LiveSettings
from pc_agent.domain.orders import Account, Side, Signal
from pc_agent.domain.safety import Stand, TradingDay, TradingState, UnderWay, held, measure
from pc_agent.settings.live import live_settings
from pc_agent.settings.live_fields import LiveFields

D = Decimal
NO_CAPS: LiveSettings = replace(
    live_settings(LiveFields()), max_order_volume=D(0), max_symbol_volume=D(0), max_open_positions=0,
    max_orders_per_minute=0,
)  # fmt: skip
ENTRY = Signal("s1", Account("t", 1), 1, 1, False, False, "EURUSD", Side.BUY, "0.3", "", "", 100_000)
SELL = replace(ENTRY, signal_id="s2", side=Side.SELL)
CLOSE = replace(ENTRY, kind=Kind.CLOSE, position=50, side=Side.SELL)
FREE = Stand()
HALTED = Stand(halted=True, reason="KILL_SWITCH", message="stop")


def position(volume: float, ticket: int = 50, symbol: str = "EURUSD") -> BookPosition:
    return BookPosition(ticket, 0, "", symbol, 0 if volume > 0 else 1, abs(volume), 1.1, identifier=ticket)


def waiting(volume: float, type_: int = 2) -> BookOrder:
    return BookOrder(9, 0, "", "EURUSD", type_, 1, rest=volume)


def account(
    *volumes: float,
    hedging: bool = False,
    orders: tuple[BookOrder, ...] = (),
    under_way: tuple[UnderWay, ...] = (),
    entries: int = 0,
) -> safety.Account:
    positions = [position(volume, 50 + number) for number, volume in enumerate(volumes)]
    books = held(positions, orders, hedging=hedging)
    return measure(books, "EURUSD", {"EURUSD": under_way}, entries, hedging=hedging)


def capped(signal: Signal, at: safety.Account, **caps: object) -> str:
    refused = safety.cap_refusal(signal, replace(NO_CAPS, **caps), at)  # type: ignore[arg-type]
    return refused.reason if refused else ""


def test_one_order_is_no_larger_than_allowed() -> None:
    """Up to the cap, and whatever closes."""
    assert capped(ENTRY, account(), max_order_volume=D("0.29")) == "ORDER_VOLUME_CAP"
    assert capped(ENTRY, account(), max_order_volume=D("0.3")) == ""
    assert capped(CLOSE, account(), max_order_volume=D("0.1")) == ""


@pytest.mark.parametrize(
    ("held", "signal", "refused"),
    [(0.7, ENTRY, False), (0.71, ENTRY, True), (-5.0, ENTRY, False), (5.0, SELL, False), (-0.8, SELL, True)],
)
def test_a_symbol_holds_no_more_than_allowed(held: float, signal: Signal, refused: bool) -> None:
    """On a netting account by where an order leads; one that leads back is never stopped by it."""
    assert bool(capped(signal, account(held), max_symbol_volume=D(1))) is refused


def test_what_is_ordered_counts_as_if_it_were_filled() -> None:
    """Pending orders and entries under way, each in its direction; a fill that the books do not show yet too."""
    under_way = (UnderWay(ENTRY), UnderWay(replace(ENTRY, signal_id="s3"), D("0.3")))
    assert capped(ENTRY, account(orders=(waiting(0.8),)), max_symbol_volume=D(1)) == "SYMBOL_VOLUME_CAP"
    assert capped(ENTRY, account(orders=(waiting(0.8, 3),)), max_symbol_volume=D(1)) == ""
    assert capped(ENTRY, account(under_way=under_way), max_symbol_volume=D("0.8")) == "SYMBOL_VOLUME_CAP"
    assert capped(SELL, account(under_way=under_way), max_symbol_volume=D("0.8")) == ""


def test_hedged_positions_add_up() -> None:
    """Both directions of a hedging account are held."""
    assert capped(SELL, account(0.5, -0.4, hedging=True), max_symbol_volume=D(1)) == "SYMBOL_VOLUME_CAP"


def test_so_many_positions_and_orders_at_once() -> None:
    """Netting: one a symbol, however often it is traded, and what makes one smaller is let through; hedging: each."""
    full = account(1.0, orders=(waiting(0.1),), under_way=(UnderWay(ENTRY),))
    assert capped(ENTRY, full, max_open_positions=2) == "OPEN_POSITIONS_CAP"
    assert capped(ENTRY, full, max_open_positions=3) == ""
    assert capped(SELL, account(1.0), max_open_positions=1) == ""
    assert capped(ENTRY, account(under_way=(UnderWay(ENTRY),)), max_open_positions=1) == "OPEN_POSITIONS_CAP"
    hedged = account(1.0, hedging=True, under_way=(UnderWay(ENTRY),))
    assert capped(SELL, hedged, max_open_positions=2) == "OPEN_POSITIONS_CAP"


def test_so_many_entries_a_minute() -> None:
    """One more is too many; closing is never one."""
    assert capped(ENTRY, account(entries=5), max_orders_per_minute=5) == "ORDER_RATE_CAP"
    assert capped(ENTRY, account(entries=4), max_orders_per_minute=5) == ""
    assert capped(CLOSE, account(entries=5), max_orders_per_minute=5) == ""


@pytest.mark.parametrize("kind", list(Kind))
def test_a_halted_account_takes_no_entry_and_everything_else(kind: Kind) -> None:
    """Whoever halted it: closing, changing and withdrawing pass."""
    signal = replace(ENTRY, kind=kind)
    for stand, engine in ((HALTED, TradingState.ACTIVE), (FREE, TradingState.HALTED)):
        assert bool(safety.halt_refusal(signal, stand, engine, account())) is (kind in ENTRIES)
    assert safety.halt_refusal(signal, FREE, TradingState.ACTIVE, account()) is None


def test_a_reducing_account_takes_only_what_makes_a_position_smaller() -> None:
    """Counted with what is under way already."""

    def passes(signal: Signal, at: safety.Account) -> bool:
        return safety.halt_refusal(signal, FREE, TradingState.REDUCING, at) is None

    assert passes(SELL, account(0.3))
    assert not passes(SELL, account(0.29))
    assert not passes(SELL, account(0.3, under_way=(UnderWay(SELL),)))
    assert not passes(replace(SELL, kind=Kind.LIMIT), account(0.3))
    assert not passes(SELL, account(0.3, hedging=True))
    assert passes(CLOSE, account(hedging=True))


def test_what_is_foreign_is_not_touched() -> None:
    """Positions by either ticket of a close-by, orders by theirs."""
    foreign, unknown = [position(0.1, 60)], [waiting(0.1)]
    for signal in (replace(CLOSE, position=60), replace(CLOSE, kind=Kind.CLOSE_BY, opposite_position=60),
                   replace(CLOSE, kind=Kind.MODIFY_POSITION, position=60),
                   replace(CLOSE, kind=Kind.CANCEL_ORDER, order_ticket=9)):  # fmt: skip
        assert safety.foreign_refusal(signal, foreign, unknown)
    assert safety.foreign_refusal(CLOSE, foreign, unknown) is None


MONEY = st.integers(-10_000, 10_000).map(D)


@given(st.lists(st.tuples(st.integers(0, 3 * safety.DAY_S), MONEY, MONEY), max_size=20), st.integers(1, 5000))
def test_a_lost_day_stays_lost_and_the_next_one_begins_anew(looks: list[tuple[int, D, D]], cap: int) -> None:
    """Loss is against the day's start, without what was paid in or out; the day never goes back."""
    day, begun, lost, number = TradingDay(), D(0), False, -1
    for server_s, equity, paid in sorted(looks, key=lambda look: look[0]):
        server_s += 20_000 * safety.DAY_S
        if server_s // safety.DAY_S > number:
            number, begun, lost = server_s // safety.DAY_S, equity, False
        else:
            begun += paid
            lost = lost or begun - equity >= cap
        day = day.at(server_s, equity, paid, D(cap))
        assert (day.day, day.equity, day.lost) == (number, begun, lost)
    assert day.at(0, D(0), D(0), D(cap)).day == day.day
    # What time it is, is not known: the day goes on, and none begins.
    unknown = day.at(None, day.equity - cap, D(0), D(cap))
    assert (unknown.day, unknown.lost) == (day.day, bool(looks))


def test_the_dead_man_acts_once_and_only_when_it_lasts() -> None:
    """From when the engine is gone, not before its time; back is back."""
    gone = Absence().at(False, 100.0).at(False, 200.0)
    assert not gone.is_too_long(DeadMan.STOP_ENTRIES, 120.0, 219.0)
    assert gone.is_too_long(DeadMan.STOP_ENTRIES, 120.0, 220.0)
    assert not gone.is_too_long(DeadMan.HOLD, 120.0, 1e9)
    assert Absence() == gone.at(True, 230.0)


@pytest.mark.parametrize(
    ("away_s", "acts_after_s"),
    [
        (10, 190),  # the agent was restarted: what is left of the time
        (200, 15),  # an engine that was started with it has a moment to be found
        (300, 300),  # who was away for so long can not tell
        (-60, 300),  # nor with a clock that was set back
    ],
)
def test_a_restart_does_not_begin_an_absence_anew(away_s: int, acts_after_s: int) -> None:
    """It was noted after 100 s, then the agent was away."""
    now_s = 50.0
    gone = Noted(1_000, 1_100).taken_up(300.0, 1_100 + away_s, now_s).at(False, now_s)
    assert not gone.is_too_long(DeadMan.FLATTEN, 300.0, now_s + acts_after_s - 1)
    assert gone.is_too_long(DeadMan.FLATTEN, 300.0, now_s + acts_after_s)
    assert Noted().taken_up(300.0, 1_100, now_s) == gone.at(True, now_s) == Absence()
