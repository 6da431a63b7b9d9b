"""Symbols on their way between lanes that break and come back."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pc_agent.domain.lanes import LaneWatch, lane_of
from pc_agent.domain.symbol_feed import SymbolFeed
from pc_agent.ticks.sources import Place
from pc_agent.ticks.tick_lanes import TickLanes

NAMES = [f"SYMBOL{n}" for n in range(12)]


class Lane:
    """A lane that lets a symbol go after a while, as one whose bridge is slow to acknowledge."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.stood_since: float | None = 0.0
        self.ready = True
        self.symbols: dict[str, SymbolFeed] = {}
        self.leaving: dict[str, int] = {}
        self.patience = 0

    def add(self, feed: SymbolFeed) -> None:
        assert feed.symbol not in self.symbols
        self.symbols[feed.symbol] = feed

    def leave(self, place: Place) -> bool:
        name = place[1]
        left = self.leaving.setdefault(name, self.patience)
        if left and self.stood_since is not None:
            self.leaving[name] -= 1
            return False
        del self.leaving[name]
        del self.symbols[name]
        return True


class Rig:
    def __init__(self) -> None:
        self.lanes = [Lane(number) for number in (1, 2, 3, 4)]
        terminal: Any = None
        lanes: Any = self.lanes
        self.watch = LaneWatch((1, 2, 3, 4), 1.0, 5.0, 0.0)
        self.ticks = TickLanes(lanes, terminal, "a", 0, self.watch)

    def show(self, names: set[str]) -> None:
        self.ticks.carry({("broker", name): 0 for name in sorted(names)})

    def where(self) -> dict[str, list[int]]:
        return {name: [lane.number for lane in self.lanes if name in lane.symbols] for name in NAMES}


@given(
    st.lists(
        st.tuples(
            st.sets(st.sampled_from([1, 2, 3, 4])),  # lanes that stand
            st.integers(0, 4),  # how slow they are to let go
            st.sets(st.sampled_from(NAMES)),  # symbols that the terminal shows
        ),
        max_size=15,
    )
)
def test_a_symbol_is_never_on_two_lanes_and_comes_home(turns: list[tuple[set[int], int, set[str]]]) -> None:
    """Whatever breaks, comes back, is shown and hidden meanwhile; once all is quiet everything is at home."""
    rig = Rig()
    now = 0.0
    for standing, patience, shown in turns:
        rig.show(shown)
        for lane in rig.lanes:
            lane.patience = patience
            lane.stood_since = (lane.stood_since or now) if lane.number in standing else None
        for _ in range(4):
            now += 0.4
            rig.ticks.look(now)
            assert all(len(lanes) <= 1 for lanes in rig.where().values())
    rig.show(set(NAMES))
    for lane in rig.lanes:
        lane.stood_since = lane.stood_since or now
    for _ in range(40):
        now += 0.4
        rig.ticks.look(now)
    assert rig.where() == {name: [lane_of("broker", name)] for name in NAMES}
    assert rig.ticks.missing() == ""


def test_a_lost_lane_whose_symbols_went_elsewhere_is_not_missing() -> None:
    """The agent does its work; a lane that is away for a moment is missing."""
    rig = Rig()
    rig.show(set(NAMES))
    rig.ticks.look(10.0)
    rig.lanes[1].stood_since, rig.lanes[1].ready = None, False
    rig.ticks.look(10.5)
    assert "tick lanes 2" in rig.ticks.missing()
    rig.ticks.look(11.1)
    assert rig.ticks.missing() == ""
    assert not rig.lanes[1].symbols
