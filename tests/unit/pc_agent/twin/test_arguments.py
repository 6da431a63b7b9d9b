"""The client refuses what the real package refuses, with its words: the table is what was observed of it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from pc_agent.twin import client as mt5

NO_IPC = (-10004, "No IPC connection")
VERSIONS = (-5, "Terminal: Incompatible versions, please install the latest version of Terminal and Python module")
NOT_FOUND = (-10003, "IPC initialize failed, MetaTrader 5 x64 not found")
INVALID = (-2, "Invalid arguments")
NOON = datetime(2025, 1, 2, 12)  # noqa: DTZ001 - the package takes naive times too
ORDER = {"action": 1, "symbol": "EURUSD", "volume": 0.1, "type": 0, "price": 1.1}


@pytest.fixture(autouse=True)
def _no_terminal() -> Iterator[None]:
    mt5.shutdown()
    yield
    mt5.shutdown()


def invalid(name: str) -> tuple[int, str]:
    return -2, f'Invalid "{name}" argument'


@pytest.mark.parametrize(
    ("call", "returned", "error"),
    [
        (lambda: mt5.initialize(), False, NOT_FOUND),
        (lambda: mt5.initialize(login="a"), False, invalid("login")),
        (lambda: mt5.initialize(timeout="x"), False, invalid("timeout")),
        (lambda: mt5.initialize(bogus=1), False, NOT_FOUND),
        (lambda: mt5.login(1), False, NO_IPC),
        (lambda: mt5.login("x"), False, (-2, "Invalid 1st unnamed argument")),
        (lambda: mt5.symbol_info_tick(), None, INVALID),
        (lambda: mt5.symbol_info_tick(5), None, INVALID),
        (lambda: mt5.symbol_select("EURUSD"), False, NO_IPC),
        (lambda: mt5.symbols_total(), None, VERSIONS),
        (lambda: mt5.symbols_get(), None, VERSIONS),
        (lambda: mt5.positions_get(), None, NO_IPC),
        (lambda: mt5.positions_get("EURUSD"), None, (-2, "Unnamed arguments not allowed")),
        (lambda: mt5.positions_get(ticket="x"), None, invalid("ticket")),
        (lambda: mt5.orders_total(), None, NO_IPC),
        (lambda: mt5.positions_total(), None, NO_IPC),
        (lambda: mt5.copy_ticks_from("EURUSD", NOON, 10, mt5.COPY_TICKS_ALL), None, NO_IPC),
        (lambda: mt5.copy_ticks_from("EURUSD", NOON.replace(tzinfo=UTC), 10, mt5.COPY_TICKS_ALL), None, NO_IPC),
        (lambda: mt5.copy_ticks_from("EURUSD", "noon", 10, mt5.COPY_TICKS_ALL), None, INVALID),
        (lambda: mt5.order_send(), None, (-2, "Invalid number of arguments")),
        (lambda: mt5.order_send(None), None, INVALID),
        (lambda: mt5.order_send(**ORDER), None, NO_IPC),
        (lambda: mt5.order_check(ORDER), None, NO_IPC),
        (lambda: mt5.history_deals_get(), None, INVALID),
        (lambda: mt5.history_deals_get(NOON, NOON), None, NO_IPC),
        (lambda: mt5.history_deals_get(ticket=1), None, NO_IPC),
        (lambda: mt5.terminal_info(), None, NO_IPC),
        (lambda: mt5.account_info(), None, NO_IPC),
    ],
)
def test_calls_are_checked_before_the_terminal_is_asked(
    call: Callable[[], object], returned: object, error: tuple[int, str]
) -> None:
    """Without a terminal a good call lacks a connection; a bad one is told what is wrong with it."""
    assert call() is returned
    assert mt5.last_error() == error


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("unknown", 1, NO_IPC),
        ("volume", 1, invalid("volume")),
        ("volume", "1", invalid("volume")),
        ("volume", None, invalid("volume")),
        ("volume", -1.0, NO_IPC),
        ("volume", float("nan"), NO_IPC),
        ("sl", None, invalid("sl")),
        ("sl", 0, invalid("sl")),
        ("sl", 0.0, NO_IPC),
        ("price", 1, invalid("price")),
        ("price", True, invalid("price")),
        ("price", 0.0, NO_IPC),
        ("price", np.float64(1.1), NO_IPC),
        ("magic", 1.0, invalid("magic")),
        ("magic", True, NO_IPC),
        ("magic", 2**63, NO_IPC),
        ("magic", 2**64 - 1, NO_IPC),
        ("position", 2**64 - 1, NO_IPC),
        ("deviation", 2**32, NO_IPC),
        ("comment", "x" * 29, NO_IPC),
        ("comment", "x" * 30, invalid("comment")),
        ("comment", b"x", invalid("comment")),
        ("symbol", "x" * 30, invalid("symbol")),
        ("expiration", 0, NO_IPC),
        ("expiration", NOON, invalid("expiration")),
        ("expiration", 1.5, invalid("expiration")),
        ("type", 99, NO_IPC),
        ("action", 99, NO_IPC),
        ("type_filling", "x", invalid("type_filling")),
    ],
)
def test_a_request_is_checked_field_by_field(field: str, value: object, error: tuple[int, str]) -> None:
    """Types are strict; values are the terminal's business."""
    assert mt5.order_send({**ORDER, field: value}) is None
    assert mt5.last_error() == error


