"""Which intents are denied, and why."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from mesh.orders import ENTRIES, Kind
from services.trading_engine.domain.order import (
    AccountId,
    AccountView,
    Books,
    Exposure,
    Halt,
    HeldPosition,
    Intent,
    Market,
    Side,
    SymbolSpec,
    SymbolTradeMode,
    TradingState,
    WorkingOrder,
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


def pending(kind: Kind, price: str, side: Side = Side.BUY, **other: Any) -> Intent:
    return wanting("1", side, kind=kind, price=D(price), **other)


def change(kind: Kind, **other: Any) -> Intent:
    return replace(INTENT, kind=kind, side=None, volume=None, **other)


def close(volume: str, position: int = 7, side: Side = Side.SELL, **other: Any) -> Intent:
    return wanting(volume, side, kind=Kind.CLOSE, position=position, **other)


def tradable(mode: SymbolTradeMode, view: AccountView = VIEW) -> AccountView:
    return replace(view, symbols={"EURUSD": replace(SPEC, trade_mode=mode)})


OURS = HeldPosition(7, "EURUSD", Side.BUY, D("1.005"), "s0")
FOREIGN = HeldPosition(8, "EURUSD", Side.BUY, D(1), "")
BOOKS = Books({7: OURS, 8: FOREIGN}, {9: WorkingOrder(9, "EURUSD", ""), 10: WorkingOrder(10, "EURUSD", "s1")})
HOLDING = replace(VIEW, books=BOOKS)
HALTED = replace(HOLDING, trading_state=TradingState.HALTED, halt=Halt("DAILY_LOSS", "5 % were lost today"))
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
    (wanting("1", Side.SELL, strategy=OWN), replace(held("1", strategy=OWN), hedging=True), "POSITION_OPEN"),
    (INTENT, replace(VIEW, trading_state=TradingState.HALTED), "TRADING_HALTED"),
    (INTENT, replace(VIEW, trading_state=REDUCING), "TRADING_STATE_REDUCING"),
    (wanting("2", Side.SELL), replace(held("1"), trading_state=REDUCING), "TRADING_STATE_REDUCING"),
    (wanting("1", Side.SELL), replace(held("1", open_orders=1), trading_state=REDUCING), "TRADING_STATE_REDUCING"),
    # Where positions stand beside each other, an order of the other side is one more.
    (wanting("1", Side.SELL), replace(held("1"), trading_state=REDUCING, hedging=True), "TRADING_STATE_REDUCING"),
    (pending(Kind.LIMIT, "1.1"), replace(VIEW, trading_state=TradingState.HALTED), "TRADING_HALTED"),
    (INTENT, replace(VIEW, halt=Halt("DAILY_LOSS", "5 % were lost today")), "DAILY_LOSS"),
    (pending(Kind.LIMIT, "1.1", stop_loss=D("1.2")), VIEW, "STOPS_CROSSED"),
    (pending(Kind.STOP, "1.1", Side.SELL, take_profit=D("1.2")), VIEW, "STOPS_CROSSED"),
    (pending(Kind.STOP_LIMIT, "1.2", limit_price=D("1.1"), take_profit=D("1.05")), VIEW, "STOPS_CROSSED"),
    (pending(Kind.LIMIT, "1.1", expires_unix_ms=1_000), VIEW, "EXPIRATION_PASSED"),
    (INTENT, tradable(SymbolTradeMode.DISABLED), "SYMBOL_TRADE_DISABLED"),
    (INTENT, tradable(SymbolTradeMode.SHORT_ONLY), "SYMBOL_SHORT_ONLY"),
    (wanting("1", Side.SELL), tradable(SymbolTradeMode.LONG_ONLY), "SYMBOL_LONG_ONLY"),
    (INTENT, tradable(SymbolTradeMode.CLOSE_ONLY), "SYMBOL_CLOSE_ONLY"),
    (wanting("1", strategy=OWN), replace(VIEW, markets={"EURUSD": Market(False, "")}), "MARKET_CLOSED"),
    (wanting("1", strategy=OWN), replace(VIEW, markets={"EURUSD": Market(True, "Payrolls")}), "NEWS_WINDOW"),
    (close("1"), held("1", open_orders=1, unknown=1), "SYMBOL_FROZEN"),
    (close("1", strategy=OWN), held("1", open_orders=1, strategy=OWN), "ORDER_IN_FLIGHT"),
    (close("1"), replace(VIEW, symbols=None), "AGENT_NOT_CONNECTED"),
    (close("1", side=Side.BUY), HOLDING, "WRONG_SIDE"),
    (close("1.01"), HOLDING, "VOLUME_ABOVE_POSITION"),
    (close("1", position=8), HOLDING, "FOREIGN_TICKET"),
    (change(Kind.CANCEL_ORDER, order_ticket=9), HOLDING, "FOREIGN_TICKET"),
    (change(Kind.MODIFY_POSITION, position=8), HOLDING, "FOREIGN_TICKET"),
    (change(Kind.MODIFY_POSITION, position=7, stop_loss=D(2), take_profit=D(1)), HOLDING, "STOPS_CROSSED"),
    (change(Kind.CLOSE_BY, position=7, opposite_position=8), VIEW, "HEDGING_ONLY"),
    # What is frozen, or may not be traded, is a symbol: a ticket is not to be named after another one.
    (close("1", symbol="XAUUSD"), HALTED, "WRONG_SYMBOL"),
    (change(Kind.CLOSE_BY, symbol="XAUUSD", position=99, opposite_position=7), HOLDING, "WRONG_SYMBOL"),
    (change(Kind.CANCEL_ORDER, symbol="XAUUSD", order_ticket=10), HOLDING, "WRONG_SYMBOL"),
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
    (pending(Kind.LIMIT, "1.1", stop_loss=D("1.0"), take_profit=D("1.2"), expires_unix_ms=1_001), VIEW),
    (pending(Kind.STOP_LIMIT, "1.2", limit_price=D("1.1"), take_profit=D("1.15")), VIEW),
    (wanting("1", Side.SELL), tradable(SymbolTradeMode.CLOSE_ONLY, held("1"))),
    (INTENT, tradable(SymbolTradeMode.LONG_ONLY)),
    (INTENT, replace(VIEW, markets={"EURUSD": Market(False, "Payrolls")})),
    # A whole position closes also where it is off the step, and of what the books do not know the terminal decides.
    (close("1.005"), HOLDING),
    (close("1", position=99), HOLDING),
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


@pytest.mark.parametrize("kind", sorted(set(Kind) - ENTRIES))
def test_what_makes_nothing_larger_passes_every_halt(kind: Kind) -> None:
    """The engine's, the agent's own, and a symbol that may not be traded any more."""
    tickets = {"position": 7} if "ORDER" not in kind else {"order_ticket": 10}
    intent = close("1") if kind is Kind.CLOSE else change(kind, **tickets)
    view = replace(tradable(SymbolTradeMode.DISABLED, HALTED), hedging=True)
    assert decide(intent, view) is None


def test_a_frozen_symbol_lets_stops_be_moved_and_orders_be_removed() -> None:
    """They deal on nothing."""
    frozen = held("1", open_orders=1, unknown=1)
    assert decide(change(Kind.MODIFY_POSITION, position=7, stop_loss=D("1.0")), frozen) is None
    assert decide(change(Kind.CANCEL_ORDER, order_ticket=10), frozen) is None


def test_reducing_looks_at_the_whole_account() -> None:
    """The terminal nets: two strategies' positions count as one."""
    both = (Exposure("EURUSD", "a", D(2), 0, 0), Exposure("EURUSD", "b", D(-1), 0, 0))
    view = replace(VIEW, exposures=both, trading_state=REDUCING)
    assert decide(wanting("1", Side.SELL), view) is None
    assert decide(wanting("1.5", Side.SELL), view) is not None
