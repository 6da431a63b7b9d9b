"""Names on the bus."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.market import subjects

names = st.text(min_size=1, alphabet=st.characters(exclude_categories=["Cs"]))


@given(names, names)
def test_any_name_survives_a_subject(server: str, symbol: str) -> None:
    """Dots, spaces, wildcards, other scripts: all come back, in three tokens of plain letters."""
    subject = subjects.tick_subject(server, symbol)
    assert re.fullmatch(r"ticks\.[A-Za-z0-9_=-]+\.[A-Za-z0-9_=-]+", subject)
    assert subjects.parse_tick_subject(subject) == (server, symbol)


@given(names, names)
def test_different_names_are_different_subjects(one: str, other: str) -> None:
    """No two names share a token."""
    assert (subjects.encode(one) == subjects.encode(other)) == (one == other)


def test_plain_names_stay_readable() -> None:
    """What is safe is not encoded."""
    assert subjects.tick_subject("twin-1", "EURUSD") == "ticks.twin-1.EURUSD"


def test_an_empty_name_is_any() -> None:
    """Subscribing without a server means every server."""
    assert subjects.tick_subject("", "EURUSD") == "ticks.*.EURUSD"


def test_another_subject_is_refused() -> None:
    """Only ticks' subjects are parsed."""
    with pytest.raises(ValueError, match="not a tick subject"):
        subjects.parse_tick_subject("orders.a.b")
