"""The client and a terminal that serves it: what the package hands out once it is connected."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest

from pc_agent.twin import client as mt5
from pc_agent.twin import control, core, results
from pc_agent.twin.domain.rates import RATES_DTYPE
from pc_agent.twin.domain.ticks import TICK_DTYPE
from pc_agent.twin.faults import Faults
from pc_agent.twin.listener import TerminalListener
from tests.support import eventually
from tests.unit.pc_agent.twin.conftest import OpenTerminal, Quotes

MINUTE = 60_000
DAY_S = 1_577_836_800
QUOTES: Quotes = [(ms, 1.1 + ms / 1e9, 1.1002 + ms / 1e9) for ms in range(0, 10 * MINUTE, 7_000)]
BUY = {"action": 1, "symbol": "EURUSD", "volume": 0.5, "type": 0, "type_filling": 1}


@pytest.fixture
def folder(open_terminal: OpenTerminal, replay: Callable[[str, Quotes], str], tmp_path: Path) -> Iterator[Path]:
    """A terminal that serves, on a hedging account."""
    terminal = open_terminal(
        replay("EURUSD", QUOTES), interference=Faults(), margin_mode=mt5.ACCOUNT_MARGIN_MODE_RETAIL_HEDGING
    )
    with TerminalListener(terminal, tmp_path):
        assert mt5.initialize(str(tmp_path), login=1, password="secret", server="test"), mt5.last_error()
        yield tmp_path
        mt5.shutdown()


def every_row() -> list[Any]:
    """One of each kind."""
    mt5.market_book_add("EURUSD")
    sent = mt5.order_send(BUY)
    mt5.order_send({**BUY, "action": 5, "type": 2, "price": 1.05, "type_filling": 2})
    return [
        mt5.account_info(), mt5.terminal_info(), mt5.symbol_info("EURUSD"), mt5.symbol_info_tick("EURUSD"),
        mt5.order_check(BUY), sent, sent.request, mt5.positions_get()[0], mt5.orders_get()[0],
        mt5.history_orders_get(0, 2**31 - 1)[0], mt5.history_deals_get(0, 2**31 - 1)[0],
        mt5.market_book_get("EURUSD")[0],
    ]  # fmt: skip


def test_rows_are_the_packages_own_with_values_of_its_types(folder: Path) -> None:
    """A struct of eleven kinds; a whole number where it has one, a switch where it has one."""
    kinds = set()
    for row in every_row():
        assert type(row) is getattr(mt5, type(row).__name__)
        kinds.add(type(row).__name__)
        for name, kind in get_type_hints(getattr(results, type(row).__name__)).items():
            value = getattr(row, name)
            assert type(value) is (mt5.TradeRequest if name == "request" else kind), (type(row).__name__, name, value)
    assert len(kinds) == 11
    assert mt5.last_error() == (1, "Success")


def test_ticks_and_bars_are_records_that_can_be_written_to(folder: Path) -> None:
    """Of the package's dtypes; bars by place, by a moment and between two."""
    ticks = mt5.copy_ticks_from("EURUSD", 0, 5, mt5.COPY_TICKS_ALL)
    assert ticks is not None
    assert (ticks.dtype, len(ticks)) == (TICK_DTYPE, 5)
    ticks["bid"] = 0.0
    m1 = mt5.TIMEFRAME_M1
    newest = mt5.copy_rates_from_pos("EURUSD", m1, 0, 3)
    assert newest is not None
    assert newest.dtype == RATES_DTYPE
    assert newest["time"].tolist() == [DAY_S + minute * 60 for minute in (7, 8, 9)]
    for same in (
        mt5.copy_rates_from("EURUSD", m1, DAY_S + 9 * 60 + 30, 3),
        mt5.copy_rates_range("EURUSD", m1, DAY_S + 7 * 60, DAY_S + 3600),
    ):
        assert np.array_equal(same, newest)
    newest["open"] = 0.0


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: mt5.copy_rates_from_pos("NONE", 1, 0, 3), (-4, "Terminal: Not found")),
        (lambda: mt5.copy_rates_from_pos("EURUSD", 7, 0, 3), (-2, "Terminal: Invalid params")),
        (lambda: mt5.copy_rates_from_pos("EURUSD", 1, -1, 3), (-2, "Terminal: Invalid params")),
        (lambda: mt5.copy_rates_from_pos("EURUSD", 1, 0, 100_000), (-2, "Terminal: Invalid params")),
        (lambda: mt5.copy_rates_from_pos("EURUSD", 1, 50, 3), (-1, "Terminal: Call failed")),
        (lambda: mt5.copy_rates_from("EURUSD", 1, 0, 0), (-2, "Terminal: Invalid params")),
        (lambda: mt5.copy_rates_range("EURUSD", 1, -5, 10), (-2, "Terminal: Invalid params")),
        (lambda: mt5.market_book_get("EURUSD"), (-1, "Terminal: Call failed")),
        (lambda: mt5.symbol_info("NONE"), (-4, "Terminal: Not found")),
    ],
)
def test_the_terminals_own_refusals(folder: Path, call: Callable[[], object], error: tuple[int, str]) -> None:
    """None, and why."""
    assert call() is None
    assert mt5.last_error() == error


def test_a_date_that_overflows_raises_after_the_terminal_was_asked(folder: Path) -> None:
    """As in the package: what the terminal said stands in last_error."""
    with pytest.raises(SystemError, match="<built-in function history_deals_total> returned a result"):
        mt5.history_deals_total(0, 2**31)
    assert mt5.last_error() == (1, "Success")
    assert mt5.history_deals_total(0, 2**31 - 1) == 1


