"""What heals a range."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mesh.market import Batch
from services.data_bridge.domain.repair import Missing, Replacement, amount, decide, select, storable
from tests.unit.services.data_bridge.ticks import START_MSC, history, identities

TERMINAL = history(40)
CHANGED = replace(TERMINAL, bid=np.where(np.arange(40) == 7, 1.05, TERMINAL.bid))


def kept(batch: Batch, *left_out: int) -> Batch | None:
    return select(batch, ~np.isin(np.arange(len(batch)), left_out))


def test_what_is_equal_needs_nothing() -> None:
    """However it is cut and ordered."""
    assert decide(TERMINAL, Batch.join([TERMINAL.slice(20, 40), TERMINAL.slice(0, 20)]), 0) is None
    assert decide(None, None, 3) is None


def test_missing_ticks_are_added_alone() -> None:
    """With the generation that stands."""
    repair = decide(TERMINAL, kept(TERMINAL, 3, 4, 39), 2)
    assert isinstance(repair, Missing)
    assert identities(repair.ticks) == [TERMINAL.id_at(index) for index in (3, 4, 39)]
    assert repair.ticks.generation == 2


def test_a_changed_value_replaces_the_range() -> None:
    """With everything that the terminal has of it, as the next generation."""
    repair = decide(TERMINAL, CHANGED, 1)
    assert isinstance(repair, Replacement)
    assert (repair.generation, len(repair.ticks or ())) == (2, 40)
    assert repair.ticks is not None
    assert repair.ticks.generation == 2


def test_ticks_that_the_broker_removed_replace_the_range() -> None:
    """Fewer ticks than are stored, or none at all."""
    assert isinstance(decide(kept(TERMINAL, 5), TERMINAL, 0), Replacement)
    assert decide(None, TERMINAL, 0) == Replacement(None, 1)


def test_a_repair_that_did_not_show_replaces_the_range() -> None:
    """Missing ticks that were added in vain lie where another generation stands."""
    assert isinstance(decide(TERMINAL, kept(TERMINAL, 3), 1, whole=True), Replacement)


def test_flawed_ticks_are_left_out_and_nothing_else() -> None:
    """A price that is none costs its own tick."""
    bad = replace(TERMINAL, ask=np.where(np.isin(np.arange(40), (0, 17, 39)), np.nan, TERMINAL.ask))
    sound = storable(bad)
    assert sound is not None
    assert identities(sound) == [TERMINAL.id_at(index) for index in range(40) if index not in (0, 17, 39)]
    assert storable(bad.slice(17, 18)) is None


@given(
    st.lists(st.booleans(), min_size=40, max_size=40),
    st.lists(st.sampled_from(["kept", "lost", "changed", "moved"]), min_size=40, max_size=40),
    st.integers(0, 3),
    st.booleans(),
)
def test_a_repair_makes_the_store_equal_to_the_terminal(
    there: list[bool], fate: list[str], standing: int, whole: bool
) -> None:
    """Whatever both have: after it newest readers see the terminal's ticks, each once."""
    terminal = select(TERMINAL, np.array(there))
    fates = np.array(fate)
    store = replace(
        TERMINAL,
        generation=standing,
        bid=np.where(fates == "changed", 1.01, TERMINAL.bid),
        ordinal=np.where(fates == "moved", 9, TERMINAL.ordinal).astype(np.uint32),
    )
    stored = select(store, fates != "lost")
    repair = decide(terminal, stored, standing, whole)
    after = stored
    if isinstance(repair, Missing):
        assert not whole
        assert repair.ticks.generation == standing
        after = repair.ticks if stored is None else Batch.join([stored, repair.ticks])
    elif isinstance(repair, Replacement):
        assert repair.generation == standing + 1
        after = repair.ticks
    end = START_MSC + 1000
    assert amount(after, START_MSC, end) == amount(terminal, START_MSC, end)
