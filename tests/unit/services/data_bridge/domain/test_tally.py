"""What the agent counted against what was seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.market import BEFORE_FIRST, TickId
from services.data_bridge.domain.progress import SymbolKey
from services.data_bridge.domain.tally import Tally
from services.data_bridge.domain.terminal import SymbolCount

KEY = SymbolKey("twin-1", "EURUSD")


def at(msc: int) -> TickId:
    return TickId(msc, 0) if msc else BEFORE_FIRST


def count(after: int, until: int, ticks: int) -> SymbolCount:
    return SymbolCount(KEY, at(after), at(until), ticks)


@pytest.mark.parametrize(("counted", "difference"), [(30, []), (33, [3]), (29, [-1])])
def test_a_count_that_differs_is_told(counted: int, difference: list[int]) -> None:
    """By how many ticks more the agent counted than came."""
    tally = Tally()
    for last in (10, 20, 30):
        tally.saw(at(last), 10)
    tally.count(count(0, 30, counted))
    assert [by for _, by in tally.differences()] == difference


def test_a_count_waits_for_its_ticks_and_follows_on_the_one_before() -> None:
    """An agent may count ahead of what it sent."""
    tally = Tally()
    tally.count(count(0, 20, 20))
    tally.count(count(20, 40, 20))
    tally.saw(at(10), 10)
    assert tally.differences() == []
    tally.saw(at(30), 19)
    tally.saw(at(40), 10)
    assert [by for _, by in tally.differences()] == []
    tally.count(count(40, 50, 12))
    tally.saw(at(50), 10)
    assert [by for _, by in tally.differences()] == [2]


def test_what_others_saw_is_not_compared() -> None:
    """After a restart only counts that begin there or later say anything."""
    tally = Tally()
    tally.restart(at(100))
    tally.count(count(50, 110, 60))
    tally.count(count(100, 110, 11))
    tally.saw(at(110), 10)
    assert [by for _, by in tally.differences()] == [1]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.data())
def test_an_honest_count_never_differs(sizes: list[int], data: st.DataObject) -> None:
    """Wherever batches are cut and whenever the count comes."""
    total = sum(sizes)
    until = data.draw(st.integers(1, total))
    after = data.draw(st.integers(0, until - 1))
    early = data.draw(st.booleans())
    tally = Tally()
    if early:
        tally.count(count(after, until, until - after))
    seen = 0
    for size in sizes:
        seen += size
        tally.saw(at(seen), size)
        assert tally.differences() == []
    if not early:
        tally.count(count(after, until, until - after))
    assert tally.differences() == []
