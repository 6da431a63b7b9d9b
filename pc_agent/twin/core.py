"""The 32 functions of the MetaTrader5 package that are C there, spoken to a twin terminal.

Argument rules, results and errors are the package's. There is one connection a process, functions do not raise but
return None or False and leave the reason in last_error(), and they are to be called from one thread.
"""

from pathlib import Path
from typing import Any

import numpy as np

from pc_agent.twin import arguments as rules
from pc_agent.twin.calling import Calls, takes_no_arguments
from pc_agent.twin.constants import RES_E_INTERNAL_FAIL_INIT
from pc_agent.twin.domain.rates import RATES_DTYPE, Rates
from pc_agent.twin.domain.ticks import TICK_DTYPE, Ticks
from pc_agent.twin.link import Link
from pc_agent.twin.structs import as_struct
from pc_agent.twin.wire import TerminalError

_DEFAULT_TIMEOUT_MS = 60_000
_NOT_INSTALLED = (RES_E_INTERNAL_FAIL_INIT, "IPC initialize failed, MetaTrader 5 x64 not found")

_link = Link()
_calls = Calls()


def last_error(*args: object, **named: object) -> tuple[int, str]:
    """Code and words of how the last call went; (0, "") before any."""
    takes_no_arguments("last_error", args, named)
    return _calls.last_error


# The session


@_calls.named(False)
def initialize(*args: object, **named: object) -> bool:
    """initialize([path], [login=, password=, server=, timeout=milliseconds]): connect to the terminal in `path`."""
    rules.at_most(1, args)
    path = rules.unnamed_text(0, args, rules.MAX_PATH)
    number = rules.unsigned("login", named)
    server, password = (rules.text(name, named, rules.MAX_SECRET) for name in ("server", "password"))
    timeout_ms = rules.unsigned("timeout", named, 32) or _DEFAULT_TIMEOUT_MS
    path = rules.text("path", named, rules.MAX_PATH) or path
    if not path:
        raise TerminalError(*_NOT_INSTALLED)
    _link.open(Path(path), timeout_ms / 1000)
    try:
        _link.ask("login", number, password, server)
    except TerminalError:
        _link.close()
        raise
    return True


@_calls.named(False)
def login(*args: object, **named: object) -> bool:
    """login(login, [password=, server=, timeout=]): the terminal has one account, it can only be the same."""
    rules.at_most(3, args)
    number = rules.unnamed_unsigned(0, args)
    password, server = (rules.unnamed_text(place, args, rules.MAX_SECRET) for place in (1, 2))
    given = rules.unsigned("login", named)
    server = rules.text("server", named, rules.MAX_SECRET) or server
    password = rules.text("password", named, rules.MAX_SECRET) or password
    rules.unsigned("timeout", named, 32)
    number = number if given is None else given
    if number is None:
        raise rules.invalid_named("login")
    _link.ask("login", number, password, server)
    return True


@_calls.alone(False)
def shutdown() -> bool:
    """Succeeds always."""
    _link.close()
    return True


@_calls.alone((0, 0, ""))
def version() -> Any:
    """Version, build and date of the terminal; zeros where there is none."""
    return _link.ask("version")


@_calls.alone(None)
def terminal_info() -> Any:
    return as_struct(_link.ask("terminal_info"))


@_calls.alone(None)
def account_info() -> Any:
    return as_struct(_link.ask("account_info"))


# Symbols


@_calls.alone(None)
def symbols_total() -> Any:
    return _link.ask("symbols_total")


@_calls.named_false_if_refused(None)
def symbols_get(*args: object, **named: object) -> Any:
    """symbols_get([group="*USD*,!EUR*"])"""
    rules.at_most(1, args)
    group = rules.unnamed_text(0, args)
    return _rows("symbols_get", rules.text("group", named) or group)


@_calls.placed(None)
def symbol_info(*args: object) -> Any:
    """symbol_info(symbol)"""
    return as_struct(_link.ask("symbol_info", rules.symbol_of(args)))


@_calls.placed(None)
def symbol_info_tick(*args: object) -> Any:
    """symbol_info_tick(symbol)"""
    return as_struct(_link.ask("symbol_info_tick", rules.symbol_of(args)))


@_calls.placed(False)
def symbol_select(*args: object) -> bool:
    """symbol_select(symbol, [enable=True])"""
    if len(args) == 2:
        return bool(_link.ask("symbol_select", rules.symbol(args[0]), bool(args[1])))
    return bool(_link.ask("symbol_select", rules.symbol_of(args), True))


@_calls.placed(None)
def market_book_add(*args: object) -> bool:
    """market_book_add(symbol): False where it can not be had; the package does not say why."""
    return _done("market_book_add", rules.symbol_of(args))


@_calls.placed(None)
def market_book_release(*args: object) -> bool:
    """market_book_release(symbol): False where it was not open; the package does not say why."""
    return _done("market_book_release", rules.symbol_of(args))


@_calls.placed(None)
def market_book_get(*args: object) -> Any:
    """market_book_get(symbol)"""
    return _rows("market_book_get", rules.symbol_of(args))


# Ticks and bars: dates are whole seconds


@_calls.placed(None)
def copy_ticks_from(*args: object) -> Ticks:
    """copy_ticks_from(symbol, date_from, count, flags)"""
    rules.exactly(4, args)
    count, flags = rules.int32(args[2]), rules.int32(args[3])
    return _records("copy_ticks_from", TICK_DTYPE, rules.symbol(args[0]), rules.seconds(args[1]), count, flags)


