"""Asking a terminal of this process, and what the tests of its broker ask most."""

from typing import Any

from pc_agent.twin import constants as mt5
from pc_agent.twin.results import AccountInfo, OrderSendResult, TradeDeal, TradeOrder, TradePosition, TradeRequest
from pc_agent.twin.terminal import Terminal

BUY, SELL = mt5.ORDER_TYPE_BUY, mt5.ORDER_TYPE_SELL
LIMIT_BUY, LIMIT_SELL = mt5.ORDER_TYPE_BUY_LIMIT, mt5.ORDER_TYPE_SELL_LIMIT
STOP_BUY, STOP_SELL = mt5.ORDER_TYPE_BUY_STOP, mt5.ORDER_TYPE_SELL_STOP
STOP_LIMIT_BUY, STOP_LIMIT_SELL = mt5.ORDER_TYPE_BUY_STOP_LIMIT, mt5.ORDER_TYPE_SELL_STOP_LIMIT
DONE, PARTIAL = mt5.TRADE_RETCODE_DONE, mt5.TRADE_RETCODE_DONE_PARTIAL
HEDGING = mt5.ACCOUNT_MARGIN_MODE_RETAIL_HEDGING
RETURN, IOC = mt5.ORDER_FILLING_RETURN, mt5.ORDER_FILLING_IOC
EXCHANGE = mt5.SYMBOL_TRADE_EXECUTION_EXCHANGE


def ask(terminal: Terminal, function: str, *arguments: Any) -> Any:
    code, message, value = terminal.handle(function, arguments)
    assert code == 1, message
    return value


def request(action: int = mt5.TRADE_ACTION_DEAL, **fields: Any) -> TradeRequest:
    given: dict[str, Any] = {"symbol": "EURUSD", "magic": 7, "comment": "s1"} | fields
    return TradeRequest(action=action, **given)


def send(terminal: Terminal, side: int = BUY, volume: float = 0.1, **fields: Any) -> OrderSendResult:
    """A market order."""
    result: OrderSendResult = ask(terminal, "order_send", request(type=side, volume=volume, **fields))
    return result


def place(terminal: Terminal, kind: int, price: float, volume: float = 0.1, **fields: Any) -> OrderSendResult:
    """A pending order."""
    fields = {"type_filling": RETURN} | fields
    asked = request(mt5.TRADE_ACTION_PENDING, type=kind, price=price, volume=volume, **fields)
    result: OrderSendResult = ask(terminal, "order_send", asked)
    return result


def act(terminal: Terminal, action: int, **fields: Any) -> int:
    """The return code of a change."""
    retcode: int = ask(terminal, "order_send", request(action, **fields)).retcode
    return retcode


def positions(terminal: Terminal) -> list[TradePosition]:
    return list(ask(terminal, "positions_get", None, None, None))


def orders(terminal: Terminal) -> list[TradeOrder]:
    """Those that wait."""
    return list(ask(terminal, "orders_get", None, None, None))


def past_order(terminal: Terminal, ticket: int) -> TradeOrder:
    (order,) = ask(terminal, "history_orders_get", None, None, ticket, None)
    assert isinstance(order, TradeOrder)
    return order


def deals(terminal: Terminal) -> list[TradeDeal]:
    """The deposit left out."""
    return list(ask(terminal, "history_deals_get", (0, 2**31 - 1), None, None, None))[1:]


def account(terminal: Terminal) -> AccountInfo:
    info: AccountInfo = ask(terminal, "account_info")
    return info
