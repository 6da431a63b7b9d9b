"""What a lane holds of a symbol until it is acknowledged."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mesh.market import BEFORE_FIRST, Batch, TickId
from mesh.market.batch import ordinals
from pc_agent.domain.lanes import lane_of
from pc_agent.domain.symbol_feed import WINDOW_TICKS, ReadCount, Reading, SymbolFeed

JANUARY_END = 1_580_515_199_000  # 2020-01-31T23:59:59Z


def ticks(feed: SymbolFeed, count: int, start: int = JANUARY_END, step: int = 1) -> Batch:
    time_msc = start + np.arange(count, dtype="<i8") * step
    zeros = np.zeros(count)
    return Batch(
        "s", "EURUSD", "a", 1, feed.read_last, time_msc, ordinals(time_msc),
        zeros, zeros, zeros, zeros, np.zeros(count, "u8"), np.zeros(count, "u4"),
    )  # fmt: skip


def welcomed(cursor: TickId = BEFORE_FIRST, start: TickId = BEFORE_FIRST) -> SymbolFeed:
    feed = SymbolFeed("s", "EURUSD", "a", start)
    feed.rewind(cursor)
    return feed


def test_ticks_gather_and_go_as_one_batch_of_one_month() -> None:
    """What waits is joined up to the limit, never across a month's end, and every piece follows on the one before."""
    feed = welcomed()
    feed.offer(ticks(feed, 600))
    feed.offer(ticks(feed, 800, JANUARY_END + 600))
    batches = [feed.take(700, 0), feed.take(2_000, 1), feed.take(2_000, 2), feed.take(2_000, 3)]
    assert [len(batch) for batch in batches if batch] == [700, 300, 400]
    assert batches[-1] is None
    prevs = [batch.prev for batch in batches if batch]
    lasts = [batch.last_id for batch in batches if batch]
    assert prevs == [BEFORE_FIRST, *lasts[:-1]]


def test_acknowledgement_gives_back_credit_and_settles_messages() -> None:
    """Only messages whose last tick is durable count as settled; their ticks may be read anew."""
    feed = welcomed()
    feed.offer(ticks(feed, 500))
    first, second = feed.take(200, 7), feed.take(200, 8)
    assert first
    assert second
    assert feed.acknowledge(first.last_id) == (200, [7])
    assert feed.acknowledge(first.last_id) == (0, [])
    assert feed.resume().credit == WINDOW_TICKS - 300
    assert feed.resume().after == feed.read_last


def test_rewinding_voids_what_is_under_way() -> None:
    """After a rewind nothing of before is sent, awaited or taken."""
    feed = welcomed()
    feed.offer(ticks(feed, 500))
    feed.take(200, 7)
    stale = feed.resume().generation
    reading, void = feed.rewind(TickId(JANUARY_END, 0))
    assert void == [7]
    assert feed.take(2_000, 8) is None
    assert not feed.is_current(stale)
    assert feed.is_current(reading.generation)
    assert (reading.after, reading.credit) == (TickId(JANUARY_END, 0), WINDOW_TICKS)


def test_an_interrupted_feed_takes_nothing_until_it_is_welcomed() -> None:
    """Between a lane's break and its welcome no ticks are current."""
    feed = welcomed()
    feed.interrupt()
    assert not feed.is_current(feed.resume().generation)


def test_a_symbol_new_to_the_mesh_begins_where_it_was_told() -> None:
    """Reading begins at the start; the first batch still says that nothing came before it."""
    start = TickId(JANUARY_END, 3)
    feed = welcomed(start=start)
    assert feed.resume().after == start
    feed.offer(ticks(feed, 5, JANUARY_END + 1))
    batch = feed.take(10, 0)
    assert batch
    assert batch.prev == BEFORE_FIRST


def test_a_symbol_keeps_its_lane() -> None:
    """The lane follows from the name alone, and all four are used."""
    assert lane_of("MetaQuotes-Demo", "EURUSD") == lane_of("MetaQuotes-Demo", "EURUSD")
    assert {lane_of("broker", f"SYMBOL{n}") for n in range(64)} == {1, 2, 3, 4}
    assert lane_of("twin-1", "EURUSD") == 1


