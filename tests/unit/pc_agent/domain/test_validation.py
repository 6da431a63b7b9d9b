"""What is checked of signals before they are written: all that needs no price."""

from dataclasses import replace
from typing import Any

import pytest

from mesh.orders import ENTRIES, Kind
from pc_agent.domain.filling import type_time
from pc_agent.domain.orders import Account, Side, Signal
from pc_agent.domain.symbols import CLOSE_ONLY, DISABLED, LONG_ONLY, SHORT_ONLY, SymbolFacts
from pc_agent.domain.validation import Terms, defect, refusal, refusals

ACCOUNT = Account("twin-1", 1_000_001)
EURUSD = SymbolFacts(
    "EURUSD", 5, 0.01, 50.0, 0.01, 100_000.0, 0, volume_limit=20.0, point=0.00001, tick_size=0.00001,
)  # fmt: skip
TERMS = Terms(ACCOUNT, 3, {"EURUSD": EURUSD}, False, 1_000_000)
# Each kind with what it needs.
WHOLE: dict[Kind, dict[str, Any]] = {
    Kind.MARKET: {},
    Kind.LIMIT: {"price": "1.1"},
    Kind.STOP: {"price": "1.1"},
    Kind.STOP_LIMIT: {"price": "1.1", "limit_price": "1.05"},
    Kind.CLOSE: {"position": 7, "side": None, "volume": ""},
    Kind.CLOSE_BY: {"position": 7, "opposite_position": 8, "side": None, "volume": ""},
    Kind.MODIFY_POSITION: {"position": 7, "stop_loss": "1.0", "side": None, "volume": ""},
    Kind.MODIFY_ORDER: {"order_ticket": 9, "price": "1.2", "side": None, "volume": ""},
    Kind.CANCEL_ORDER: {"order_ticket": 9, "side": None, "volume": ""},
}


def signal(kind: Kind | None = Kind.MARKET, **changes: Any) -> Signal:
    made = Signal("s1", ACCOUNT, 3, 1, False, False, "EURUSD", Side.BUY, "0.1", "", "", 10**13)
    return replace(made, kind=kind, **{**(WHOLE[kind] if kind else {}), **changes})


def reason(made: Signal, terms: Terms = TERMS, **facts: Any) -> str:
    known = {"EURUSD": replace(EURUSD, **facts)}
    refused = refusal(made, replace(terms, symbols=known))
    if refused is None:
        return ""
    assert refused.message
    return refused.reason


@pytest.mark.parametrize("kind", WHOLE)
def test_each_kind_passes_with_what_it_needs_and_not_without(kind: Kind) -> None:
    """Which field is missing is named; a kind that nobody knows is never executed."""
    hedging = replace(TERMS, is_hedging=True)
    assert reason(signal(kind), hedging) == ""
    names = {Kind.MARKET: ("side", "volume")}.get(kind, tuple(WHOLE[kind]))
    for name in names:
        if WHOLE[kind].get(name) in (None, "") and kind not in ENTRIES:
            continue
        if name in ("stop_loss", "price") and kind in (Kind.MODIFY_POSITION, Kind.MODIFY_ORDER):
            continue  # may be left out
        empty = None if name == "side" else type(getattr(signal(kind), name))()
        assert name in defect(signal(kind, **{name: empty}))
    assert "kind" in defect(signal(None))


@pytest.mark.parametrize(
    "changes",
    [{"signal_id": ""}, {"symbol": ""}, {"volume": "0"}, {"volume": "-1"}, {"volume": "NaN"}, {"volume": "inf"},
     {"stop_loss": "low"}, {"take_profit": "-1"}, {"take_profit": "9" * 26},
     {"volume": "1e-13"}, {"stop_loss": "1e999"}],
)  # fmt: skip
def test_a_defect_is_named(changes: dict[str, Any]) -> None:
    """What is no number, not positive, or too long to be reckoned with, says which field it is."""
    assert next(iter(changes)) in defect(signal(**changes))
    assert defect(signal(stop_loss="1.05", take_profit="1.2")) == ""


