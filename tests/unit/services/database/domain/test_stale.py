"""What is to be computed again is neither forgotten nor kept without bound."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from services.database.domain.stale import StaleTimes, Stretch, together

STRETCHES = st.lists(st.tuples(st.integers(0, 500), st.integers(1, 20)), min_size=1, max_size=120)


@given(STRETCHES)
def test_every_time_that_was_added_is_taken_once(stretches: list[tuple[int, int]]) -> None:
    """Stretches are apart, hold all that was added, and, unless they are too many, nothing else."""
    stale = StaleTimes()
    for start, length in stretches:
        stale.add("s", "X", start, start + length)
    taken = stale.take("s", "X")
    assert all(before.to_msc < after.from_msc for before, after in itertools.pairwise(taken))
    added = {time for start, length in stretches for time in range(start, start + length)}
    held = {time for stretch in taken for time in range(stretch.from_msc, stretch.to_msc)}
    assert added <= held
    assert len(taken) == 1 or added == held
    assert (stale.take("s", "X"), len(stale)) == ([], 0)


def test_stretches_are_bounded() -> None:
    """Too many become one."""
    stale = StaleTimes()
    for start in range(0, 10_000, 2):
        stale.add("s", "X", start, start + 1)
    taken = stale.take("s", "X")
    assert len(taken) <= 64
    assert (taken[0].from_msc, taken[-1].to_msc) == (0, 9999)


@given(st.lists(st.builds(Stretch, st.just("s"), st.sampled_from("XYZ"), st.just(0), st.integers(1, 100)), max_size=40))
def test_groups_are_neither_large_nor_long(stretches: list[Stretch]) -> None:
    """All that was given is in some group, once; no group has more or longer stretches than it may."""
    groups = list(together(stretches, 5, 30))
    assert all(0 < len(group) <= 5 for group in groups)
    assert all(sum(piece.to_msc - piece.from_msc for piece in group) <= 30 for group in groups)
    pieces = [
        (piece.symbol, time) for group in groups for piece in group for time in range(piece.from_msc, piece.to_msc)
    ]
    assert pieces == [(whole.symbol, time) for whole in stretches for time in range(whole.to_msc)]
