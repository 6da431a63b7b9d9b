"""From bus messages to ticks that follow on each other."""

import pytest
from suho.market.v1 import tick_pb2

from mesh.market import Batch, codec
from mesh.market.codec import MalformedBatchError
from services.trading_engine.tick_feed import TickFeed
from tests.unit.services.trading_engine.domain.batches import batch_of, cut

ONE, TWO, THREE, FOUR, FIVE = cut(batch_of([1.1] * 50), [10, 20, 30, 40])


def message(batch: Batch) -> tick_pb2.TickBatchTwin:
    return tick_pb2.TickBatchTwin(**codec.fields(batch))


def marker(batch: Batch) -> tick_pb2.TickBatchTwin:
    """What stands in a refused batch's place."""
    lost = tick_pb2.TickBatchTwin(server=batch.server, symbol=batch.symbol, count=len(batch))
    lost.quarantine.last.time_msc, lost.quarantine.last.ordinal = batch.last_id
    lost.quarantine.count = len(batch)
    lost.quarantine.reason = "NON_FINITE_PRICE"
    return lost


def fed(*messages: tick_pb2.TickBatchTwin) -> list[tuple[int, bool]]:
    """(place of the first tick, whether it follows on) of each batch that came through."""
    taken: list[tuple[int, bool]] = []
    feed = TickFeed("twin-7", lambda batch, unbroken: taken.append((batch.first_id.time_msc - 1_000, unbroken)))
    for item in messages:
        feed.take(item)
    return taken


def test_batches_follow_on_each_other() -> None:
    """Only the first has nothing before it."""
    assert fed(message(ONE), message(TWO)) == [(0, False), (10, True)]


def test_a_batch_that_comes_twice_is_taken_once() -> None:
    """Also when it comes late."""
    assert fed(message(ONE), message(TWO), message(TWO), message(ONE)) == [(0, False), (10, True)]


def test_an_overlap_is_trimmed() -> None:
    """What was refused by the log may begin anywhere."""
    assert fed(message(ONE), message(Batch.join([ONE, TWO]))) == [(0, False), (10, True)]


def test_a_hole_is_told_once() -> None:
    """After it, ticks follow on each other again."""
    assert fed(message(ONE), message(THREE), message(FOUR)) == [(0, False), (20, False), (30, True)]


def test_a_quarantine_is_a_hole() -> None:
    """Its ticks are no prices; what follows it does not follow on what was before it. An old one changes nothing."""
    through = fed(message(ONE), marker(TWO), message(THREE), marker(TWO), message(FOUR), message(FIVE))
    assert through == [(0, False), (20, False), (30, True), (40, True)]


def test_symbols_do_not_disturb_each_other() -> None:
    """Each has its own place."""
    other = message(ONE)
    other.symbol = "XAUUSD"
    assert fed(message(ONE), other, message(TWO)) == [(0, False), (0, False), (10, True)]


def test_a_malformed_batch_leaves_a_hole() -> None:
    """It is refused, and the next one does not follow on."""
    broken = message(TWO)
    broken.bid = broken.bid[:-1]
    with pytest.raises(MalformedBatchError):
        fed(broken)
    assert fed(message(ONE), message(THREE)) == [(0, False), (20, False)]
