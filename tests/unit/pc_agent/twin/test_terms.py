"""What a broker allows, charges and takes back: sessions, modes, money, and the terminal's own switches."""

from collections.abc import Callable
from typing import Any

import pytest

from pc_agent.twin import constants as mt5
from pc_agent.twin.domain.interference import Fate, NoInterference
from pc_agent.twin.domain.terms import Terms
from pc_agent.twin.results import OrderSendResult, TradeRequest
from pc_agent.twin.terminal import Terminal
from pc_agent.twin.wire import TerminalError
from tests.unit.pc_agent.twin.trading import (
    BUY,
    DONE,
    HEDGING,
    PARTIAL,
    SELL,
    account,
    act,
    ask,
    deals,
    place,
    positions,
    request,
    send,
)

Open = Callable[..., Terminal]
Replay = Callable[..., str]
QUOTES = [(1000, 1.10000, 1.10010)]
DAY_S = 86_400


@pytest.fixture
def start(open_terminal: Open, replay: Replay) -> Callable[..., Terminal]:
    feed = replay("EURUSD", QUOTES)
    return lambda **more: open_terminal(feed, **more)


@pytest.mark.parametrize(
    ("mode", "opening", "retcode"),
    [
        (mt5.SYMBOL_TRADE_MODE_DISABLED, BUY, mt5.TRADE_RETCODE_TRADE_DISABLED),
        (mt5.SYMBOL_TRADE_MODE_CLOSEONLY, BUY, mt5.TRADE_RETCODE_CLOSE_ONLY),
        (mt5.SYMBOL_TRADE_MODE_LONGONLY, SELL, mt5.TRADE_RETCODE_LONG_ONLY),
        (mt5.SYMBOL_TRADE_MODE_SHORTONLY, BUY, mt5.TRADE_RETCODE_SHORT_ONLY),
        (mt5.SYMBOL_TRADE_MODE_FULL, SELL, DONE),
    ],
)
def test_a_trade_mode_refuses_what_opens(start: Callable[..., Terminal], mode: int, opening: int, retcode: int) -> None:
    """And closing stays allowed unless nothing is."""
    terminal = start(margin_mode=HEDGING)
    held = send(terminal, opening).order
    ask(terminal, "change_terms", "EURUSD", {"trade_mode": mode})
    assert ask(terminal, "symbol_info", "EURUSD").trade_mode == mode
    assert send(terminal, opening).retcode == retcode
    closes = send(terminal, SELL if opening == BUY else BUY, position=held).retcode
    assert closes == (retcode if mode == mt5.SYMBOL_TRADE_MODE_DISABLED else DONE)


def test_outside_its_sessions_a_symbol_is_closed(start: Callable[..., Terminal], hand: Any) -> None:
    """By the trade server's clock; a test can ask what the terms are and whether it is open."""
    terminal = start(terms=Terms(sessions="wed 00:00-00:30"))  # the first of 2020 was a Wednesday
    ticket = send(terminal, BUY).order
    assert ask(terminal, "symbol_terms", "EURUSD")["is_open"]
    hand.now_ms += 30 * 60 * 1000
    closed = mt5.TRADE_RETCODE_MARKET_CLOSED
    assert send(terminal, BUY).retcode == closed
    assert ask(terminal, "order_check", request(type=BUY, volume=0.1)).retcode == closed
    assert act(terminal, mt5.TRADE_ACTION_SLTP, position=ticket, sl=1.0) == closed
    terms = ask(terminal, "symbol_terms", "EURUSD")
    assert (terms["is_open"], terms["sessions"]) == (False, "wed 00:00-00:30")
    ask(terminal, "change_terms", "EURUSD", {"sessions": ""})
    assert send(terminal, BUY).retcode == DONE


