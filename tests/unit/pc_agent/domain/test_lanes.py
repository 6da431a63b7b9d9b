"""Which lane carries what."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from pc_agent.domain.lanes import LaneWatch, carrier_of, lane_of

ALL = frozenset({1, 2, 3, 4})
NAMES = [f"SYMBOL{n}" for n in range(200)]


def test_a_symbol_is_at_home_whenever_its_home_is_fit() -> None:
    """Which others are fit does not matter then."""
    for fit in (set(some) for size in range(1, 5) for some in combinations(ALL, size)):
        for name in NAMES:
            carrier = carrier_of("broker", name, fit)
            assert carrier in fit
            assert carrier == lane_of("broker", name) or lane_of("broker", name) not in fit


def test_a_loss_moves_only_what_the_lost_lane_carried_and_spreads_it() -> None:
    """Whoever is on a lane that stands stays there."""
    before = {name: carrier_of("broker", name, ALL - {2}) for name in NAMES}
    after = {name: carrier_of("broker", name, ALL - {2, 3}) for name in NAMES}
    moved = {name for name in NAMES if before[name] != after[name]}
    assert moved == {name for name in NAMES if before[name] == 3}
    assert {before[name] for name in NAMES if lane_of("broker", name) == 2} == {1, 3, 4}


def test_a_lane_is_lost_after_a_second_and_fit_again_after_five() -> None:
    """A short break moves nothing; a lane that just came back is waited for."""
    watch = LaneWatch(ALL, 1.0, 5.0, now=0.0)
    stood: dict[int, float | None] = {1: 0.1, 2: 0.1, 3: 0.1, 4: 0.1}
    assert watch.look(stood, 10.0) == ALL
    stood[2] = None
    assert watch.look(stood, 10.9) == ALL
    assert watch.look(stood, 11.1) == {1, 3, 4}
    stood[2] = 12.0
    assert watch.look(stood, 16.9) == {1, 3, 4}
    assert watch.look(stood, 17.0) == ALL


def test_a_lane_that_comes_up_only_to_break_counts_as_away() -> None:
    """Between two breaks it must stand as long as it may be away."""
    watch = LaneWatch(ALL, 1.0, 5.0, now=0.0)
    stood: dict[int, float | None] = {1: 0.0, 2: None, 3: 0.0, 4: 0.0}
    for tenth in range(15):
        now = tenth / 10
        stood[2] = now if tenth % 5 == 0 else None
        fit = watch.look(stood, now)
    assert fit == {1, 3, 4}


def test_nothing_is_lost_while_no_lane_stands() -> None:
    """There is nowhere to go; when a bridge comes, every lane gets its second to reach it."""
    watch = LaneWatch(ALL, 1.0, 5.0, now=0.0)
    none: dict[int, float | None] = dict.fromkeys(ALL)
    assert watch.look(none | {1: 0.0}, 2.0) == {1}
    assert watch.look(none, 60.0) == ALL
    assert watch.look(none | {3: 60.1}, 60.9) == ALL
    assert watch.look(none | {3: 60.1}, 61.1) == {3}


@given(st.lists(st.tuples(st.floats(0, 3), st.sets(st.sampled_from(sorted(ALL)))), max_size=40))
def test_there_is_always_a_lane_to_be_on(history: list[tuple[float, set[int]]]) -> None:
    """However lanes come and go, some are fit; one that stands steadily is among them in the end."""
    watch, now = LaneWatch(ALL, 1.0, 5.0, now=0.0), 0.0
    since: dict[int, float | None] = dict.fromkeys(ALL)
    for pause, standing in history:
        now += pause
        since = {lane: (since[lane] if since[lane] is not None else now) if lane in standing else None for lane in ALL}
        assert watch.look(since, now)
    assert watch.look(dict.fromkeys(ALL, now), now + 5.1) == ALL
