"""Orders, positions and accounts as people and programs read them."""

from typing import Any, NamedTuple

from suho.common.v1 import account_pb2
from suho.trading.v1 import order_pb2, trading_pb2

EXECUTED = (order_pb2.ORDER_STATE_FILLED, order_pb2.ORDER_STATE_PARTIALLY_FILLED)
# As asked: executed, waiting at the broker, or changed.
DONE = (*EXECUTED, order_pb2.ORDER_STATE_PLACED, order_pb2.ORDER_STATE_DONE)
# No answer of the terminal yet. UNKNOWN may have been executed: the agent looks it up in the terminal's books.
UNANSWERED = (order_pb2.ORDER_STATE_PENDING, order_pb2.ORDER_STATE_ACCEPTED, order_pb2.ORDER_STATE_UNKNOWN)


class Step(NamedTuple):
    """A part of an order's way; `at_unix_ns` by the server's clock, `took_ms` since the step before."""

    name: str
    at_unix_ns: int
    took_ms: float | None


def state_name(state: "order_pb2.OrderState.ValueType") -> str:
    return order_pb2.OrderState.Name(state).removeprefix("ORDER_STATE_")


def kind_name(kind: "order_pb2.OrderKind.ValueType") -> str:
    return order_pb2.OrderKind.Name(kind).removeprefix("ORDER_KIND_").lower().replace("_", "-")


def side_name(side: "order_pb2.OrderSide.ValueType") -> str:
    """Empty: the kind has none."""
    return order_pb2.OrderSide.Name(side).removeprefix("ORDER_SIDE_").lower() if side else ""


def account_name(account: account_pb2.AccountRef) -> str:
    return f"{account.login}@{account.server}"


def trading_state_name(state: "order_pb2.TradingState.ValueType") -> str:
    return order_pb2.TradingState.Name(state).removeprefix("TRADING_STATE_")


def barred(account: trading_pb2.AccountStatus) -> str:
    """What forbids entries on an account, and what lifts it; empty: nothing."""
    name, found = account_name(account.account), []
    if account.trading_state not in (order_pb2.TRADING_STATE_UNSPECIFIED, order_pb2.TRADING_STATE_ACTIVE):
        why = f" ({account.state_reason})" if account.state_reason else ""
        found.append(f"{name} is {trading_state_name(account.trading_state)}{why}: `suho resume` lifts it")
    if account.safety.halted:
        said = f"{account.safety.reason}: {account.safety.message}"
        found.append(f"the PC of {name} takes no entries, {said} (`suho agent resume` there)")
    return "; ".join(found)


def account_facts(account: account_pb2.AccountRef) -> dict[str, Any]:
    return {"server": account.server, "login": account.login}


def asked(order: order_pb2.Order) -> str:
    """What was asked for, in a few words."""
    words = [kind_name(order.kind), side_name(order.side), order.volume, order.symbol]
    named = (
        ("at", order.price),
        ("limit", order.limit_price),
        ("position", order.position),
        ("against", order.opposite_position),
        ("order", order.order_ticket),
        ("sl", order.stop_loss),
        ("tp", order.take_profit),
    )
    words += [f"{name} {value}" for name, value in named if value]
    return " ".join(filter(None, words))


def order_facts(order: order_pb2.Order) -> dict[str, Any]:
    return {
        "signal_id": order.signal_id,
        "account": account_facts(order.account),
        "kind": kind_name(order.kind) if order.kind else "",
        "symbol": order.symbol,
        "side": side_name(order.side),
        "volume": order.volume,
        "price": order.price,
        "limit_price": order.limit_price,
        "stop_loss": order.stop_loss,
        "take_profit": order.take_profit,
        "position": order.position,
        "opposite_position": order.opposite_position,
        "order_ticket": order.order_ticket,
        "expires_unix_ms": order.expires_unix_ms,
        "deviation_points": order.deviation_points,
        "strategy": order.strategy,
        "state": state_name(order.state),
        "reason": order.reason,
        "message": order.message,
        "seq": order.seq,
        "agent": order.agent,
        "ticket": order.ticket,
        "deal": order.deal,
        "filled_volume": order.filled_volume,
        "filled_price": order.filled_price,
        "retcode": order.retcode,
        "submitted_unix_ns": order.times.submitted_unix_ns,
    }


def way(order: order_pb2.Order) -> list[Step]:
    """The parts of its way that it took, in their order; the PC's clock is set right by the offset measured."""
    times = order.times
    offset = times.clock_offset_ns
    stamps = (
        ("submitted", times.submitted_unix_ns, 0),
        ("committed", times.committed_unix_ns, 0),
        ("sent", times.sent_unix_ns, 0),
        ("received", times.received_unix_ns, offset),
        ("intent", times.intent_unix_ns, offset),
        ("queued", times.queued_unix_ns, offset),
        ("called", times.called_unix_ns, offset),
        ("answered", times.answered_unix_ns, offset),
        ("reported", times.reported_unix_ns, offset),
        ("recorded", times.recorded_unix_ns, 0),
    )
    steps: list[Step] = []
    for name, at, add in stamps:
        if at:
            took = round((at + add - steps[-1].at_unix_ns) / 1e6, 3) if steps else None
            steps.append(Step(name, at + add, took))
    return steps


def parts(order: order_pb2.Order) -> dict[str, float]:
    """Milliseconds to each step, by its name."""
    return {step.name: step.took_ms for step in way(order) if step.took_ms is not None}
