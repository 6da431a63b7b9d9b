"""Listing a broker's symbols a part at a time."""

from pc_agent.domain.symbol_groups import groups_of
from pc_agent.twin.symbols import in_group


def test_few_names_are_one_group_and_many_are_split_where_they_differ() -> None:
    """The rest is a group too: of what begins otherwise."""
    assert groups_of(["EURUSD", "GBPUSD"], 2) == ["*"]
    assert groups_of(["EURUSD", "EURGBP", "GBPUSD"], 2) == ["E*", "G*", "*,!E*,!G*"]
    assert groups_of(["AB", "AC", "AD"], 2)[-2:] == ["A*,!AB*,!AC*,!AD*", "*,!A*"]


def test_every_name_known_or_new_is_in_one_group() -> None:
    """Also one that begins like none before it, and one with characters that a filter takes for its own."""
    known = [f"{letter}{number:03}.r" for letter in "ABÜ#" for number in range(200)] + ["[SP]", "!X", "A", "", "*"]
    groups = groups_of(known, 50)
    for name in (*known, "A", "A0", "A0001.r", "Z", "#", "a001", "!", "[", "日本"):
        assert sum(in_group(name, group) for group in groups) == 1, name
    assert max(sum(in_group(name, group) for name in known) for group in groups) <= 50