def test_what_was_read_is_counted_when_it_is_acknowledged() -> None:
    """From the welcome on, as far as all of it is durable; and again only when there is more."""
    feed = welcomed(TickId(JANUARY_END - 1, 4))
    assert feed.count() is None
    feed.offer(ticks(feed, 30))
    assert feed.count() is None
    batch = feed.take(30, 0)
    assert batch
    feed.offer(ticks(feed, 5, JANUARY_END + 30))
    feed.acknowledge(batch.last_id)
    assert feed.count() == ReadCount(TickId(JANUARY_END - 1, 4), batch.last_id, 30)
    rest = feed.take(30, 1)
    assert rest
    feed.acknowledge(rest.last_id)
    assert feed.count() == ReadCount(TickId(JANUARY_END - 1, 4), rest.last_id, 35)
    assert feed.count() is None


def test_a_halted_feed_sends_nothing_and_awaits_what_it_sent() -> None:
    """What was not sent is forgotten, counted neither as read nor as held."""
    feed = welcomed()
    feed.offer(ticks(feed, 50))
    sent = feed.take(20, 3)
    assert sent
    generation = feed.resume().generation
    feed.halt()
    assert not feed.is_current(generation)
    assert feed.take(100, 4) is None
    assert (feed.held, feed.has_uncounted, feed.read_last) == (20, True, sent.last_id)
    assert feed.acknowledge(sent.last_id) == (0, [3])
    assert feed.count() == ReadCount(BEFORE_FIRST, sent.last_id, 20)
    assert (feed.held, feed.has_uncounted) == (0, False)


class FeedUnderRandomUse(RuleBasedStateMachine):
    """A worker that reads as far as it has credit, a lane that sends, a bridge that acknowledges, rewinds, breaks."""

    def __init__(self) -> None:
        super().__init__()
        self.feed = SymbolFeed("s", "EURUSD", "a")
        self.feed.window = 500
        self.credit = 0
        self.sent: list[TickId] = []
        self._read(self.feed.rewind(BEFORE_FIRST)[0])

    def _read(self, reading: Reading) -> None:
        self.credit = reading.credit

    @rule(share=st.floats(0, 1))
    def read(self, share: float) -> None:
        count = int(self.credit * share)
        if count and self.feed.welcomed:
            self.credit -= count
            self.feed.offer(ticks(self.feed, count, self.feed.read_last.time_msc + 1))

    @rule(limit=st.integers(1, 300))
    def send(self, limit: int) -> None:
        if batch := self.feed.take(limit, len(self.sent)):
            self.sent.append(batch.last_id)

    @rule(share=st.floats(0, 1))
    def acknowledge(self, share: float) -> None:
        if self.sent:
            more, _ = self.feed.acknowledge(self.sent[int((len(self.sent) - 1) * share)])
            self.credit += more

    @rule(window=st.sampled_from([100, 500]))
    def share(self, window: int) -> None:
        self.feed.window = window

    @rule()
    def rewind(self) -> None:
        self._read(self.feed.rewind(self.feed.acknowledged_last)[0])

    @rule()
    def restart_the_worker(self) -> None:
        if self.feed.welcomed:
            self._read(self.feed.resume())

    @rule()
    def halt(self) -> None:
        self.feed.halt()

    @invariant()
    def the_window_bounds_what_is_held(self) -> None:
        assert 0 <= self.feed.held <= 500
        if self.feed.welcomed:
            assert self.feed.held + self.credit <= 500


TestFeedUnderRandomUse = FeedUnderRandomUse.TestCase
TestFeedUnderRandomUse.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)


def test_an_interruption_acknowledges_nothing() -> None:
    """Where the agent stands is told so while its lane is broken."""
    feed = welcomed()
    feed.offer(ticks(feed, 500))
    feed.take(200, 7)
    feed.interrupt()
    assert (feed.acknowledged_last, feed.has_uncounted) == (BEFORE_FIRST, False)
