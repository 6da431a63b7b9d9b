"""How a symbol's cursor advances."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.market import BEFORE_FIRST, Batch, TickId
from services.data_bridge.domain.progress import Arrival, Refused, Standing, compare, next_step
from tests.unit.services.data_bridge.ticks import START_MSC, arrival, history, identities

HISTORY = history(120)
MONTH_END = 1_775_001_600_000


def spoiled(batch: Batch, index: int = 0) -> Batch:
    return replace(batch, bid=np.where(np.arange(len(batch)) == index, np.nan, batch.bid))


@pytest.mark.parametrize(
    ("prev", "last", "standing"),
    [(10, 20, Standing.NEXT), (5, 11, Standing.OVERLAPS), (5, 10, Standing.OLD), (11, 12, Standing.AHEAD)],
)
def test_a_stretch_is_compared_with_the_cursor(prev: int, last: int, standing: Standing) -> None:
    """Equal `prev` follows, smaller overlaps or is old, greater is ahead."""
    assert compare(TickId(prev, 0), TickId(last, 0), TickId(10, 0)) is standing


def test_a_batch_alone_is_published_unchanged() -> None:
    """No copy, no new encoding."""
    only = arrival(HISTORY.slice(0, 10))
    assert next_step([only], BEFORE_FIRST, 1000).publish is only


def test_waiting_batches_are_joined_up_to_the_limit() -> None:
    """Those that follow on each other go out as one message of at most so many ticks."""
    waiting = [arrival(piece) for piece in HISTORY.chunks(30)]
    step = next_step(waiting, BEFORE_FIRST, 100)
    assert (step.taken, step.cursor) == (3, HISTORY.id_at(89))
    assert isinstance(step.publish, Batch)
    assert identities(step.publish) == identities(HISTORY.slice(0, 90))


def test_months_are_never_joined() -> None:
    """A message of the log stays within a UTC month."""
    before = history(10, start_msc=MONTH_END - 10)
    after = history(10, start_msc=MONTH_END, prev=before.last_id)
    assert next_step([arrival(before), arrival(after)], BEFORE_FIRST, 1000).taken == 1


def test_an_overlap_follows_on_the_cursor_even_where_it_does_not_hold_it() -> None:
    """The log's chain of `prev` has no gap after a history that changed."""
    cursor = TickId(START_MSC + 10, 9)
    step = next_step([arrival(HISTORY)], cursor, 1000)
    assert isinstance(step.publish, Batch)
    assert step.publish.prev == cursor
    assert identities(step.publish) == [tick for tick in identities(HISTORY) if tick > cursor]


def test_a_flawed_batch_is_never_joined() -> None:
    """Good batches go before it and after it, a marker in its place."""
    pieces = list(HISTORY.chunks(30))
    waiting = [arrival(piece) for piece in (pieces[0], spoiled(pieces[1]), pieces[2])]
    cursor, published = BEFORE_FIRST, []
    while waiting:
        step = next_step(waiting, cursor, 1000)
        published.append(step.publish)
        cursor, waiting = step.cursor, waiting[step.taken :]
    assert [type(item) for item in published] == [Arrival, Refused, Arrival]
    marker = published[1]
    assert isinstance(marker, Refused)
    assert (marker.prev, marker.last, marker.count) == (pieces[0].last_id, pieces[1].last_id, 30)


def test_the_cursor_never_goes_back_where_time_does() -> None:
    """A marker reaches to the greatest identity of its batch, so that what comes next is after it."""
    order = [0, 1, 8, 2, 3]
    mixed = replace(HISTORY.slice(0, 9), **{name: column[order] for name, column in HISTORY.columns().items()})
    step = next_step([arrival(mixed)], BEFORE_FIRST, 1000)
    assert isinstance(step.publish, Refused)
    assert step.cursor == HISTORY.id_at(8)


def test_ticks_that_all_lie_before_the_cursor_they_follow_on_are_counted() -> None:
    """Time fell as a whole: a marker, and the cursor stays. The same ticks sent again honestly are just old."""
    cursor = HISTORY.last_id
    fallen = replace(HISTORY.slice(10, 30), prev=cursor)
    step = next_step([arrival(fallen)], cursor, 1000)
    assert isinstance(step.publish, Refused)
    assert (step.publish.prev, step.publish.last, step.publish.count, step.cursor) == (cursor, cursor, 20, cursor)
    assert next_step([arrival(HISTORY.slice(10, 30))], cursor, 1000).publish is None


def test_a_flaw_in_what_is_in_the_log_already_does_not_condemn_the_rest() -> None:
    """An agent that sends a quarantined stretch again, with new ticks behind it, gets the new ones stored."""
    batch = spoiled(HISTORY.slice(0, 60), index=10)
    step = next_step([arrival(batch)], HISTORY.id_at(29), 1000)
    assert isinstance(step.publish, Batch)
    assert identities(step.publish) == identities(HISTORY.slice(30, 60))
    still = next_step([arrival(batch)], HISTORY.id_at(4), 1000)
    assert isinstance(still.publish, Refused)
    assert (still.publish.prev, still.publish.count) == (HISTORY.id_at(4), 55)


@given(st.lists(st.tuples(st.integers(0, 119), st.integers(1, 40)), max_size=12), st.integers(1, 100))
def test_whatever_stretches_come_the_log_is_the_history_once(stretches: list[tuple[int, int]], limit: int) -> None:
    """Overlaps, repeats, rewinds and leaps ahead in any order: the log holds a gapless beginning of the history."""
    waiting = [arrival(HISTORY.slice(start, min(start + count, 120))) for start, count in stretches]
    cursor, logged = BEFORE_FIRST, []
    while waiting:
        step = next_step(waiting, cursor, limit)
        assert step.taken >= 1
        assert step.cursor >= cursor
        if step.publish is not None:
            batch = step.publish.batch if isinstance(step.publish, Arrival) else step.publish
            assert isinstance(batch, Batch)
            assert batch.prev == cursor
            logged += identities(batch)
        if step.ahead:
            assert waiting[0].batch.prev > cursor
        cursor, waiting = step.cursor, waiting[step.taken :]
    assert logged == identities(HISTORY)[: len(logged)]
    assert cursor == (logged[-1] if logged else BEFORE_FIRST)
