"""The functions of the MetaTrader5 package, spoken to a twin terminal; a worker takes this module in its place.

Same names, argument rules, results and constants; `path` is the terminal's folder. As in the package there is one
connection a process, functions do not raise but return None or False and leave the reason in last_error(), and
they are to be called from one thread.
"""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np

from pc_agent.twin import arguments as rules
from pc_agent.twin.constants import *  # noqa: F403
from pc_agent.twin.domain.ticks import TICK_DTYPE, Ticks
from pc_agent.twin.link import Link
from pc_agent.twin.results import (
    AccountInfo,
    OrderCheckResult,
    OrderSendResult,
    SymbolInfo,
    TerminalInfo,
    Tick,
    TradeDeal,
    TradeOrder,
    TradePosition,
    TradeRequest,
)
from pc_agent.twin.wire import SUCCESS, TerminalError

__all__ = [
    "AccountInfo", "OrderCheckResult", "OrderSendResult", "SymbolInfo", "TerminalInfo", "Tick", "TradeDeal",
    "TradeOrder", "TradePosition", "TradeRequest",
    "account_info", "copy_ticks_from", "copy_ticks_range", "history_deals_get", "history_deals_total",
    "history_orders_get", "history_orders_total", "initialize", "last_error", "login", "order_check", "order_send",
    "orders_get", "orders_total", "positions_get", "positions_total", "shutdown", "symbol_info", "symbol_info_tick",
    "symbol_select", "symbols_get", "symbols_total", "terminal_info", "version",
]  # fmt: skip

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", None, bool)

_DEFAULT_TIMEOUT_MS = 60_000

_link = Link()
_last_error: tuple[int, str] = (0, "")


def _failing_with(failed: F) -> Callable[[Callable[P, T]], Callable[P, T | F]]:
    """Return `failed` where the function raises TerminalError; keep in last_error how it went."""

    def decorate(function: Callable[P, T]) -> Callable[P, T | F]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T | F:
            global _last_error
            try:
                result = function(*args, **kwargs)
            except TerminalError as error:
                _last_error = error.code, error.message
                return failed
            _last_error = SUCCESS
            return result

        return call

    return decorate


def last_error() -> tuple[int, str]:
    """Code and words of how the last call went; (0, "") before any."""
    return _last_error


@_failing_with(False)
def initialize(*args: object, **kwargs: object) -> bool:
    """initialize([path], [login=, password=, server=, timeout=milliseconds]): connect to the terminal in `path`."""
    path = args[0] if args else kwargs.get("path")
    if path is not None and not isinstance(path, str):
        raise rules.invalid("Invalid 1st unnamed argument") if args else rules.invalid_named("path")
    number = rules.optional_unsigned("initialize", "login", kwargs)
    password, server = rules.optional_text("password", kwargs), rules.optional_text("server", kwargs)
    timeout_ms = rules.optional_unsigned("initialize", "timeout", kwargs) or _DEFAULT_TIMEOUT_MS
    if path is None:
        raise TerminalError(RES_E_INTERNAL_FAIL_INIT, "IPC initialize failed, MetaTrader 5 x64 not found")  # noqa: F405
    _link.open(Path(path), timeout_ms / 1000)
    try:
        _link.ask("login", number, password, server)
    except TerminalError:
        _link.close()
        raise
    return True


@_failing_with(False)
def login(*args: object, **kwargs: object) -> bool:
    """login(login, [password=, server=, timeout=]): the terminal has one account, it can only be the same."""
    if len(args) == 1 and not isinstance(args[0], int):
        raise rules.invalid("Invalid 1st unnamed argument")
    if len(args) > 1 or (args and "login" in kwargs):
        raise rules.invalid_arguments()
    number = rules.unsigned("login", "login", args[0] if args else kwargs.get("login"))
    _link.ask("login", number, rules.optional_text("password", kwargs), rules.optional_text("server", kwargs))
    return True


@_failing_with(False)
def shutdown() -> bool:
    _link.close()
    return True


@_failing_with(None)
def version() -> tuple[int, int, str]:
    answer: tuple[int, int, str] = _link.ask("version")
    return answer


@_failing_with(None)
def terminal_info() -> TerminalInfo:
    answer: TerminalInfo = _link.ask("terminal_info")
    return answer


@_failing_with(None)
def account_info() -> AccountInfo:
    answer: AccountInfo = _link.ask("account_info")
    return answer


@_failing_with(None)
def symbols_total() -> int:
    answer: int = _link.ask("symbols_total")
    return answer


@_failing_with(None)
def symbols_get(*args: object, **kwargs: object) -> tuple[SymbolInfo, ...]:
    """symbols_get([group="*USD*,!EUR*"])"""
    rules.only_named(args)
    answer: tuple[SymbolInfo, ...] = _link.ask("symbols_get", rules.optional_text("group", kwargs))
    return answer


@_failing_with(None)
def symbol_info(*args: object) -> SymbolInfo:
    """symbol_info(symbol)"""
    answer: SymbolInfo = _link.ask("symbol_info", rules.symbol_of(args))
    return answer


