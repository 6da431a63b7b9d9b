"""Which intents are denied, and why."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from services.trading_engine.domain.order import (
    AccountId,
    AccountView,
    Exposure,
    Intent,
    Side,
    SymbolSpec,
    TradingState,
)
from services.trading_engine.domain.risk import decide

D = Decimal
ACCOUNT = AccountId("twin-7", 1000001)
SPEC = SymbolSpec(D("0.01"), D("10"), D("0.01"))
INTENT = Intent("s1", ACCOUNT, "EURUSD", Side.BUY, D("0.10"), None, None, "", 0, not_after_unix_ms=2_000)
VIEW = AccountView(ACCOUNT, TradingState.ACTIVE, 1, (), {"EURUSD": SPEC}, now_unix_ms=1_000)


def held(net: str, open_orders: int = 0, unknown: int = 0, strategy: str = "", symbol: str = "EURUSD") -> AccountView:
    return replace(VIEW, exposures=(Exposure(symbol, strategy, D(net), open_orders, unknown),))


def wanting(volume: str, side: Side = Side.BUY, **other: Any) -> Intent:
    return replace(INTENT, volume=D(volume), side=side, **other)


OWN = "bollinger"
REDUCING = TradingState.REDUCING

DENIED = [
    (INTENT, replace(VIEW, symbols=None), "AGENT_NOT_CONNECTED"),
    (INTENT, replace(VIEW, now_unix_ms=2_000), "SIGNAL_EXPIRED"),
    (replace(INTENT, symbol="EURUSD.x"), VIEW, "UNKNOWN_SYMBOL"),
    (INTENT, replace(VIEW, symbols={}), "UNKNOWN_SYMBOL"),
    (wanting("0.009"), VIEW, "VOLUME_BELOW_MINIMUM"),
    (wanting("10.01"), VIEW, "VOLUME_ABOVE_MAXIMUM"),
    (wanting("0.015"), VIEW, "VOLUME_OFF_STEP"),
    (wanting("1", stop_loss=D("1.2"), take_profit=D("1.1")), VIEW, "STOPS_CROSSED"),
    (wanting("1", stop_loss=D("1.1"), take_profit=D("1.1")), VIEW, "STOPS_CROSSED"),
    (wanting("1", Side.SELL, stop_loss=D("1.1"), take_profit=D("1.2")), VIEW, "STOPS_CROSSED"),
    (INTENT, held("0", open_orders=1, unknown=1, strategy="another"), "SYMBOL_FROZEN"),
    (wanting("1", strategy=OWN), held("0", open_orders=1, strategy=OWN), "ORDER_IN_FLIGHT"),
    (wanting("1", strategy=OWN), held("1", strategy=OWN), "POSITION_OPEN"),
    (wanting("2", Side.SELL, strategy=OWN), held("1", strategy=OWN), "POSITION_OPEN"),
    (INTENT, replace(VIEW, trading_state=TradingState.HALTED), "TRADING_HALTED"),
    (INTENT, replace(VIEW, trading_state=REDUCING), "TRADING_STATE_REDUCING"),
    (wanting("2", Side.SELL), replace(held("1"), trading_state=REDUCING), "TRADING_STATE_REDUCING"),
    (wanting("1", Side.SELL), replace(held("1", open_orders=1), trading_state=REDUCING), "TRADING_STATE_REDUCING"),
]

ALLOWED = [
    (INTENT, VIEW),
    (wanting("0.01"), VIEW),
    (wanting("10"), VIEW),
    (wanting("1.0000"), VIEW),
    (wanting("0.0371"), replace(VIEW, symbols={"EURUSD": replace(SPEC, volume_step=D(0))})),
    (wanting("1", stop_loss=D("1.1"), take_profit=D("1.2")), VIEW),
    (wanting("1", Side.SELL, stop_loss=D("1.2"), take_profit=D("1.1")), VIEW),
    (wanting("1", stop_loss=D("1.1")), VIEW),
    (INTENT, held("5", open_orders=3)),
    (INTENT, held("0", open_orders=1, unknown=1, symbol="XAUUSD")),
    (wanting("1", strategy=OWN), held("1", open_orders=1, strategy="")),
    (wanting("1", Side.SELL, strategy=OWN), held("1", strategy=OWN)),
    (wanting("1", Side.BUY, strategy=OWN), held("-1", strategy=OWN)),
    (wanting("0.4", Side.SELL), replace(held("1"), trading_state=REDUCING)),
]


@pytest.mark.parametrize(("intent", "view", "reason"), DENIED)
def test_what_must_not_trade_is_denied_with_its_reason(intent: Intent, view: AccountView, reason: str) -> None:
    """Each rule denies under its own name, with a sentence."""
    denial = decide(intent, view)
    assert denial is not None
    assert denial.reason == reason
    assert len(denial.message) > 20


@pytest.mark.parametrize(("intent", "view"), ALLOWED)
def test_what_breaks_no_rule_is_allowed(intent: Intent, view: AccountView) -> None:
    """The limits themselves are still inside."""
    assert decide(intent, view) is None


def test_reducing_looks_at_the_whole_account() -> None:
    """The terminal nets: two strategies' positions count as one."""
    both = (Exposure("EURUSD", "a", D(2), 0, 0), Exposure("EURUSD", "b", D(-1), 0, 0))
    view = replace(VIEW, exposures=both, trading_state=REDUCING)
    assert decide(wanting("1", Side.SELL), view) is None
    assert decide(wanting("1.5", Side.SELL), view) is not None
