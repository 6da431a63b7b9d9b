"""What the quality monitor marks and tells; it drops nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.market import BEFORE_FIRST, TickId
from mesh.market.marks import CROSSED, MISSING_HOUR, OUT_OF_SESSION, REPEATED_HOUR, SPIKE, ZERO_PRICE, ZERO_SPREAD
from services.database.domain.log import Marker
from services.database.domain.quality import Monitor
from tests.unit.services.database.domain.feed import NOON_MSC, Alarms, message, sessions, zones

DAY = 86_400_000
WALK = 1.1 + np.cumsum(np.random.default_rng(1).choice([-1e-5, 0, 0, 1e-5], 400))


def monitor(alarms: Alarms | None = None, zone: str = "UTC", session: str = "") -> Monitor:
    rules = sessions(f"EURUSD={session}") if session else sessions()
    return Monitor(zones(f"Demo={zone}").of, rules, 30, (alarms or Alarms()).alarm, None)


def spikes(*prices: np.ndarray, watch: Monitor | None = None) -> list[list[int]]:
    """Which ticks of each message are marked as spikes, one message after the other."""
    watch, found, start = watch or monitor(), [], 0
    for price in prices:
        times = NOON_MSC + (start + np.arange(len(price))) * 100
        start += len(price)
        marks = watch.annotate([message(price, price + 2e-5, times)]).marks
        found.append(np.flatnonzero(marks & SPIKE).tolist())
    return found


def test_quotes_are_marked_by_themselves() -> None:
    """Crossed, without a spread, without a price; a sound quote has no mark."""
    marks = monitor().annotate([message([1.1, 1.3, 1.2, 0, 1.1, 0], [1.2, 1.2, 1.2, 1.2, 0, 0])]).marks
    assert marks.tolist() == [0, CROSSED, ZERO_SPREAD, ZERO_PRICE, ZERO_PRICE, ZERO_PRICE]


def test_a_spike_is_marked_and_its_return_is_not() -> None:
    """Only the tick that stands alone; wherever messages are cut."""
    price = WALK.copy()
    price[300] += 0.05
    price[350:352] -= 0.05
    assert spikes(price) == [[300, 350, 351]]
    assert spikes(price[:301], price[301:351], price[351:]) == [[300], [49], [0]]


def test_a_new_level_is_not_marked_for_ever() -> None:
    """Three ticks away from the old level are one; also across messages."""
    price = WALK.copy()
    price[300:] += 0.05
    assert spikes(price) == [[300, 301, 302]]
    assert spikes(price[:302], price[302:]) == [[300, 301], [0]]


def test_a_closed_market_makes_no_spike() -> None:
    """The first tick after more than an hour is compared with nothing."""
    watch = monitor()
    assert spikes(WALK, watch=watch) == [[]]
    after = message(WALK + 0.05, WALK + 0.05002, NOON_MSC + 2 * DAY + np.arange(400) * 100)
    assert not (watch.annotate([after]).marks & SPIKE).any()


@given(
    st.lists(st.one_of(st.floats(0), st.sampled_from([0.0, 1.1, 1.1001])), min_size=1, max_size=200),
    st.lists(st.integers(1, 199), max_size=4),
)
def test_any_prices_are_marked_without_complaint(prices: list[float], cuts: list[int]) -> None:
    """A mark for each tick, whatever the values and however they are cut."""
    watch, price = monitor(), np.array(prices)
    pieces = [piece for piece in np.split(price, sorted({cut for cut in cuts if cut < len(price)})) if len(piece)]
    found = [watch.annotate([message(piece, piece)]).marks for piece in pieces]
    assert [len(marks) for marks in found] == [len(piece) for piece in pieces]


def test_symbols_and_servers_keep_their_own_state_and_clock() -> None:
    """Messages of several come mixed: each tick gets the UTC of its server and the marks of its symbol."""
    one = message([1.1, 1.1], [1.2, 1.2])
    gold = message([9.0, 9.0], [8.0, 9.1], server="Other", symbol="XAUUSD")
    watch = Monitor(zones("Other=UTC+2").of, sessions(), 30, Alarms().alarm, None)
    utc_msc, marks = watch.annotate([one, gold, one])
    assert marks.tolist() == [0, 0, CROSSED, 0, 0, 0]
    assert (utc_msc - NOON_MSC).tolist() == [0, 1000, -7_200_000, -7_199_000, 0, 1000]


def test_doubtful_hours_are_marked() -> None:
    """Of the broker's clock: New York's, seven hours on, on 1 November and 8 March 2026."""
    repeated, missing = NOON_MSC - DAY - 4 * 3_600_000 + 1, 1_772_960_400_000
    times = [missing, missing + 3_600_000, repeated, NOON_MSC]
    marks = monitor(zone="America/New_York+7").annotate([message([1.1] * 4, [1.2] * 4, times)]).marks
    assert marks.tolist() == [MISSING_HOUR, 0, REPEATED_HOUR, 0]


def test_ticks_outside_the_session_are_marked() -> None:
    """By the symbol's own rule, in the clock of its place."""
    saturday = NOON_MSC - 2 * DAY
    marks = monitor(session="Sun 17:00-Fri 17:00 America/New_York").annotate(
        [message([1.1] * 2, [1.2] * 2, [saturday, NOON_MSC])]
    )[1]
    assert marks.tolist() == [OUT_OF_SESSION, 0]


def test_what_is_odd_is_told_once_in_a_while() -> None:
    """One incident of a kind and symbol, with the range and the count; the next one says how many were left out."""
    alarms = Alarms()
    watch = monitor(alarms)
    crossed = message([1.3, 1.1, 1.3], [1.2, 1.2, 1.2])
    for _ in range(3):
        watch.annotate([crossed])
    assert alarms.kinds == [("CROSSED_QUOTES", "EURUSD")]
    told = alarms.told[0]
    assert (told.ticks, told.from_msc, told.to_msc, told.reporter) == (2, NOON_MSC, NOON_MSC + 2001, "database-1")
    alarms.now_ms += 60_000
    watch.annotate([crossed])
    assert "2 more since" in alarms.told[1].detail


def test_refused_ticks_are_told() -> None:
    """A marker is an incident with its count and reason."""
    alarms = Alarms()
    monitor(alarms).refused([Marker(1, "Demo", "EURUSD", "pc", 1, BEFORE_FIRST, TickId(5, 0), 7, "INVALID_VOLUME")])
    assert alarms.kinds == [("QUARANTINED", "EURUSD")]
    assert (alarms.told[0].ticks, "INVALID_VOLUME" in alarms.told[0].detail) == (7, True)


@pytest.mark.parametrize("count", [1, 2000])
def test_utc_needs_no_copy_of_the_clock(count: int) -> None:
    """The default rule gives the server's time."""
    annotated = monitor().annotate([message([1.1] * count, [1.2] * count)])
    assert annotated.utc_msc.tolist() == (NOON_MSC + np.arange(count) * 1000).tolist()