def test_only_instant_execution_requotes(start: Callable[..., Terminal]) -> None:
    """A price further from the market's than the deviation; in market execution the price is not looked at."""
    terminal = start()
    assert send(terminal, BUY, price=1.0).retcode == DONE
    ask(terminal, "change_terms", "EURUSD", {"trade_exemode": mt5.SYMBOL_TRADE_EXECUTION_INSTANT})
    result = send(terminal, BUY, price=1.09990, deviation=19)
    assert (result.retcode, result.bid, result.ask) == (mt5.TRADE_RETCODE_REQUOTE, 1.1, 1.1001)
    assert send(terminal, BUY, price=1.09990, deviation=20).retcode == DONE
    assert send(terminal, BUY).retcode == mt5.TRADE_RETCODE_INVALID_PRICE


def test_some_symbols_are_for_real_accounts(start: Callable[..., Terminal]) -> None:
    """The account says what it is."""
    terminal = start(terms=Terms(only_real=True), trade_mode=mt5.ACCOUNT_TRADE_MODE_DEMO)
    assert send(terminal, BUY).retcode == mt5.TRADE_RETCODE_ONLY_REAL
    terminal = start(terms=Terms(only_real=True), trade_mode=mt5.ACCOUNT_TRADE_MODE_REAL)
    assert account(terminal).trade_mode == mt5.ACCOUNT_TRADE_MODE_REAL
    assert send(terminal, BUY).retcode == DONE


@pytest.mark.parametrize(
    ("function", "changes", "retcode"),
    [
        ("change_terminal", {"trade_allowed": False}, mt5.TRADE_RETCODE_CLIENT_DISABLES_AT),
        ("change_terminal", {"connected": False}, mt5.TRADE_RETCODE_CONNECTION),
        ("change_account", {"trade_expert": False}, mt5.TRADE_RETCODE_SERVER_DISABLES_AT),
        ("change_account", {"trade_allowed": False}, mt5.TRADE_RETCODE_TRADE_DISABLED),
    ],
)
def test_a_switch_that_is_off_is_shown_and_refuses(
    start: Callable[..., Terminal], function: str, changes: dict[str, bool], retcode: int
) -> None:
    """In terminal_info or account_info."""
    terminal = start()
    ask(terminal, function, changes)
    info = ask(terminal, "terminal_info" if function == "change_terminal" else "account_info")
    assert {name: getattr(info, name) for name in changes} == changes
    assert send(terminal, BUY).retcode == retcode
    assert deals(terminal) == []


def test_a_terminal_that_disables_the_api_fails_the_call(start: Callable[..., Terminal]) -> None:
    """With the package's own words."""
    terminal = start()
    ask(terminal, "change_terminal", {"tradeapi_disabled": True})
    failure = terminal.handle("order_send", (request(type=BUY, volume=0.1),))
    assert failure == (-8, "Auto-Trading using Python API disabled in Terminal", None)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("change_terms", ("EURUSD", {"spread": 3})),
        ("change_terms", ("NONE", {"liquidity": 3.0})),
        ("change_terms", ("EURUSD", {"sessions": "always"})),
        ("change_terms", ("EURUSD", {"swap_mode": mt5.SYMBOL_SWAP_MODE_REOPEN_BID})),
        ("change_terms", ("EURUSD", {"volume_step": 0.0})),
        ("change_terms", ("EURUSD", {"liquidity": -1.0})),
        ("change_terms", ("EURUSD", {"liquidity": "much"})),
        ("change_terminal", ({"colour": 1},)),
        ("change_account", ({"balance": 1},)),
    ],
)
def test_what_can_not_be_changed_is_said(start: Callable[..., Terminal], function: str, arguments: Any) -> None:
    """Nothing is half changed."""
    assert start().handle(function, arguments)[0] == mt5.RES_E_INVALID_PARAMS


def test_too_many_requests_in_a_second_are_refused(start: Callable[..., Terminal], hand: Any) -> None:
    """Those of the second before count no more."""
    terminal = start(requests_per_s=2)
    codes = [send(terminal, BUY).retcode for _ in range(3)]
    assert codes == [DONE, DONE, mt5.TRADE_RETCODE_TOO_MANY_REQUESTS]
    hand.now_ms += 1000
    assert send(terminal, BUY).retcode == DONE


