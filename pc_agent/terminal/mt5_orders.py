"""Sending a market order through a module shaped like the MetaTrader5 package."""

import time
from typing import Any

from pc_agent.domain.orders import OrderState, Result, Side, plain
from pc_agent.domain.retcodes import DONE_PARTIAL, Verdict, name, verdict
from pc_agent.terminal.messages import OrderTask
from pc_agent.terminal.mt5_session import TerminalGoneError, needed

_ATTEMPTS = 3
_PAUSE_S = 0.2
# SYMBOL_FILLING_* is a bit mask with a numbering of its own; the package lacks its constants.
_SYMBOL_FOK, _SYMBOL_IOC = 1, 2


def execute(mt5: Any, task: OrderTask) -> Result:
    """Send `task` unless its time or the lease has run out, at most three times while the broker proves refusal."""
    result = Result(OrderState.REJECTED, "NOT_SENT")
    for attempt in range(_ATTEMPTS):
        try:
            request = _request(mt5, task)
        except TerminalGoneError as gone:
            return Result(OrderState.REJECTED, "TERMINAL_DISCONNECTED", f"not sent: {gone}")
        except _AccountChangedError as changed:
            return Result(OrderState.REJECTED, "ACCOUNT_CHANGED", str(changed))
        if late := _too_late(task):
            return late
        sent = time.time_ns()
        answer = mt5.order_send(request)
        result = _judge(mt5, answer, sent, time.time_ns())
        outcome = verdict(None if answer is None else answer.retcode)
        if outcome is Verdict.RETRY_LATER and attempt + 1 < _ATTEMPTS:
            time.sleep(_PAUSE_S)
        elif outcome is not Verdict.RETRY:
            break
    return result


class _AccountChangedError(Exception):
    pass


def _request(mt5: Any, task: OrderTask) -> dict[str, Any]:
    """With the price of this moment. The package wants floats where it says double, and takes no None."""
    account = needed(mt5, mt5.account_info(), "account_info")
    if account.login != task.login:
        raise _AccountChangedError(f"not sent: the terminal is now logged in to {account.login}, not {task.login}")
    info = needed(mt5, mt5.symbol_info(task.symbol), "symbol_info")
    tick = needed(mt5, mt5.symbol_info_tick(task.symbol), "symbol_info_tick")
    signal = task.signal
    buys = signal.side is Side.BUY
    request = {
        "action": mt5.TRADE_ACTION_DEAL,
        "symbol": task.symbol,
        "volume": float(signal.volume),
        "type": mt5.ORDER_TYPE_BUY if buys else mt5.ORDER_TYPE_SELL,
        "price": float(tick.ask if buys else tick.bid),
        "deviation": task.bounds.deviation_points,
        "magic": task.mark.magic,
        "comment": task.mark.comment,
        "type_time": mt5.ORDER_TIME_GTC,
        "type_filling": _filling(mt5, info.filling_mode),
    }
    stops = {"sl": float(signal.stop_loss or 0), "tp": float(signal.take_profit or 0)}
    return request | {key: price for key, price in stops.items() if price}


def _filling(mt5: Any, mask: int) -> int:
    if mask & _SYMBOL_FOK:
        return int(mt5.ORDER_FILLING_FOK)
    return int(mt5.ORDER_FILLING_IOC if mask & _SYMBOL_IOC else mt5.ORDER_FILLING_RETURN)


def _too_late(task: OrderTask) -> Result | None:
    now = time.monotonic_ns()
    if now >= task.expires_ns:
        return Result(OrderState.EXPIRED, "EXPIRED", "its time ran out before it could be sent")
    if now >= task.lease_until_ns:
        return Result(OrderState.EXPIRED, "LEASE_LAPSED", "the engine was not heard of for too long to send it")
    return None


def _judge(mt5: Any, answer: Any, sent: int, done: int) -> Result:
    if answer is None:
        code, text = mt5.last_error()
        message = f"order_send gave no answer: {text} ({code})"
        return Result(OrderState.UNKNOWN, "NO_ANSWER", message, called_unix_ns=sent, answered_unix_ns=done)
    states = {Verdict.COMPLETE: OrderState.FILLED, Verdict.AMBIGUOUS: OrderState.UNKNOWN}
    state = states.get(verdict(answer.retcode), OrderState.REJECTED)
    if state is OrderState.FILLED and answer.retcode == DONE_PARTIAL:
        state = OrderState.PARTIALLY_FILLED
    is_filled = state in (OrderState.FILLED, OrderState.PARTIALLY_FILLED)
    if is_filled and not (answer.deal and answer.price and answer.volume):
        # Placed, or done by a server that names neither deal nor price: the books know what came of it.
        state, is_filled = OrderState.UNKNOWN, False
    return Result(
        state,
        name(answer.retcode),
        answer.comment,
        ticket=answer.order,
        deal=answer.deal,
        volume=plain(answer.volume) if is_filled else "",
        price=plain(answer.price) if is_filled else "",
        retcode=answer.retcode,
        called_unix_ns=sent,
        answered_unix_ns=done,
    )
