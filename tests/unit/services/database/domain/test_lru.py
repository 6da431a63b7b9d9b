"""Bounded state."""

from services.database.domain.lru import latest


def test_the_one_used_longest_ago_is_forgotten() -> None:
    """Using a name again keeps its state, even an empty one."""
    known: dict[str, list[int]] = {}
    first = latest(known, "a", list, 2)
    latest(known, "b", list, 2)
    assert latest(known, "a", list, 2) is first
    latest(known, "c", list, 2)
    assert list(known) == ["a", "c"]
