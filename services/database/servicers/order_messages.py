"""Accounts, orders and reports: messages to domain values and back."""

from enum import StrEnum
from typing import Any, TypeVar

from suho.common.v1 import account_pb2
from suho.database.v1 import order_service_pb2 as pb
from suho.trading.v1 import order_pb2

from services.database.domain import decimals
from services.database.domain.order import Account, Order, Report, Side, State, Times, TradeMode, TradingState
from services.database.servicers.edge import account_ref, invalid, number, phrase, valid_decimals, word

E = TypeVar("E", bound=StrEnum)

_LONGEST_MESSAGE = 2000
_REPORTABLE = frozenset(State) - {State.DENIED, State.PENDING}
_FILLS = frozenset({State.FILLED, State.PARTIALLY_FILLED})
_INTENTS = frozenset({State.DENIED, State.PENDING})


def state(value: int) -> State:
    return _from("state", order_pb2.OrderState, "ORDER_STATE_", value, State)


def trading_state(value: int) -> TradingState:
    return _from("trading_state", order_pb2.TradingState, "TRADING_STATE_", value, TradingState)


def trade_mode(value: int) -> TradeMode:
    return _from("trade_mode", order_pb2.TradeMode, "TRADE_MODE_", value, TradeMode)


def state_number(value: State) -> "order_pb2.OrderState.ValueType":
    return order_pb2.OrderState.Value(f"ORDER_STATE_{value}")


def intent(message: order_pb2.Order) -> Order:
    """An order to commit.

    Raises:
        MeshError: INVALID_ARGUMENT, naming the field.
    """
    wanted = state(message.state)
    if wanted not in _INTENTS:
        raise invalid(f"state is {wanted}; commit an order as PENDING or DENIED")
    if wanted is State.DENIED and not message.reason:
        raise invalid("reason is empty; a denied order is stored with its reason")
    with valid_decimals():
        volume = decimals.volume("volume", message.volume)
        stop_loss = decimals.price("stop_loss", message.stop_loss)
        take_profit = decimals.price("take_profit", message.take_profit)
    return Order(
        signal_id=word("signal_id", message.signal_id),
        account=account_ref(message.account),
        symbol=word("symbol", message.symbol),
        side=_from("side", order_pb2.OrderSide, "ORDER_SIDE_", message.side, Side),
        volume=volume,
        stop_loss=stop_loss,
        take_profit=take_profit,
        strategy=phrase("strategy", message.strategy),
        state=wanted,
        not_after_unix_ms=number("not_after_unix_ms", message.not_after_unix_ms),
        reason=phrase("reason", message.reason),
        message=phrase("message", message.message, _LONGEST_MESSAGE),
        times=Times(submitted=number("times.submitted_unix_ns", message.times.submitted_unix_ns)),
    )


def report(message: order_pb2.ExecutionReport) -> Report:
    """What an agent says.

    Raises:
        MeshError: INVALID_ARGUMENT, naming the field.
    """
    said = state(message.state)
    if said not in _REPORTABLE:
        raise invalid(f"state is {said}; a report says ACCEPTED or what became of the order")
    with valid_decimals():
        filled_volume = decimals.filled_volume("filled_volume", message.filled_volume)
        filled_price = decimals.price("filled_price", message.filled_price)
    if said in _FILLS and (not filled_volume or filled_price is None):
        raise invalid(f"state is {said}; give filled_volume and filled_price with it")
    return Report(
        report_id=word("report_id", message.report_id),
        signal_id=word("signal_id", message.signal_id),
        account=account_ref(message.account),
        state=said,
        reason=phrase("reason", message.reason),
        message=phrase("message", message.message, _LONGEST_MESSAGE),
        ticket=number("ticket", message.ticket),
        deal=number("deal", message.deal),
        filled_volume=filled_volume,
        filled_price=filled_price,
        retcode=message.retcode,
        received=number("received_unix_ns", message.received_unix_ns),
        intent=number("intent_unix_ns", message.intent_unix_ns),
        called=number("called_unix_ns", message.called_unix_ns),
        answered=number("answered_unix_ns", message.answered_unix_ns),
    )


def order_message(order: Order) -> order_pb2.Order:
    times = order.times
    return order_pb2.Order(
        signal_id=order.signal_id,
        account=account_pb2.AccountRef(server=order.account.server, login=order.account.login),
        symbol=order.symbol,
        side=order_pb2.OrderSide.Value(f"ORDER_SIDE_{order.side}"),
        volume=decimals.text(order.volume),
        stop_loss=decimals.text(order.stop_loss),
        take_profit=decimals.text(order.take_profit),
        strategy=order.strategy,
        state=state_number(order.state),
        reason=order.reason,
        message=order.message,
        seq=order.seq,
        epoch=order.epoch,
        ticket=order.ticket,
        deal=order.deal,
        filled_volume=decimals.text(order.filled_volume),
        filled_price=decimals.text(order.filled_price),
        retcode=order.retcode,
        not_after_unix_ms=order.not_after_unix_ms,
        times=order_pb2.OrderTimes(
            submitted_unix_ns=times.submitted,
            committed_unix_ns=times.committed,
            recorded_unix_ns=times.recorded,
            received_unix_ns=times.received,
            intent_unix_ns=times.intent,
            called_unix_ns=times.called,
            answered_unix_ns=times.answered,
        ),
    )


def account_message(account: Account) -> pb.Account:
    return pb.Account(
        account=account_pb2.AccountRef(server=account.ref.server, login=account.ref.login),
        trade_mode=order_pb2.TradeMode.Value(f"TRADE_MODE_{account.trade_mode}"),
        trading_state=order_pb2.TradingState.Value(f"TRADING_STATE_{account.trading_state}"),
        revision=account.revision,
        epoch=account.epoch,
        last_seq=account.last_seq,
        open_orders=account.open_orders,
        exposures=[
            pb.Exposure(
                symbol=exposure.symbol,
                strategy=exposure.strategy,
                net_volume=decimals.text(exposure.net_volume),
                open_orders=exposure.open_orders,
                unknown_orders=exposure.unknown_orders,
            )
            for exposure in account.exposures
        ],
    )


def _from(field: str, enum: Any, prefix: str, value: int, kind: type[E]) -> E:
    """The domain's word for an enum's number; the unset one and those of a newer contract are refused."""
    if value not in enum.values() or value == 0:
        raise invalid(f"{field} is {'unset' if value == 0 else value}; give one of {', '.join(kind)}")
    return kind(enum.Name(value).removeprefix(prefix))
