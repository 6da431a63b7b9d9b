"""Signals as they arrive: their order, their marks, the time they may still be executed."""

from dataclasses import replace

import pytest

from pc_agent.domain.orders import Account, Side, Signal, mark_of, plain
from pc_agent.domain.server_clock import Lease, ServerClock
from pc_agent.domain.signal_sequence import SignalBreachError, SignalSequence

ACCOUNT = Account("twin-1", 1_000_001)


def signal(seq: int, **changes: object) -> Signal:
    made = Signal(f"id{seq}", ACCOUNT, 3, seq, False, False, "EURUSD", Side.BUY, "0.1", "", "", 10**13)
    return replace(made, **changes)  # type: ignore[arg-type]


def seqs(signals: tuple[Signal, ...]) -> list[int]:
    return [item.seq for item in signals]


def test_a_gap_holds_what_follows_until_it_is_closed() -> None:
    """Early signals wait; when the missing ones come all are due in order."""
    sequence = SignalSequence(ACCOUNT, 3, 4)
    early = sequence.arrange([signal(5), signal(8)])
    assert (seqs(early.due), early.missing) == ([5], (6, 7))
    rest = sequence.arrange([signal(7), signal(6)])
    assert (seqs(rest.due), rest.missing) == ([6, 7, 8], None)
    assert sequence.last_seq == 8


def test_what_came_before_is_told_apart() -> None:
    """A place that was taken is not due a second time."""
    arrival = SignalSequence(ACCOUNT, 3, 4).arrange([signal(4), signal(5)])
    assert (seqs(arrival.again), seqs(arrival.due)) == ([4], [5])


def test_a_new_epoch_begins_at_one_and_an_old_one_is_refused() -> None:
    """The engine in force decides; one that was superseded may not hand out anything."""
    sequence = SignalSequence(ACCOUNT, 3, 4)
    sequence.join(4)
    assert (sequence.epoch, sequence.last_seq) == (4, 0)
    with pytest.raises(SignalBreachError, match="superseded"):
        sequence.join(3)


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        ([signal(n) for n in range(5, 106)], "at most 100"),
        ([signal(5, account=Account("twin-1", 2))], "not this agent's"),
        ([signal(5, epoch=2)], "epoch 2"),
        ([signal(0)], "no place"),
    ],
)
def test_a_breach_takes_nothing(batch: list[Signal], words: str) -> None:
    """A batch against the contract is refused whole."""
    sequence = SignalSequence(ACCOUNT, 3, 4)
    with pytest.raises(SignalBreachError, match=words):
        sequence.arrange(batch)
    assert sequence.last_seq == 4


def test_a_mark_fits_the_terminal_and_is_the_signals_own() -> None:
    """63 bits of magic and 16 characters of comment, the same whenever they are made."""
    mark = mark_of("a-signal")
    assert 0 <= mark.magic < 2**63
    assert len(mark.comment) == 16
    assert mark == mark_of("a-signal")
    assert mark != mark_of("another")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1, "0.1"), (100_000.0, "100000"), (1e-5, "0.00001"), (1.10234, "1.10234"), (0.1 + 0.2, "0.3")],
)
def test_doubles_become_plain_decimals(value: float, text: str) -> None:
    """No exponent and no zeros that say nothing."""
    assert plain(value) == text


def test_the_fastest_round_trip_sets_the_clock() -> None:
    """A probe that was delayed on one way does not move the clock that a quick one set."""
    clock = ServerClock()
    assert clock.unix_ns(0) is None
    clock.measure(1_000, 1_010, 5_005)
    clock.measure(2_000, 2_900, 6_890)
    assert clock.unix_ns(3_000) == 7_000
    assert clock.latest_unix_ns(3_000) == 7_005
    clock.forget()
    assert clock.unix_ns(3_000) is clock.latest_unix_ns(3_000) is None


@pytest.mark.parametrize("read_at", [1_000, 1_250, 1_499, 1_500])
def test_the_engines_clock_is_never_past_its_latest(read_at: int) -> None:
    """Wherever in the round trip the engine read it: what expires by the latest is not executed too late."""
    clock, ahead = ServerClock(), 70_001
    clock.measure(1_000, 1_500, read_at + ahead)
    latest = clock.latest_unix_ns(2_000)
    assert latest is not None
    assert 0 <= latest - (2_000 + ahead) <= 500


@pytest.mark.parametrize("by_s", [-3_600, 60])
def test_an_engines_clock_that_was_set_counts_from_the_next_answer_on(by_s: int) -> None:
    """However slow that answer was: what expires by it would else be sent too late."""
    clock, second = ServerClock(), 1_000_000_000
    clock.measure(0, 1_000, 500)
    clock.measure(2 * second, 3 * second, (by_s + 2) * second)
    assert clock.unix_ns(4 * second) == (by_s + 3.5) * second


def test_a_lease_lapses_by_itself() -> None:
    """It holds for its time and no longer; an older, shorter word does not end it early."""
    lease = Lease()
    assert not lease.holds(0)
    lease.renew(1_000, 5)
    lease.renew(500, 5)
    assert lease.holds(5_000_999)
    assert not lease.holds(5_001_000)