def test_the_depth_of_market_is_open_between_add_and_release(folder: Path) -> None:
    """Offers above, bids below, the best in the middle; a second release has nothing to close."""
    assert mt5.market_book_add("NONE") is False
    assert mt5.market_book_add("EURUSD") is True
    book = mt5.market_book_get("EURUSD")
    tick = mt5.symbol_info_tick("EURUSD")
    assert [level.type for level in book] == [mt5.BOOK_TYPE_SELL] * 5 + [mt5.BOOK_TYPE_BUY] * 5
    assert [level.price for level in book] == sorted((level.price for level in book), reverse=True)
    assert (book[4].price, book[5].price) == (tick.ask, tick.bid)
    assert (book[0].volume, book[0].volume_dbl) == (50, 50.0)
    assert mt5.market_book_release("EURUSD") is True
    assert mt5.market_book_release("EURUSD") is False


def test_buy_sell_and_close_try_again_while_prices_move(folder: Path) -> None:
    """Ten times on a requote; Close says whether all, some or none of the positions are closed."""
    control.script_fault(folder, "requote", times=9)
    assert mt5.Buy("EURUSD", 0.1).retcode == mt5.TRADE_RETCODE_DONE
    control.script_fault(folder, "price-off", times=10)
    assert mt5.Sell("EURUSD", 0.1).retcode == mt5.TRADE_RETCODE_PRICE_OFF
    control.script_fault(folder, "requote")
    assert mt5.Sell("EURUSD", 0.2, 1.1, comment="once").retcode == mt5.TRADE_RETCODE_REQUOTE
    assert mt5.Sell("EURUSD", 0.2, 1.1, comment="once").request.comment == "once"
    assert (mt5.Close("GBPUSD"), mt5.positions_total()) == (False, 2)
    control.script_fault(folder, "reject")
    assert (mt5.Close("EURUSD"), mt5.positions_total()) == ("Partially", 1)
    control.script_fault(folder, "none")
    assert (mt5.Close("EURUSD"), mt5.positions_total()) == (None, 1)
    assert (mt5.Close("EURUSD", ticket=mt5.positions_get()[0].ticket), mt5.positions_total()) == (True, 0)


def test_what_is_done_to_the_terminal_is_seen_by_its_clients(folder: Path) -> None:
    """Switches, terms, a person's trades; a wrong word is refused with those that are known."""
    control.change_terminal(folder, trade_allowed=False, ping_us=90_000)
    assert (mt5.terminal_info().trade_allowed, mt5.terminal_info().ping_last) == (False, 90_000)
    assert mt5.order_send(BUY).retcode == mt5.TRADE_RETCODE_CLIENT_DISABLES_AT
    control.change_account(folder, trade_expert=False)
    assert mt5.account_info().trade_expert is False
    control.change_terms(folder, "EURUSD", trade_stops_level=25)
    assert mt5.symbol_info("EURUSD").trade_stops_level == control.symbol_terms(folder, "EURUSD")["trade_stops_level"]
    with pytest.raises(control.TwinRefusedError, match="known are"):
        control.change_terminal(folder, online=True)


def test_chances_can_be_set_while_it_runs(folder: Path) -> None:
    """And set anew; a wrong one is refused and the old ones stay."""
    control.set_faults(folder, "requote=1", latency_ms=1.0)
    assert mt5.order_send(BUY).retcode == mt5.TRADE_RETCODE_REQUOTE
    with pytest.raises(control.TwinRefusedError, match="no fault 'rain'"):
        control.set_faults(folder, "rain=1")
    assert mt5.order_send(BUY).retcode == mt5.TRADE_RETCODE_REQUOTE
    control.set_faults(folder)
    assert mt5.order_send(BUY).retcode == mt5.TRADE_RETCODE_DONE
    assert control.fault_counts(folder) == {"requote": 2}


def test_a_hand_closes_what_a_hand_opened(folder: Path) -> None:
    """In parts too; a ticket that is none is refused."""
    opened = control.trade_by_hand(folder, "EURUSD", "sell", 0.3)
    (position,) = mt5.positions_get(ticket=opened.order)
    assert (position.type, position.reason) == (mt5.POSITION_TYPE_SELL, mt5.POSITION_REASON_CLIENT)
    control.close_by_hand(folder, position.ticket, 0.1)
    assert mt5.positions_get()[0].volume == 0.2
    control.close_by_hand(folder, position.ticket)
    assert control.all_books(folder).positions == ()
    assert [deal.reason for deal in control.all_books(folder).deals] == [mt5.DEAL_REASON_CLIENT] * 4
    with pytest.raises(control.TwinRefusedError, match="no position 99"):
        control.close_by_hand(folder, 99)
    with pytest.raises(control.TwinRefusedError, match="Invalid volume"):
        control.trade_by_hand(folder, "EURUSD", "buy", 0.001)


async def test_a_call_that_hangs_times_out_at_the_client(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the package's error, and no connection after it."""
    assert mt5.initialize(str(folder), timeout=30_000)
    control.script_fault(folder, "executed-hang")
    assert core._link._timeout_s == 30
    monkeypatch.setattr(core._link, "_timeout_s", 0.1)  # the greeting has its time
    assert mt5.order_send(BUY) is None
    assert mt5.last_error() == (-10005, "IPC timeout")
    assert mt5.positions_get() is None
    assert mt5.last_error() == (-10004, "No IPC connection")
    await eventually(lambda: control.all_books(folder).positions)
    control.clear_faults(folder)
    assert mt5.initialize(str(folder))
    assert mt5.positions_total() == 1