def test_commission_is_charged_for_every_lot_of_every_deal(start: Callable[..., Terminal]) -> None:
    """And stands in the deal."""
    terminal = start(terms=Terms(commission=3.5))
    send(terminal, BUY, 2.0)
    send(terminal, SELL, 0.5)
    assert [deal.commission for deal in deals(terminal)] == [-7.0, -1.75]
    assert account(terminal).balance == 100_000.0 - 8.75 - 5.0


def test_swaps_are_charged_at_midnight(start: Callable[..., Terminal], hand: Any) -> None:
    """Three nights on Wednesday, none at the weekend, once however often it is looked at; closing pays them out."""
    terms = Terms(swap_long=-5.0, swap_short=2.0)
    terminal = start(terms=terms, margin_mode=HEDGING)
    bought, sold = send(terminal, BUY, 1.0), send(terminal, SELL, 0.5)
    swaps = []
    for _ in range(7):  # from Wednesday to Wednesday
        hand.now_ms += DAY_S * 1000
        terminal.pulse()
        terminal.pulse()
        swaps.append([position.swap for position in positions(terminal)])
    assert swaps == [[-5.0 * n, 1.0 * n] for n in (3, 4, 5, 5, 5, 6, 7)]
    assert account(terminal).profit == pytest.approx(-10.0 - 5.0 - 35.0 + 7.0)
    send(terminal, SELL, 0.4, position=bought.order)
    assert (deals(terminal)[-1].swap, positions(terminal)[0].swap) == (-14.0, -21.0)
    send(terminal, BUY, 0.5, position=sold.order)
    assert deals(terminal)[-1].swap == 7.0


def test_nights_that_passed_while_it_was_down_are_charged(start: Callable[..., Terminal], hand: Any) -> None:
    """When it is back, at once and only once."""
    terms = Terms(swap_long=-5.0)
    terminal = start(terms=terms)
    send(terminal, BUY, 1.0)
    hand.now_ms += 2 * DAY_S * 1000
    for _ in range(2):
        terminal = start(terms=terms)
        assert positions(terminal)[0].swap == -20.0


@pytest.mark.parametrize(
    ("side", "bids"),
    [(BUY, [1.1000, 1.0950, 1.0930, 1.0929]), (SELL, [1.1000, 1.1050, 1.1070, 1.1071])],
)
def test_a_margin_level_under_the_stop_out_closes_what_lost_most(
    open_terminal: Open, replay: Replay, hand: Any, side: int, bids: list[float]
) -> None:
    """At the tick that broke it, whichever way it was held."""
    quotes = [(1000 + place, bid, bid + 0.0001) for place, bid in enumerate(bids)]
    terminal = open_terminal(
        replay("EURUSD", quotes), speed="1", deposit=1600.0, margin_mode=HEDGING, margin_call=100.0, stop_out=70.0
    )
    hand.now_ms += 1
    small, large = send(terminal, side, 0.4), send(terminal, side, 1.0)
    assert account(terminal).margin_level == pytest.approx(1586 / 1540 * 100, rel=1e-3)
    assert (account(terminal).margin_so_call, account(terminal).margin_so_so) == (100.0, 70.0)
    hand.now_ms += 10_000
    terminal.pulse()
    last = deals(terminal)[-1]
    price = bids[1] if side == BUY else bids[1] + 0.0001
    assert (last.position_id, last.reason) == (large.order, mt5.DEAL_REASON_SO)
    assert last.price == pytest.approx(price)
    assert last.comment.startswith("[so 70.00%")
    assert [position.ticket for position in positions(terminal)] == [small.order]


