"""What an order may be."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh import orders
from mesh.orders import BadAmountError, Kind, kind_defect

NO_NUMBERS = ["", "-0.1", "NaN", "nan", "Infinity", "1e3", "0x10", "1,5", " 1", "1 ", "1\n", "+1", "1_0", ".5", "1."]
NO_NUMBERS += ["٣", "1" * 13]


@pytest.mark.parametrize("text", [*NO_NUMBERS, "0", "0.00"])
def test_what_is_no_volume_is_refused(text: str) -> None:
    """The message names the field; what a float's or another locale's parser would let through is not guessed."""
    with pytest.raises(BadAmountError, match=r"^volume is "):
        orders.volume("volume", text)


def test_an_absurd_volume_is_refused() -> None:
    """More lots than anyone trades is a mistake."""
    assert orders.volume("volume", "100000") == 100_000
    with pytest.raises(BadAmountError, match="up to 100000"):
        orders.volume("volume", "100000.01")


def test_no_price_is_none() -> None:
    """An empty price means none; zero does not."""
    assert orders.price("stop_loss", "") is None
    assert orders.plain(None) == ""
    with pytest.raises(BadAmountError, match="above 0"):
        orders.price("stop_loss", "0")


def test_only_money_may_be_negative() -> None:
    """A deal loses; nothing is none."""
    assert (orders.money("profit", "-12.50"), orders.money("profit", "")) == (Decimal("-12.50"), 0)
    with pytest.raises(BadAmountError, match="profit"):
        orders.money("profit", "--1")


@given(st.decimals(min_value=Decimal("0.00001"), max_value=99_999, allow_nan=False, places=5))
def test_a_decimal_comes_back_as_it_was_written(value: Decimal) -> None:
    """Digits, trailing zeros included, survive; there is never an exponent."""
    text = f"{value:f}"
    assert orders.plain(orders.volume("volume", text)) == text


@pytest.mark.parametrize(
    ("kind", "given_fields", "named"),
    [
        (Kind.MARKET, {"side"}, "volume is missing"),
        (Kind.MARKET, {"side", "volume", "price"}, "price is set"),
        (Kind.LIMIT, {"side", "volume"}, "price is missing"),
        (Kind.STOP_LIMIT, {"side", "volume", "price"}, "limit_price is missing"),
        (Kind.STOP, {"side", "volume", "price", "limit_price"}, "limit_price is set"),
        (Kind.CLOSE, {"side", "volume"}, "position is missing"),
        (Kind.CLOSE, {"side", "volume", "position", "stop_loss"}, "stop_loss is set"),
        (Kind.CLOSE_BY, {"position"}, "opposite_position is missing"),
        (Kind.CLOSE_BY, {"position", "opposite_position", "volume"}, "volume is set"),
        (Kind.MODIFY_POSITION, {"position", "price"}, "price is set"),
        (Kind.MODIFY_ORDER, {"order_ticket"}, "price is missing"),
        (Kind.CANCEL_ORDER, {"order_ticket", "side"}, "side is set"),
    ],
)
def test_a_kind_has_its_fields_and_no_others(kind: Kind, given_fields: set[str], named: str) -> None:
    """What is missing or foreign is named, with what the kind has."""
    assert kind_defect(kind, given_fields).startswith(named)


def test_what_is_to_be_found_may_be_missing() -> None:
    """A close that names only its position is whole once the rest was looked up."""
    assert kind_defect(Kind.CLOSE, {"position"}, {"side", "volume"}) == ""
    assert kind_defect(Kind.LIMIT, {"side", "volume", "price", "expires_unix_ms", "stop_loss"}) == ""
