"""Decimal strings at the edge."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.database.domain import decimals
from services.database.domain.decimals import BadDecimalError


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "0.00",
        "-0.1",
        "NaN",
        "nan",
        "Infinity",
        "1e3",
        "0x10",
        "1,5",
        " 1",
        "1 ",
        "+1",
        "1_0",
        ".5",
        "1.",
        "٣",
        "1" * 13,
    ],
)
def test_what_is_no_volume_is_refused(text: str) -> None:
    """The message names the field; nothing is guessed."""
    with pytest.raises(BadDecimalError, match=r"^volume is "):
        decimals.volume("volume", text)


def test_an_absurd_volume_is_refused() -> None:
    """More lots than anyone trades is a mistake."""
    assert decimals.volume("volume", "100000") == 100_000
    with pytest.raises(BadDecimalError, match="up to 100000"):
        decimals.volume("volume", "100000.01")


def test_no_price_is_none() -> None:
    """An empty price means none; zero does not."""
    assert decimals.price("stop_loss", "") is None
    with pytest.raises(BadDecimalError, match="above 0"):
        decimals.price("stop_loss", "0")


@given(st.decimals(min_value=Decimal("0.00001"), max_value=99_999, allow_nan=False, places=5))
def test_a_decimal_comes_back_as_it_was_written(value: Decimal) -> None:
    """Digits, trailing zeros included, survive; there is never an exponent."""
    text = f"{value:f}"
    assert decimals.text(decimals.volume("volume", text)) == text
