"""What is to be computed again is neither forgotten nor kept without bound."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from services.database.domain.stale import StaleTimes

STRETCHES = st.lists(st.tuples(st.integers(0, 500), st.integers(1, 20)), min_size=1, max_size=120)


@given(STRETCHES)
def test_every_time_that_was_added_is_taken_once(stretches: list[tuple[int, int]]) -> None:
    """Stretches are apart, hold all that was added, and, unless they are too many, nothing else."""
    stale = StaleTimes()
    for start, length in stretches:
        stale.add("s", "X", start, start + length)
    taken = stale.take("s", "X")
    assert all(before[1] < after[0] for before, after in itertools.pairwise(taken))
    added = {time for start, length in stretches for time in range(start, start + length)}
    held = {time for start, stop in taken for time in range(start, stop)}
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
    assert (taken[0][0], taken[-1][1]) == (0, 9999)