@pytest.mark.parametrize(
    ("made", "facts", "wanted"),
    [
        (signal(account=Account("twin-1", 2)), {}, "WRONG_ACCOUNT"),
        (signal(epoch=2), {}, "EPOCH_SUPERSEDED"),
        (signal(symbol="NOPE"), {}, "UNKNOWN_SYMBOL"),
        (signal(volume="0.005"), {}, "VOLUME_TOO_SMALL"),
        (signal(volume="60"), {}, "VOLUME_TOO_LARGE"),
        (signal(volume="21"), {}, "VOLUME_OVER_LIMIT"),
        (signal(volume="0.105"), {}, "VOLUME_OFF_STEP"),
        (signal(Kind.CLOSE, volume="0.105"), {}, "VOLUME_OFF_STEP"),
        (signal(stop_loss="1.000001"), {}, "PRICE_OFF_TICK"),
        (signal(Kind.LIMIT, price="1.1000005"), {}, "PRICE_OFF_TICK"),
        (signal(Kind.LIMIT), {"trade_mode": DISABLED}, "SYMBOL_DISABLED"),
        (signal(Kind.LIMIT), {"trade_mode": CLOSE_ONLY}, "CLOSE_ONLY"),
        (signal(Kind.LIMIT, side=Side.SELL), {"trade_mode": LONG_ONLY}, "LONG_ONLY"),
        (signal(Kind.LIMIT), {"trade_mode": SHORT_ONLY}, "SHORT_ONLY"),
        (signal(), {"order_mode": 126}, "KIND_NOT_ALLOWED"),
        (signal(Kind.STOP_LIMIT), {"order_mode": 119}, "KIND_NOT_ALLOWED"),
        (signal(stop_loss="1.0"), {"order_mode": 111}, "STOP_LOSS_NOT_ALLOWED"),
        (signal(take_profit="1.2"), {"order_mode": 95}, "TAKE_PROFIT_NOT_ALLOWED"),
        (signal(Kind.LIMIT), {"expiration_mode": 4}, "EXPIRATION_NEEDED"),
        (signal(Kind.LIMIT, expires_unix_ms=2_000_000), {"expiration_mode": 1}, "EXPIRATION_NOT_ALLOWED"),
        (signal(Kind.LIMIT, expires_unix_ms=1_000_000), {}, "EXPIRATION_PAST"),
        (signal(Kind.CLOSE_BY), {}, "HEDGING_ONLY"),
    ],
)
def test_each_refusal_has_a_reason_of_its_own(made: Signal, facts: dict[str, Any], wanted: str) -> None:
    """By account, epoch, symbol, volume, price steps, trade mode, order mode, expiration."""
    assert reason(made, **facts) == wanted


def test_what_makes_a_position_smaller_is_left_to_the_broker() -> None:
    """A close of a symbol that is closed only; on a netting account also a market order, which may be one."""
    for mode in (DISABLED, CLOSE_ONLY, SHORT_ONLY):
        assert reason(signal(Kind.CLOSE), trade_mode=mode) == ""
        assert reason(signal(Kind.CLOSE, volume="21"), trade_mode=mode) == ""
    assert reason(signal(), trade_mode=CLOSE_ONLY) == ""
    assert reason(signal(), replace(TERMS, is_hedging=True), trade_mode=CLOSE_ONLY) == "CLOSE_ONLY"


def test_a_batch_of_a_hundred_is_judged_at_once() -> None:
    """One answer for each, in their order; the agent's own signals know no epoch."""
    batch = [signal(volume="0.1" if n % 2 else "0.001") for n in range(100)]
    assert [refused is None for refused in refusals(batch, TERMS)] == [bool(n % 2) for n in range(100)]
    assert refusal(signal(Kind.CLOSE, seq=0, epoch=0), TERMS) is None


def test_an_order_bears_an_expiration_that_the_symbol_has() -> None:
    """Till cancelled where that is allowed, else for the day; a time of its own is SPECIFIED."""
    assert (type_time(False, 15), type_time(False, 2), type_time(True, 15)) == (0, 1, 2)
