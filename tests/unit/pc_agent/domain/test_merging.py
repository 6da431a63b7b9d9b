"""What comes of two changes that did not know of each other."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pc_agent.domain.merging import merge
from pc_agent.domain.reference import ChartType, Preferences, Record, Theme

USER = UUID(int=1)
BASE = Record(Preferences(USER), 3, False, 100, 100, "pc-1")

preferences = st.builds(
    Preferences,
    st.just(USER),
    theme=st.sampled_from(Theme),
    chart_type=st.sampled_from(ChartType),
    notifications_enabled=st.booleans(),
    language=st.sampled_from(["en", "de"]),
    auto_close_trades=st.booleans(),
    trade_confirmation=st.booleans(),
)
times = st.integers(101, 103)


def mine(at: int, **values: object) -> Record:
    return replace(BASE, content=replace(BASE.content, **values), updated_unix_ms=at)


def theirs(at: int, **values: object) -> Record:
    return replace(mine(at, **values), version=4, updated_by="suho-cli")


def test_what_one_side_alone_changed_is_taken_from_it() -> None:
    """The theme set here and the confirmation set there are both in force, on top of the version there."""
    merged = merge(BASE, mine(200, theme=Theme.LIGHT), theirs(300, trade_confirmation=True))
    assert merged.record.content == Preferences(USER, theme=Theme.LIGHT, trade_confirmation=True)
    assert (merged.record.version, merged.record.updated_unix_ms, merged.clashes) == (4, 300, ())


@pytest.mark.parametrize(("at", "language"), [(400, "de"), (200, "pt")])
def test_of_what_both_changed_the_later_change_counts(at: int, language: str) -> None:
    """And both values are told; what only one side changed is kept all the same."""
    merged = merge(BASE, mine(at, theme=Theme.LIGHT, language="de"), theirs(300, language="pt"))
    assert merged.record.content == Preferences(USER, theme=Theme.LIGHT, language=language)
    assert "here de, there pt" in str(merged.clashes[0])


def test_changes_of_the_same_moment_stay_undecided() -> None:
    """The database's value holds, nothing of ours is left to send, and both are shown."""
    there = theirs(200, language="pt")
    merged = merge(BASE, mine(200, language="de"), there)
    assert merged.record == there
    assert [clash.undecided for clash in merged.clashes] == [True]
    assert "at the same moment" in str(merged.clashes[0])


def test_a_removal_is_a_change_as_others_are() -> None:
    """Whoever removed it, what the other side did to its fields does not bring it back."""
    assert merge(BASE, replace(mine(200), removed=True), theirs(300, theme=Theme.LIGHT)).record.removed
    assert merge(BASE, mine(400, theme=Theme.LIGHT), replace(theirs(300), removed=True)).record.removed


@given(base=preferences, here=preferences, there=preferences, here_at=times, there_at=times)
def test_no_value_is_made_up_and_both_sides_agree(
    base: Preferences, here: Preferences, there: Preferences, here_at: int, there_at: int
) -> None:
    """Each field is one of the two; but for ties, whoever comes second the outcome is the same."""
    start = replace(BASE, content=base)
    one = replace(BASE, content=here, updated_unix_ms=here_at)
    other = replace(BASE, content=there, updated_unix_ms=there_at)
    merged = merge(start, one, replace(other, version=4)).record
    swapped = merge(start, other, replace(one, version=4)).record
    for name in ("theme", "chart_type", "notifications_enabled", "language", "auto_close_trades", "trade_confirmation"):
        values = [getattr(content, name) for content in (merged.content, here, there, base)]
        assert values[0] in values[1:3]
        if values[1] == values[3] or values[2] == values[3]:
            assert values[0] == (values[2] if values[1] == values[3] else values[1])
    if here_at != there_at:
        assert merged.content == swapped.content
