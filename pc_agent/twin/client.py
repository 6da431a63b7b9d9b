"""The MetaTrader5 package, spoken to a twin terminal; scripts and workers take this module in its place.

Same names, argument rules, results and constants; `path` is the terminal's folder.
"""

from typing import Any, Literal

from pc_agent.twin import constants
from pc_agent.twin.constants import *  # noqa: F403
from pc_agent.twin.core import (
    account_info,
    copy_rates_from,
    copy_rates_from_pos,
    copy_rates_range,
    copy_ticks_from,
    copy_ticks_range,
    history_deals_get,
    history_deals_total,
    history_orders_get,
    history_orders_total,
    initialize,
    last_error,
    login,
    market_book_add,
    market_book_get,
    market_book_release,
    order_calc_margin,
    order_calc_profit,
    order_check,
    order_send,
    orders_get,
    orders_total,
    positions_get,
    positions_total,
    shutdown,
    symbol_info,
    symbol_info_tick,
    symbol_select,
    symbols_get,
    symbols_total,
    terminal_info,
    version,
)
from pc_agent.twin.structs import (
    AccountInfo,
    BookInfo,
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

__version__ = "5.0.6231"  # of the package that this one is shaped after
__all__ = [
    "AccountInfo", "BookInfo", "Buy", "Close", "OrderCheckResult", "OrderSendResult", "Sell", "SymbolInfo",
    "TerminalInfo", "Tick", "TradeDeal", "TradeOrder", "TradePosition", "TradeRequest",
    "account_info", "copy_rates_from", "copy_rates_from_pos", "copy_rates_range", "copy_ticks_from",
    "copy_ticks_range", "history_deals_get", "history_deals_total", "history_orders_get", "history_orders_total",
    "initialize", "last_error", "login", "market_book_add", "market_book_get", "market_book_release",
    "order_calc_margin", "order_calc_profit", "order_check", "order_send", "orders_get", "orders_total",
    "positions_get", "positions_total", "shutdown", "symbol_info", "symbol_info_tick", "symbol_select",
    "symbols_get", "symbols_total", "terminal_info", "version",
]  # fmt: skip
__all__ += [name for name in vars(constants) if name.isupper()]

_DEVIATION = 10
_TRIES = 10
_TRY_AGAIN = (constants.TRADE_RETCODE_REQUOTE, constants.TRADE_RETCODE_PRICE_OFF)


def Buy(
    symbol: str, volume: float, price: float | None = None, *, comment: str | None = None, ticket: int | None = None
) -> Any:
    """Buy at `price`, or at the ask, up to ten times while the price has moved on; `ticket` closes that position.

    Returns what order_send does. Raises AttributeError where the symbol has no quote, as the package does.
    """
    if price is not None:
        return _deal(constants.ORDER_TYPE_BUY, symbol, volume, price, comment, ticket)
    return _at_market(constants.ORDER_TYPE_BUY, symbol, volume, comment, ticket)


def Sell(
    symbol: str, volume: float, price: float | None = None, *, comment: str | None = None, ticket: int | None = None
) -> Any:
    """As Buy, at the bid."""
    if price is not None:
        return _deal(constants.ORDER_TYPE_SELL, symbol, volume, price, comment, ticket)
    return _at_market(constants.ORDER_TYPE_SELL, symbol, volume, comment, ticket)


def Close(symbol: str, *, comment: str | None = None, ticket: int | None = None) -> bool | Literal["Partially"] | None:
    """Close the positions of `symbol`, or the one of `ticket`: all, some or none of them; None: it was cut short.

    Raises TypeError where the positions can not be read, as the package does.
    """
    held: Any = positions_get(symbol=symbol) if ticket is None else positions_get(ticket=ticket)
    closed = []
    for position in held:
        buys = position.type == constants.POSITION_TYPE_BUY
        side = constants.ORDER_TYPE_SELL if buys else constants.ORDER_TYPE_BUY
        result = _at_market(side, symbol, position.volume, comment, position.ticket, unquoted_is_none=True)
        if result is None:
            return None
        closed.append(result.retcode == constants.TRADE_RETCODE_DONE)
    if not any(closed):
        return False
    return True if all(closed) else "Partially"


def _at_market(
    side: int, symbol: str, volume: float, comment: str | None, ticket: int | None, *, unquoted_is_none: bool = False
) -> Any:
    result = None
    for _ in range(_TRIES):
        tick: Any = symbol_info_tick(symbol)
        if tick is None and unquoted_is_none:
            return None
        price = tick.ask if side == constants.ORDER_TYPE_BUY else tick.bid
        result = _deal(side, symbol, volume, price, comment, ticket)
        if result is None or result.retcode not in _TRY_AGAIN:
            break
    return result


def _deal(side: int, symbol: str, volume: float, price: float, comment: str | None, ticket: int | None) -> Any:
    request: dict[str, Any] = {
        "action": constants.TRADE_ACTION_DEAL,
        "symbol": symbol,
        "volume": volume,
        "type": side,
        "price": price,
        "deviation": _DEVIATION,
    }
    if comment is not None:
        request["comment"] = comment
    if ticket is not None:
        request["position"] = ticket
    return order_send(request)