@pytest.mark.parametrize(("deposit", "count"), [(5200.0, 0), (5000.0, 1), (4700.0, 2)])
def test_a_stop_out_goes_on_until_the_level_is_above_again(
    open_terminal: Open, replay: Replay, hand: Any, deposit: float, count: int
) -> None:
    """All at one tick, the largest loss first; what other symbols hold counts."""
    gap = [(1000, 1.1000, 1.1001), (2000, 1.0500, 1.0501), (3000, 1.2000, 1.2001)]
    yen = [(1000, 150.00, 150.01), (1001, 150.00, 150.01)]
    feeds = replay("EURUSD", gap), replay("USDJPY", yen)
    terminal = open_terminal(*feeds, speed="1", deposit=deposit, margin_mode=HEDGING, stop_out=50.0)
    hand.now_ms += 1
    kept = send(terminal, BUY, 0.1, symbol="USDJPY").order
    first, second = send(terminal, BUY, 0.5).order, send(terminal, BUY, 0.4).order
    hand.now_ms += 5000
    terminal.pulse()
    closed = [(deal.position_id, deal.price) for deal in deals(terminal) if deal.reason == mt5.DEAL_REASON_SO]
    assert closed == [(first, 1.05), (second, 1.05)][:count]
    assert [position.ticket for position in positions(terminal)] == [kept, *[first, second][count:]]


def test_commission_has_to_be_paid_too(start: Callable[..., Terminal]) -> None:
    """An order that would leave no money for it is refused."""
    terminal = start(deposit=1103.0, terms=Terms(commission=3.5))
    assert send(terminal, BUY, 1.0).retcode == mt5.TRADE_RETCODE_NO_MONEY
    ask(terminal, "change_terms", "EURUSD", {"commission": 3.4})
    assert send(terminal, BUY, 1.0).retcode == mt5.TRADE_RETCODE_NO_MONEY
    ask(terminal, "change_terms", "EURUSD", {"commission": 1.0})
    assert send(terminal, BUY, 1.0).retcode == DONE


@pytest.mark.parametrize(
    ("symbol", "price", "margin", "profit"),
    [
        ("EURUSD", 1.2, 1200.0, 1000.0),  # forex, quoted in the account's currency
        ("USDJPY", 150.0, 1000.0, 100_000 * 0.01 / 150.01),  # forex, based on it
        ("XAUUSD", 2000.0, 2000.0, 1.0),  # a metal: a CFD with leverage, a hundred ounces
        ("SPX", 5000.0, 50.0, 0.01),  # anything else: one unit
    ],
)
def test_margin_and_profit_are_those_of_the_documents(
    open_terminal: Open, replay: Replay, symbol: str, price: float, margin: float, profit: float
) -> None:
    """Of one lot at a leverage of 100, and of one hundredth of price."""
    at = {"USDJPY": 150.0}.get(symbol, price)
    terminal = open_terminal(replay(symbol, [(1000, at, at + 0.01)]))
    assert ask(terminal, "order_calc_margin", BUY, symbol, 1.0, price) == pytest.approx(margin, abs=0.01)
    assert ask(terminal, "order_calc_profit", BUY, symbol, 1.0, price, price + 0.01) == pytest.approx(profit, abs=0.01)
    assert ask(terminal, "order_calc_profit", SELL, symbol, 1.0, price, price + 0.01) == pytest.approx(
        -profit, abs=0.01
    )
    assert terminal.handle("order_calc_margin", (BUY, "NONE", 1.0, price))[0] == mt5.RES_E_NOT_FOUND
    assert terminal.handle("order_calc_margin", (BUY, symbol, 0.0, price))[0] == mt5.RES_E_INVALID_PARAMS


def test_a_broker_may_append_to_its_symbols_names(open_terminal: Open, replay: Replay) -> None:
    """Everything in the terminal bears the name with the suffix, and nothing else is known."""
    feeds = replay("EURUSD", QUOTES), replay("USDJPY", [(1000, 150.0, 150.01)])
    terminal = open_terminal(*feeds, suffix=".r")
    assert [info.name for info in ask(terminal, "symbols_get", None)] == ["EURUSD.r", "USDJPY.r"]
    assert send(terminal, BUY).retcode == mt5.TRADE_RETCODE_INVALID
    assert send(terminal, BUY, symbol="USDJPY.r").retcode == DONE
    info = ask(terminal, "symbol_info", "USDJPY.r")
    assert (info.currency_base, info.currency_profit, info.currency_margin) == ("USD", "JPY", "USD")
    assert account(terminal).margin == pytest.approx(100.0)
    terminal = open_terminal(*feeds, suffix=".r")
    assert [position.symbol for position in positions(terminal)] == ["USDJPY.r"]


