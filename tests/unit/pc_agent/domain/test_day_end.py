"""When a trading day ends."""

import pytest

from pc_agent.domain.day_end import is_ending, is_to_be_closed, was_left_open

DAY_S = 86_400
MIDNIGHT = 9 * DAY_S
ELEVEN = MIDNIGHT - 3600
BEFORE_S = 900


@pytest.mark.parametrize(
    ("server_s", "quotes_end_s", "ending", "closing"),
    [
        (MIDNIGHT - 901, MIDNIGHT, False, False),
        (MIDNIGHT - 900, MIDNIGHT, True, True),
        (MIDNIGHT - 1, MIDNIGHT, True, True),
        (MIDNIGHT, MIDNIGHT + DAY_S, False, False),
        # quotes end at 23:00
        (ELEVEN - 901, ELEVEN, False, False),
        (ELEVEN - 900, ELEVEN, True, True),
        (ELEVEN, ELEVEN, True, False),
        (MIDNIGHT - 900, ELEVEN, True, True),
        # a day without quotes
        (MIDNIGHT - 3600, MIDNIGHT - DAY_S, False, False),
        (MIDNIGHT - 900, MIDNIGHT - DAY_S, True, False),
    ],
)
def test_a_day_ends_with_its_quotes(server_s: int, quotes_end_s: int, ending: bool, closing: bool) -> None:
    """Until midnight there are no entries; closed is what can be, and once more right before midnight."""
    assert is_ending(server_s, BEFORE_S, quotes_end_s) == ending
    assert is_to_be_closed(server_s, BEFORE_S, quotes_end_s) == closing


def test_what_is_of_another_day_or_behind_the_quotes_was_left_open() -> None:
    """Not what was opened today, as long as there are quotes."""
    assert was_left_open(MIDNIGHT - 1, MIDNIGHT + 5, MIDNIGHT + DAY_S)
    assert not was_left_open(MIDNIGHT + 1, MIDNIGHT + 5, MIDNIGHT + DAY_S)
    assert was_left_open(ELEVEN - 1, ELEVEN, ELEVEN)
    assert not was_left_open(ELEVEN - 2, ELEVEN - 1, ELEVEN)