@_calls.placed(None)
def copy_ticks_range(*args: object) -> Ticks:
    """copy_ticks_range(symbol, date_from, date_to, flags)"""
    rules.exactly(4, args)
    flags = rules.int32(args[3])
    symbol, since, until = rules.symbol(args[0]), rules.seconds(args[1]), rules.seconds(args[2])
    return _records("copy_ticks_range", TICK_DTYPE, symbol, since, until, flags)


@_calls.placed(None)
def copy_rates_from(*args: object) -> Rates:
    """copy_rates_from(symbol, timeframe, date_from, count): the bars up to the one of that moment."""
    rules.exactly(4, args)
    timeframe, count = rules.int32(args[1]), rules.int32(args[3])
    return _records("copy_rates_from", RATES_DTYPE, rules.symbol(args[0]), timeframe, rules.seconds(args[2]), count)


@_calls.placed(None)
def copy_rates_from_pos(*args: object) -> Rates:
    """copy_rates_from_pos(symbol, timeframe, start_pos, count): 0 is the bar that is forming."""
    rules.exactly(4, args)
    timeframe, start, count = (rules.int32(value) for value in args[1:])
    return _records("copy_rates_from_pos", RATES_DTYPE, rules.symbol(args[0]), timeframe, start, count)


@_calls.placed(None)
def copy_rates_range(*args: object) -> Rates:
    """copy_rates_range(symbol, timeframe, date_from, date_to): the bars that open from then to then."""
    rules.exactly(4, args)
    timeframe = rules.int32(args[1])
    symbol, since, until = rules.symbol(args[0]), rules.seconds(args[2]), rules.seconds(args[3])
    return _records("copy_rates_range", RATES_DTYPE, symbol, timeframe, since, until)


# Trading


@_calls.named(None)
def order_check(*args: object, **named: object) -> Any:
    """order_check(request)"""
    return as_struct(_link.ask("order_check", rules.trade_request(args, named)))


@_calls.named(None)
def order_send(*args: object, **named: object) -> Any:
    """order_send(request)"""
    return as_struct(_link.ask("order_send", rules.trade_request(args, named)))


@_calls.placed(None)
def order_calc_margin(*args: object) -> Any:
    """order_calc_margin(action, symbol, volume, price): money in the account's currency."""
    rules.exactly(4, args)
    action, volume, price = rules.int32_masked(args[0]), rules.double(args[2]), rules.double(args[3])
    return _link.ask("order_calc_margin", action, rules.symbol(args[1]), volume, price)


@_calls.placed(None)
def order_calc_profit(*args: object) -> Any:
    """order_calc_profit(action, symbol, volume, price_open, price_close): money in the account's currency."""
    rules.exactly(5, args)
    action, (volume, opened_at, closed_at) = rules.int32_masked(args[0]), (rules.double(value) for value in args[2:])
    return _link.ask("order_calc_profit", action, rules.symbol(args[1]), volume, opened_at, closed_at)


@_calls.alone(None)
def positions_total() -> Any:
    return _link.ask("positions_total")


@_calls.named(None)
def positions_get(*args: object, **named: object) -> Any:
    """positions_get([symbol=], [group=], [ticket=])"""
    return _rows("positions_get", *_open_filter(args, named))


@_calls.alone(None)
def orders_total() -> Any:
    return _link.ask("orders_total")


@_calls.named(None)
def orders_get(*args: object, **named: object) -> Any:
    """orders_get([symbol=], [group=], [ticket=])"""
    return _rows("orders_get", *_open_filter(args, named))


@_calls.placed(None)
def history_orders_total(*args: object) -> Any:
    """history_orders_total(date_from, date_to)"""
    return _link.ask("history_orders_total", *rules.two_dates(args))


@_calls.named(None)
def history_orders_get(*args: object, **named: object) -> Any:
    """history_orders_get(date_from, date_to, [group=]) or (ticket=) or (position=)"""
    return _rows("history_orders_get", *_history_filter(args, named))


@_calls.placed(None)
def history_deals_total(*args: object) -> Any:
    """history_deals_total(date_from, date_to)"""
    return _link.ask("history_deals_total", *rules.two_dates(args))


@_calls.named(None)
def history_deals_get(*args: object, **named: object) -> Any:
    """history_deals_get(date_from, date_to, [group=]) or (ticket=, the order's) or (position=)"""
    return _rows("history_deals_get", *_history_filter(args, named))


def _open_filter(args: tuple[object, ...], named: dict[str, object]) -> tuple[object, ...]:
    rules.only_named(args)
    ticket = rules.unsigned("ticket", named)
    return rules.text("symbol", named, rules.MAX_TEXT), rules.text("group", named), ticket


def _history_filter(args: tuple[object, ...], named: dict[str, object]) -> tuple[object, ...]:
    """Dates and group; or else a ticket; or else a position: what is not asked for first is not looked at."""
    if args:
        if len(args) == 1 and ("ticket" in named or "position" in named):
            raise rules.invalid("Unnamed arguments not allowed")
        return rules.two_dates(args), rules.text("group", named), None, None
    ticket = rules.unsigned("ticket", named)
    if ticket is not None:
        return None, None, ticket, None
    position = rules.unsigned("position", named)
    if position is None:
        raise rules.invalid_arguments()
    return None, None, None, position


def _rows(function: str, *arguments: object) -> tuple[Any, ...]:
    return tuple(as_struct(row) for row in _link.ask(function, *arguments))


def _records(function: str, dtype: np.dtype[Any], *arguments: object) -> np.ndarray[Any, Any]:
    # A copy, so that the array can be written as the package's.
    return np.frombuffer(bytearray(_link.ask(function, *arguments)), dtype)


def _done(function: str, *arguments: object) -> bool:
    try:
        return bool(_link.ask(function, *arguments))
    except TerminalError:
        return False
