"""How many ticks are read at once."""

from hypothesis import given
from hypothesis import strategies as st

from pc_agent.domain.page_size import LEAST_TICKS, READ_NS, PageSize


@given(st.integers(200, 40_000), st.integers(0, 400_000))
def test_a_page_becomes_as_large_as_an_order_can_wait_for(ns_a_tick: int, ns_a_call: int) -> None:
    """Whatever the terminal's speed: no page takes longer than planned, and none is much smaller than it could be."""
    size = PageSize(4_000)
    took = 0
    for _ in range(40):
        took = ns_a_call + size.ticks * ns_a_tick
        size.measured(size.ticks, took)
    took = ns_a_call + size.ticks * ns_a_tick
    assert took <= READ_NS * 1.3 or size.ticks == LEAST_TICKS
    assert size.ticks in (4_000, LEAST_TICKS) or took > READ_NS / 2


def test_one_slow_read_is_answered_at_once_and_forgotten_slowly() -> None:
    """A terminal that had to fetch what was asked is not asked for much next."""
    size = PageSize(4_000)
    size.measured(4_000, 400 * READ_NS)
    assert size.ticks == LEAST_TICKS
    for _ in range(30):
        size.measured(size.ticks, 1_000)
    assert size.ticks == 4_000
