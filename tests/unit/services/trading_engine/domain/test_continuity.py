"""Each tick once and in order."""

from hypothesis import given
from hypothesis import strategies as st

from mesh.market import TickId
from services.trading_engine.domain.continuity import Continuity
from tests.unit.services.trading_engine.domain.batches import batch_of, cut

TICKS = batch_of([1.0] * 30)
FIRST, SECOND, THIRD = cut(TICKS, [10, 20])


def test_the_first_batch_follows_on_nothing() -> None:
    """What came before it is not known, so it counts as broken."""
    taken = Continuity().follow(FIRST)
    assert taken is not None
    assert (len(taken.batch), taken.unbroken) == (10, False)


def test_a_missing_batch_is_noticed() -> None:
    """Ticks after a hole are taken, and said to be broken off."""
    place = Continuity()
    place.follow(FIRST)
    taken = place.follow(THIRD)
    assert taken is not None
    assert (taken.batch.first_id, taken.unbroken) == (THIRD.first_id, False)


def test_a_quarantined_stretch_is_passed() -> None:
    """Ticks that will never come move the place, once."""
    place = Continuity()
    place.follow(FIRST)
    assert place.skip(SECOND.last_id)
    assert not place.skip(SECOND.last_id)
    taken = place.follow(THIRD)
    assert taken is not None
    assert taken.unbroken


@given(st.lists(st.tuples(st.integers(0, 29), st.integers(1, 30)), max_size=20))
def test_no_tick_is_taken_twice(stretches: list[tuple[int, int]]) -> None:
    """Whatever is repeated or overlaps, identities only ascend, and unbroken means that none lies between."""
    place = Continuity()
    seen: list[TickId] = []
    order = {TICKS.id_at(index): index for index in range(30)}
    for start, length in stretches:
        taken = place.follow(TICKS.slice(start, min(30, start + length)))
        if taken is None:
            continue
        assert taken.unbroken == (bool(seen) and order[taken.batch.first_id] == order[seen[-1]] + 1)
        seen += [taken.batch.id_at(index) for index in range(len(taken.batch))]
    assert seen == sorted(set(seen))
