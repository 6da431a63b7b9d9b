"""Sending orders through a module shaped like the MetaTrader5 package."""

import time
from collections.abc import Callable, Iterable
from typing import Any

from mesh.clock import boot_ns
from mesh.failpoint import failpoint
from mesh.orders import ENTRIES
from pc_agent.domain.orders import OrderState, Result, plain
from pc_agent.domain.retcodes import Verdict, name, state_of, verdict
from pc_agent.terminal.mt5_requests import RefusedError, request_of
from pc_agent.terminal.mt5_session import TerminalGoneError
from pc_agent.terminal.order_tasks import AWAY_MS, Again, OrderDone, OrderTask, Sending
from pc_agent.terminal.quote_ages import QuoteAges

# What a broker that had too many requests is given to recover.
_PAUSE_MS = 200
_STOPPED = Result(OrderState.REJECTED, "NOT_SENT", "entries were stopped before its turn came")
_BEHIND = Result(OrderState.REJECTED, "NOT_SENT", "an earlier order of its symbol must be done first")

Say = Callable[[Sending | OrderDone], None]


def _never() -> bool:
    return False


def send_orders(
    mt5: Any, tasks: Iterable[OrderTask], ages: QuoteAges, say: Say, entries_stopped: Callable[[], bool] = _never
) -> None:
    """One after the other, each once. Behind one that is in doubt or has to be tried again its symbol waits."""
    waiting: set[str] = set()
    for task in tasks:
        if task.symbol in waiting:
            say(OrderDone(task.signal_id, _BEHIND, Again(task.first_price)))
            continue
        done = send_order(mt5, task, ages, say, entries_stopped)
        if done.again or done.result.state is OrderState.UNKNOWN:
            waiting.add(task.symbol)
        say(done)


def send_order(
    mt5: Any, task: OrderTask, ages: QuoteAges, say: Say, entries_stopped: Callable[[], bool] = _never
) -> OrderDone:
    """One call of `order_send`, unless something forbids it. Expiry and lease are looked at last of all.

    While entries are stopped the agent judges them anew: it knows why.
    """
    try:
        request = request_of(mt5, task, ages, boot_ns())
    except TerminalGoneError as gone:
        away = Result(OrderState.REJECTED, "TERMINAL_DISCONNECTED", f"not sent: {gone}")
        return OrderDone(task.signal_id, away, Again(task.first_price, AWAY_MS))
    except RefusedError as refused:
        return _refused(task, *refused.refusal)
    if task.kind in ENTRIES and entries_stopped():
        return OrderDone(task.signal_id, _STOPPED, Again(task.first_price))
    if late := _too_late(task):
        return OrderDone(task.signal_id, late)
    called = time.time_ns()
    say(Sending(task.signal_id, called))
    if late := _too_late(task):  # an agent that stands still lets nobody speak to it
        return OrderDone(task.signal_id, late)
    failpoint("order_send.called")
    answer = mt5.order_send(request)
    answered = time.time_ns()
    failpoint("order_send.returned")
    if answer is None:
        return OrderDone(task.signal_id, _unanswered(mt5, called, answered))
    again = _again(task, request, answer.retcode)
    return OrderDone(task.signal_id, _result(task, answer, called, answered), again)


def _too_late(task: OrderTask) -> Result | None:
    now = boot_ns()
    if now >= task.expires_ns:
        return Result(OrderState.EXPIRED, "EXPIRED", "its time ran out before it could be sent")
    if now >= task.lease_until_ns:
        return Result(OrderState.EXPIRED, "LEASE_LAPSED", "the engine was not heard of for too long to send it")
    return None


def _again(task: OrderTask, request: dict[str, Any], retcode: int) -> Again | None:
    outcome = verdict(task.kind, retcode)
    first_price = task.first_price or request.get("price", 0.0)
    if outcome is Verdict.RETRY:
        return Again(first_price)
    return Again(first_price, _PAUSE_MS) if outcome is Verdict.RETRY_LATER else None


def _refused(task: OrderTask, reason: str, message: str) -> OrderDone:
    return OrderDone(task.signal_id, Result(OrderState.REJECTED, reason, f"not sent: {message}"))


def _unanswered(mt5: Any, called: int, answered: int) -> Result:
    code, text = mt5.last_error()
    message = f"order_send gave no answer: {text} ({code})"
    return Result(OrderState.UNKNOWN, "NO_ANSWER", message, called_unix_ns=called, answered_unix_ns=answered)


def _result(task: OrderTask, answer: Any, called: int, answered: int) -> Result:
    is_told = bool(answer.deal and answer.price and answer.volume)
    state = state_of(task.kind, answer.retcode, is_told)
    is_filled = state in (OrderState.FILLED, OrderState.PARTIALLY_FILLED)
    return Result(
        state,
        name(answer.retcode),
        answer.comment,
        ticket=answer.order,
        deal=answer.deal,
        volume=plain(answer.volume) if is_filled else "",
        price=plain(answer.price) if is_filled else "",
        retcode=answer.retcode,
        called_unix_ns=called,
        answered_unix_ns=answered,
    )
