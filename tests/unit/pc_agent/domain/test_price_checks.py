"""What is checked of an order against the price of the moment."""

from dataclasses import replace

import pytest

from mesh.orders import Kind
from pc_agent.domain.orders import Account, Side, Signal
from pc_agent.domain.price_checks import (
    Market,
    PriceBounds,
    Prices,
    freeze_refusal,
    pending_refusal,
    quote_refusal,
    slippage_refusal,
    stops_refusal,
)
from pc_agent.domain.refusal import Refusal

# 1.10000/1.10010, stops at least 5 points away, nothing touched within 3.
MARKET = Market("EURUSD", 1.1, 1.1001, 500.0, 0.00001, 5, 3)
ENTRY = Signal("s", Account("b", 1), 1, 1, False, False, "EURUSD", Side.BUY, "0.1", "", "", 0)


def why(refused: Refusal | None) -> str:
    return refused.reason if refused else ""


def test_an_entry_needs_a_fresh_quote_and_a_narrow_spread() -> None:
    """Bounds of 0 do not bind; what makes a position smaller needs only a price."""
    bounds = PriceBounds(20, max_spread_points=10, max_quote_age_ms=500)
    assert why(quote_refusal(ENTRY, MARKET, bounds)) == ""
    assert why(quote_refusal(ENTRY, replace(MARKET, age_ms=501.0), bounds)) == "QUOTE_TOO_OLD"
    assert why(quote_refusal(ENTRY, replace(MARKET, ask=1.10011), bounds)) == "SPREAD_TOO_WIDE"
    assert why(quote_refusal(ENTRY, replace(MARKET, ask=1.2, age_ms=1e9), PriceBounds(20))) == ""
    close = replace(ENTRY, kind=Kind.CLOSE, position=7)
    assert why(quote_refusal(close, replace(MARKET, ask=1.2, age_ms=1e9), bounds)) == ""
    assert why(quote_refusal(close, replace(MARKET, bid=0.0), bounds)) == "NO_QUOTE"


@pytest.mark.parametrize(
    ("side", "price", "wanted"),
    [(Side.BUY, 1.1003, ""), (Side.BUY, 1.10031, "PRICE_MOVED"), (Side.BUY, 1.0, ""),
     (Side.SELL, 1.0999, ""), (Side.SELL, 1.09989, "PRICE_MOVED"), (Side.SELL, 1.2, "")],
)  # fmt: skip
def test_a_price_may_run_away_by_the_deviation(side: Side, price: float, wanted: str) -> None:
    """From the first attempt's, to the worse."""
    first = 1.1001
    assert why(slippage_refusal(side, price, first, MARKET, 20)) == wanted
    assert why(slippage_refusal(side, 9.0, 0.0, MARKET, 20)) == "", "the first attempt has nothing to compare with"


@pytest.mark.parametrize(
    ("kind", "side", "price", "limit", "wanted"),
    [
        (Kind.LIMIT, Side.BUY, 1.10005, 0.0, ""),
        (Kind.LIMIT, Side.BUY, 1.10006, 0.0, "PRICE_TOO_NEAR"),
        (Kind.LIMIT, Side.BUY, 1.2, 0.0, "PRICE_TOO_NEAR"),
        (Kind.LIMIT, Side.SELL, 1.10005, 0.0, ""),
        (Kind.LIMIT, Side.SELL, 1.0, 0.0, "PRICE_TOO_NEAR"),
        (Kind.STOP, Side.BUY, 1.10015, 0.0, ""),
        (Kind.STOP, Side.BUY, 1.10014, 0.0, "PRICE_TOO_NEAR"),
        (Kind.STOP, Side.SELL, 1.09995, 0.0, ""),
        (Kind.STOP, Side.SELL, 1.09996, 0.0, "PRICE_TOO_NEAR"),
        (Kind.STOP_LIMIT, Side.BUY, 1.2, 1.19, ""),
        (Kind.STOP_LIMIT, Side.BUY, 1.2, 1.21, "LIMIT_PRICE_TOO_NEAR"),
        (Kind.STOP_LIMIT, Side.SELL, 1.0, 1.01, ""),
        (Kind.STOP_LIMIT, Side.SELL, 1.0, 0.99, "LIMIT_PRICE_TOO_NEAR"),
    ],
)
def test_a_pending_order_waits_on_its_side_of_the_market(
    kind: Kind, side: Side, price: float, limit: float, wanted: str
) -> None:
    """A limit for a better price, a stop for a worse one, at least the stops level away."""
    assert why(pending_refusal(kind, Prices(side, price, limit_price=limit), MARKET)) == wanted


@pytest.mark.parametrize(
    ("side", "stop_loss", "take_profit", "wanted"),
    [
        (Side.BUY, 1.09995, 1.10005, ""),
        (Side.BUY, 1.09996, 0.0, "STOP_LOSS_TOO_NEAR"),
        (Side.BUY, 1.2, 0.0, "STOP_LOSS_TOO_NEAR"),
        (Side.BUY, 0.0, 1.10004, "TAKE_PROFIT_TOO_NEAR"),
        (Side.SELL, 1.10005, 1.09995, ""),
        (Side.SELL, 1.10004, 0.0, "STOP_LOSS_TOO_NEAR"),
        (Side.SELL, 0.0, 1.2, "TAKE_PROFIT_TOO_NEAR"),
        (Side.SELL, 0.0, 0.0, ""),
    ],
)
def test_stops_lie_on_their_sides_far_enough(side: Side, stop_loss: float, take_profit: float, wanted: str) -> None:
    """Held against the price at which the position would be closed."""
    assert why(stops_refusal(Prices(side, 1.1, stop_loss, take_profit), MARKET)) == wanted


def test_nothing_is_touched_within_the_freeze_level() -> None:
    """Where the broker has none, or there is no price, nothing is frozen."""
    assert why(freeze_refusal((0.0, 1.10003), 1.1, MARKET)) == "PRICE_FROZEN"
    assert why(freeze_refusal((0.0, 1.10004), 1.1, MARKET)) == ""
    assert why(freeze_refusal((1.1,), 1.1, replace(MARKET, freeze_level=0))) == ""
