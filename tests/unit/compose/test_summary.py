"""The account of a run."""

from compose.embedded.facts import Feed, Orders, Percentiles, Stored
from compose.embedded.summary import Outcome
from compose.embedded.watch import Snapshot


def feed(sent: int, digits: int = 5, ended: bool = True) -> Feed:
    return Feed(sent, sent, digits, ended)


def outcome(feeds: dict[str, Feed], stored: dict[str, Stored]) -> Outcome:
    orders = Orders({"FILLED": 2}, 0, Percentiles(1.0, 2.0))
    return Outcome(3.14159, 50_000.04, feeds, stored, orders, Percentiles(), 4, {"hub": 60.4})


def test_an_exact_run() -> None:
    """What was sent is stored: nothing is lost, and the object has the documented keys."""
    stored = Stored(stored=10, distinct=10, raw=12, digits=5, bid_points_sum=100, ask_points_sum=110)
    run = outcome({"EURUSD": feed(10)}, {"EURUSD": stored})
    assert run.exact
    assert run.to_json() == {
        "startup_s": 3.14,
        "ticks_per_s": 50_000.0,
        "symbols": {
            "EURUSD": {
                "sent": 10,
                "stored": 10,
                "distinct": 10,
                "quarantined": 0,
                "lost": 0,
                "duplicates": 2,
                "bid_points_sum": 100,
                "ask_points_sum": 110,
            }
        },
        "orders": {"FILLED": 2},
        "tick_stored_ms": {"p50": None, "p99": None},
        "signal_executed_ms": {"p50": 1.0, "p99": 2.0},
        "restarts": 4,
        "incidents": {},
        "memory_peak_mb": {"hub": 60},
    }


def test_quarantined_ticks_are_not_lost() -> None:
    """A tick that was set aside is accounted for."""
    assert outcome({"A": feed(10)}, {"A": Stored(stored=8, distinct=8, quarantined=2)}).exact


def test_a_lost_tick() -> None:
    """One tick fewer is a loss, and a symbol of which nothing came is all loss."""
    run = outcome({"A": feed(10), "B": feed(3)}, {"A": Stored(stored=9, distinct=9)})
    assert not run.exact
    assert (run.lost("A"), run.lost("B")) == (1, 3)


def test_no_answer_is_no_success() -> None:
    """Of a platform that could not be asked nothing is known to be exact."""
    assert not outcome({}, {}).exact


def test_an_identity_with_two_values() -> None:
    """A contradiction is a failure even when no tick is missing."""
    assert not outcome({"A": feed(1)}, {"A": Stored(stored=1, distinct=1, conflicting=1)}).exact


def test_sums_are_in_the_files_digits() -> None:
    """Prices that all end in a zero show fewer decimals in the database than the file has."""
    run = outcome({"A": feed(1, digits=5)}, {"A": Stored(1, 1, 1, digits=4, bid_points_sum=11, ask_points_sum=12)})
    symbol = run.to_json()["symbols"]["A"]
    assert (symbol["bid_points_sum"], symbol["ask_points_sum"]) == (110, 120)


def test_fed() -> None:
    """Fed: every feed ended, every tick accounted for, no order open."""
    done = {"A": Stored(distinct=4, quarantined=1)}
    assert Snapshot({"A": feed(5)}, done).fed
    assert not Snapshot({}, {}).fed
    assert not Snapshot({"A": feed(6)}, done).fed
    assert not Snapshot({"A": feed(5, ended=False)}, done).fed
    assert not Snapshot({"A": feed(5)}, done, Orders({"PENDING": 1}, 1)).fed