@_failing_with(None)
def symbol_info_tick(*args: object) -> Tick:
    """symbol_info_tick(symbol)"""
    answer: Tick = _link.ask("symbol_info_tick", rules.symbol_of(args))
    return answer


@_failing_with(False)
def symbol_select(*args: object) -> bool:
    """symbol_select(symbol, [enable=True])"""
    symbol = rules.symbol_of(args[:1])
    if len(args) > 2 or not all(isinstance(enable, int) for enable in args[1:]):
        raise rules.invalid_arguments()
    return bool(_link.ask("symbol_select", symbol, bool(args[1]) if len(args) == 2 else True))


@_failing_with(None)
def copy_ticks_from(*args: object) -> Ticks:
    """copy_ticks_from(symbol, date_from, count, flags): dates are whole seconds."""
    if len(args) != 4:
        raise rules.invalid_arguments()
    symbol, since = rules.symbol_of(args[:1]), rules.seconds(args[1])
    count, flags = args[2:]
    if not isinstance(count, int) or not isinstance(flags, int) or count < 0:
        raise rules.exception_set("copy_ticks_from")
    return _ticks(_link.ask("copy_ticks_from", symbol, since, int(count), int(flags)))


@_failing_with(None)
def copy_ticks_range(*args: object) -> Ticks:
    """copy_ticks_range(symbol, date_from, date_to, flags): dates are whole seconds."""
    if len(args) != 4:
        raise rules.invalid_arguments()
    symbol, since, until = rules.symbol_of(args[:1]), rules.seconds(args[1]), rules.seconds(args[2])
    flags = args[3]
    if not isinstance(flags, int):
        raise rules.exception_set("copy_ticks_range")
    return _ticks(_link.ask("copy_ticks_range", symbol, since, until, int(flags)))


@_failing_with(None)
def order_check(*args: object, **kwargs: object) -> OrderCheckResult:
    """order_check(request)"""
    answer: OrderCheckResult = _link.ask("order_check", rules.trade_request("order_check", args, kwargs))
    return answer


@_failing_with(None)
def order_send(*args: object, **kwargs: object) -> OrderSendResult:
    """order_send(request)"""
    answer: OrderSendResult = _link.ask("order_send", rules.trade_request("order_send", args, kwargs))
    return answer


@_failing_with(None)
def positions_total() -> int:
    answer: int = _link.ask("positions_total")
    return answer


@_failing_with(None)
def positions_get(*args: object, **kwargs: object) -> tuple[TradePosition, ...]:
    """positions_get([symbol=], [group=], [ticket=])"""
    answer: tuple[TradePosition, ...] = _link.ask("positions_get", *_open_filter("positions_get", args, kwargs))
    return answer


@_failing_with(None)
def orders_total() -> int:
    answer: int = _link.ask("orders_total")
    return answer


@_failing_with(None)
def orders_get(*args: object, **kwargs: object) -> tuple[TradeOrder, ...]:
    """orders_get([symbol=], [group=], [ticket=])"""
    answer: tuple[TradeOrder, ...] = _link.ask("orders_get", *_open_filter("orders_get", args, kwargs))
    return answer


@_failing_with(None)
def history_orders_total(*args: object) -> int:
    """history_orders_total(date_from, date_to)"""
    answer: int = _link.ask("history_orders_total", *rules.two_dates(args))
    return answer


@_failing_with(None)
def history_orders_get(*args: object, **kwargs: object) -> tuple[TradeOrder, ...]:
    """history_orders_get(date_from, date_to, [group=]) or ([ticket=], [position=])"""
    wanted = _history_filter("history_orders_get", args, kwargs)
    answer: tuple[TradeOrder, ...] = _link.ask("history_orders_get", *wanted)
    return answer


@_failing_with(None)
def history_deals_total(*args: object) -> int:
    """history_deals_total(date_from, date_to)"""
    answer: int = _link.ask("history_deals_total", *rules.two_dates(args))
    return answer


@_failing_with(None)
def history_deals_get(*args: object, **kwargs: object) -> tuple[TradeDeal, ...]:
    """history_deals_get(date_from, date_to, [group=]) or ([ticket=order's], [position=])"""
    answer: tuple[TradeDeal, ...] = _link.ask("history_deals_get", *_history_filter("history_deals_get", args, kwargs))
    return answer


def _ticks(records: bytes) -> Ticks:
    return np.frombuffer(bytearray(records), TICK_DTYPE)  # a copy, so that the array can be written as the package's


def _open_filter(function: str, args: tuple[object, ...], named: dict[str, Any]) -> tuple[object, ...]:
    rules.only_named(args)
    symbol, group = rules.optional_text("symbol", named), rules.optional_text("group", named)
    return symbol, group, rules.optional_unsigned(function, "ticket", named)


def _history_filter(function: str, args: tuple[object, ...], named: dict[str, Any]) -> tuple[object, ...]:
    ticket = rules.optional_unsigned(function, "ticket", named)
    position = rules.optional_unsigned(function, "position", named)
    group = rules.optional_text("group", named)
    if args:
        return rules.two_dates(args), group, None, None
    if ticket is None and position is None:
        raise rules.invalid_arguments()
    return None, group, ticket, position