@pytest.mark.parametrize("missing", ["action", "symbol", "volume", "type", "price"])
def test_a_field_that_is_missing_is_the_terminals_business(missing: str) -> None:
    """The client asks nothing of a request but its types."""
    assert mt5.order_send({name: value for name, value in ORDER.items() if name != missing}) is None
    assert mt5.last_error() == NO_IPC


@pytest.mark.parametrize("field", ["magic", "type", "position", "deviation"])
def test_a_negative_number_where_none_can_be_raises(field: str) -> None:
    """As an extension does that fails to convert it and goes on."""
    with pytest.raises(SystemError, match="<built-in function order_send> returned a result with an exception set"):
        mt5.order_send({**ORDER, field: -1})


@pytest.mark.parametrize("count", [-1, "x"])
def test_a_bad_count_raises(count: Any) -> None:
    """The same for the size of a page."""
    with pytest.raises(SystemError, match="<built-in function copy_ticks_from>"):
        mt5.copy_ticks_from("EURUSD", NOON, count, mt5.COPY_TICKS_ALL)


def test_functions_that_take_no_names_refuse_them() -> None:
    """They are positional only in the package."""
    with pytest.raises(TypeError):
        mt5.copy_ticks_from(symbol="EURUSD")  # type: ignore[call-arg]


def test_a_folder_without_a_terminal_is_said_so(tmp_path: Any) -> None:
    """As when terminal64.exe is not there."""
    assert mt5.initialize(path=str(tmp_path)) is False
    assert mt5.last_error() == (-10003, f"IPC initialize failed, Process create failed '{tmp_path}'")


def test_shutdown_succeeds_always() -> None:
    """Also when nothing was open."""
    assert mt5.shutdown() is True
    assert mt5.last_error() == (1, "Success")


def test_a_result_has_the_packages_fields() -> None:
    """In its order, and as a dict."""
    tick = mt5.Tick(1, 1.1, 1.2, 0.0, 0, 1000, 6, 0.0)
    assert list(tick._asdict()) == ["time", "bid", "ask", "last", "volume", "time_msc", "flags", "volume_real"]
    counts = {"AccountInfo": 28, "OrderSendResult": 11, "SymbolInfo": 96, "TradeDeal": 18, "TradePosition": 19}
    assert {name: len(getattr(mt5, name)._fields) for name in counts} == counts
