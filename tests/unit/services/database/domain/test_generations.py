"""Which generation stands when."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from services.database.domain.generations import CorrectedRange, standing

CORRECTIONS = st.lists(
    st.builds(CorrectedRange, st.integers(1, 5), st.integers(-10, 20), st.integers(-10, 20)), max_size=8
)


@given(CORRECTIONS)
def test_the_highest_correction_stands(corrections: list[CorrectedRange]) -> None:
    """At every time the one range that holds it is of the highest generation whose correction holds it, else none."""
    ranges = standing(corrections)
    for time in range(-12, 23):
        expected = max((c.generation for c in corrections if c.from_msc <= time < c.to_msc), default=0)
        assert [r.generation for r in ranges if r.from_msc <= time < r.to_msc] == ([expected] if expected else [])


@given(CORRECTIONS)
def test_ranges_are_in_order_and_as_few_as_can_be(corrections: list[CorrectedRange]) -> None:
    """None touches another of its generation."""
    for before, after in itertools.pairwise(standing(corrections)):
        assert before.to_msc < after.from_msc or (
            before.to_msc == after.from_msc and before.generation != after.generation
        )
