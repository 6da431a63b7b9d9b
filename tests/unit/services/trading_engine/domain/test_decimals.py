"""Which texts are numbers."""

from decimal import Decimal

import pytest

from services.trading_engine.domain import decimals


@pytest.mark.parametrize("text", ["", "-1", "+1", "1e3", "NaN", "inf", "1.", ".5", "0x1", " 1", "1\n", "1" * 13, "１"])
def test_only_plain_numbers_are_read(text: str) -> None:
    """What a float's or another locale's parser would let through is refused, by the field's name."""
    with pytest.raises(decimals.BadDecimalError, match="volume"):
        decimals.parse("volume", text)


def test_zero_is_not_positive() -> None:
    """A volume of 0 trades nothing and is refused."""
    with pytest.raises(decimals.BadDecimalError, match="more than 0"):
        decimals.positive("volume", "0.000")


def test_an_empty_price_is_none_and_written_empty() -> None:
    """No stop is no number."""
    assert decimals.price("stop_loss", "") is None
    assert decimals.text(None) == ""


@pytest.mark.parametrize("text", ["0.10", "100000000000", "0.000000000001"])
def test_numbers_are_written_as_they_were_read(text: str) -> None:
    """Never an exponent."""
    assert decimals.text(Decimal(text)) == text