class Hand(NoInterference):
    """Does what the test says, and notes when it was asked."""

    def __init__(self) -> None:
        self.fate = Fate()
        self.silent = False
        self.asked: list[str] = []

    def before_call(self, function: str) -> None:
        self.asked.append(function)

    def before_order(self, request: TradeRequest) -> Fate:
        return self.fate

    def after_order(self, request: TradeRequest, result: OrderSendResult) -> OrderSendResult:
        if self.silent:
            raise TerminalError(mt5.RES_E_INTERNAL_FAIL_TIMEOUT, "IPC timeout")
        return result._replace(comment=result.comment.upper())


def test_what_comes_between_client_and_broker(start: Callable[..., Terminal]) -> None:
    """A refusal prevents, a slipped price and a thin market are dealt at, a lost answer undoes nothing."""
    interference = Hand()
    terminal = start(interference=interference)
    interference.fate = Fate(retcode=mt5.TRADE_RETCODE_REQUOTE)
    assert (send(terminal, BUY).retcode, deals(terminal)) == (mt5.TRADE_RETCODE_REQUOTE, [])
    interference.fate = Fate(slippage_points=3, liquidity=0.04)
    result = send(terminal, BUY, 0.1, type_filling=mt5.ORDER_FILLING_IOC)
    assert (result.retcode, result.volume, result.price) == (PARTIAL, 0.04, 1.10013)
    assert result.comment == "REQUEST EXECUTED PARTIALLY"
    interference.fate, interference.silent = Fate(), True
    assert terminal.handle("order_send", (request(type=SELL, volume=0.1),)) == (-10005, "IPC timeout", None)
    assert deals(terminal)[-1].type == SELL
    assert "order_send" in interference.asked


def test_terms_are_seen_in_the_symbols_facts(start: Callable[..., Terminal]) -> None:
    """Each field of SymbolInfo that is a term."""
    terms = Terms(
        trade_stops_level=7, trade_freeze_level=3, volume_min=0.1, volume_max=5.0, volume_step=0.1, volume_limit=9.0,
        filling_mode=1, expiration_mode=3, swap_long=-1.5, swap_short=0.5, swap_rollover3days=5, margin_hedged=0.0,
        margin_hedged_use_leg=True, trade_exemode=mt5.SYMBOL_TRADE_EXECUTION_EXCHANGE,
    )  # fmt: skip
    info = ask(start(terms=terms), "symbol_info", "EURUSD")
    unseen = {"commission", "liquidity", "sessions", "only_real", "order_mode"}
    for name in set(Terms.__dataclass_fields__) - unseen:
        assert getattr(info, name) == getattr(terms, name), name
    assert (info.digits, info.point, info.trade_tick_size, info.spread) == (5, 1e-5, 1e-5, 10)
    assert info.ticks_bookdepth == 5
    assert (info.trade_contract_size, info.trade_tick_value) == (100_000.0, 1.0)


def test_a_pending_order_is_refused_where_the_symbol_has_none(start: Callable[..., Terminal]) -> None:
    """By kind, in SymbolInfo.order_mode."""
    terminal = start(terms=Terms(order_mode=1 | 2))
    assert place(terminal, mt5.ORDER_TYPE_BUY_STOP, 1.2).retcode == mt5.TRADE_RETCODE_INVALID_ORDER
    assert place(terminal, mt5.ORDER_TYPE_BUY_LIMIT, 1.05).retcode == DONE
    assert send(terminal, BUY, sl=1.05).retcode == mt5.TRADE_RETCODE_INVALID_STOPS
