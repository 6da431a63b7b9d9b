"""Accounts, orders and reports: messages to domain values and back."""

from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from suho.common.v1 import account_pb2
from suho.database.v1 import order_service_pb2 as pb
from suho.trading.v1 import agent_link_pb2, order_pb2, trading_pb2

from mesh.orders import KIND_FIELDS, Kind, filled_volume, kind_defect, plain, price, volume
from services.database.domain.order import (
    Account,
    Event,
    MarginMode,
    Order,
    Report,
    Side,
    State,
    Times,
    TradeMode,
    TradingState,
)
from services.database.servicers.edge import account_ref, invalid, number, phrase, valid_amounts, word

E = TypeVar("E", bound=StrEnum)

_LONGEST_MESSAGE = 2000
_REPORTABLE = frozenset(State) - {State.DENIED, State.PENDING}
_FILLS = frozenset({State.FILLED, State.PARTIALLY_FILLED})
_INTENTS = frozenset({State.DENIED, State.PENDING})


def state(value: int) -> State:
    return enum_word("state", order_pb2.OrderState, "ORDER_STATE_", value, State)


def trading_state(value: int) -> TradingState:
    return enum_word("trading_state", order_pb2.TradingState, "TRADING_STATE_", value, TradingState)


def trade_mode(value: int) -> TradeMode:
    return enum_word("trade_mode", order_pb2.TradeMode, "TRADE_MODE_", value, TradeMode)


def margin_mode(value: int) -> MarginMode | None:
    """None: not said."""
    if value == agent_link_pb2.MARGIN_MODE_UNSPECIFIED:
        return None
    return enum_word("margin_mode", agent_link_pb2.MarginMode, "MARGIN_MODE_", value, MarginMode)


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
    kind = enum_word("kind", order_pb2.OrderKind, "ORDER_KIND_", message.kind, Kind)
    defect = kind_defect(kind, [name for name in KIND_FIELDS if getattr(message, name)])
    if defect:
        raise invalid(defect)
    with valid_amounts():
        return Order(
            signal_id=word("signal_id", message.signal_id),
            account=account_ref(message.account),
            symbol=word("symbol", message.symbol),
            side=side(message.side) if message.side else None,
            volume=volume("volume", message.volume) if message.volume else Decimal(0),
            stop_loss=price("stop_loss", message.stop_loss),
            take_profit=price("take_profit", message.take_profit),
            strategy=phrase("strategy", message.strategy),
            state=wanted,
            not_after_unix_ms=number("not_after_unix_ms", message.not_after_unix_ms),
            kind=kind,
            price=price("price", message.price),
            limit_price=price("limit_price", message.limit_price),
            position=number("position", message.position),
            opposite_position=number("opposite_position", message.opposite_position),
            order_ticket=number("order_ticket", message.order_ticket),
            expires_unix_ms=number("expires_unix_ms", message.expires_unix_ms),
            deviation_points=message.deviation_points,
            reason=phrase("reason", message.reason),
            message=phrase("message", message.message, _LONGEST_MESSAGE),
            times=Times(submitted=number("times.submitted_unix_ns", message.times.submitted_unix_ns)),
        )


def side(value: int) -> Side:
    return enum_word("side", order_pb2.OrderSide, "ORDER_SIDE_", value, Side)


def report(message: order_pb2.ExecutionReport) -> Report:
    """What an agent says.

    Raises:
        MeshError: INVALID_ARGUMENT, naming the field.
    """
    said = state(message.state)
    if said not in _REPORTABLE:
        raise invalid(f"state is {said}; a report says ACCEPTED or what became of the order")
    with valid_amounts():
        filled, at = filled_volume("filled_volume", message.filled_volume), price("filled_price", message.filled_price)
    if said in _FILLS and (not filled or at is None):
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
        filled_volume=filled,
        filled_price=at,
        retcode=message.retcode,
        times=Times(
            sent=number("sent_unix_ns", message.sent_unix_ns),
            received=number("received_unix_ns", message.received_unix_ns),
            intent=number("intent_unix_ns", message.intent_unix_ns),
            queued=number("queued_unix_ns", message.queued_unix_ns),
            called=number("called_unix_ns", message.called_unix_ns),
            answered=number("answered_unix_ns", message.answered_unix_ns),
            reported=number("reported_unix_ns", message.reported_unix_ns),
            offset=message.clock_offset_ns,
        ),
    )


def side_number(value: Side) -> "order_pb2.OrderSide.ValueType":
    return order_pb2.OrderSide.Value(f"ORDER_SIDE_{value}")


def order_message(order: Order) -> order_pb2.Order:
    times = order.times
    return order_pb2.Order(
        signal_id=order.signal_id,
        account=account_pb2.AccountRef(server=order.account.server, login=order.account.login),
        symbol=order.symbol,
        side=side_number(order.side) if order.side else order_pb2.ORDER_SIDE_UNSPECIFIED,
        volume=plain(order.volume or None),
        stop_loss=plain(order.stop_loss),
        take_profit=plain(order.take_profit),
        strategy=order.strategy,
        state=state_number(order.state),
        reason=order.reason,
        message=order.message,
        seq=order.seq,
        epoch=order.epoch,
        ticket=order.ticket,
        deal=order.deal,
        filled_volume=plain(order.filled_volume),
        filled_price=plain(order.filled_price),
        retcode=order.retcode,
        not_after_unix_ms=order.not_after_unix_ms,
        times=order_pb2.OrderTimes(
            submitted_unix_ns=times.submitted,
            committed_unix_ns=times.committed,
            recorded_unix_ns=times.recorded,
            sent_unix_ns=times.sent,
            received_unix_ns=times.received,
            intent_unix_ns=times.intent,
            queued_unix_ns=times.queued,
            called_unix_ns=times.called,
            answered_unix_ns=times.answered,
            reported_unix_ns=times.reported,
            clock_offset_ns=times.offset,
        ),
        kind=order_pb2.OrderKind.Value(f"ORDER_KIND_{order.kind}"),
        price=plain(order.price),
        limit_price=plain(order.limit_price),
        position=order.position,
        opposite_position=order.opposite_position,
        order_ticket=order.order_ticket,
        expires_unix_ms=order.expires_unix_ms,
        deviation_points=order.deviation_points,
        agent=order.agent,
    )


def event_message(event: Event) -> trading_pb2.OrderEvent:
    return trading_pb2.OrderEvent(
        at_unix_ns=event.at_unix_ns,
        state_before=state_number(event.before) if event.before else order_pb2.ORDER_STATE_UNSPECIFIED,
        state_after=state_number(event.after),
        reason=event.reason,
        message=event.message,
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
                net_volume=plain(exposure.net_volume),
                open_orders=exposure.open_orders,
                unknown_orders=exposure.unknown_orders,
            )
            for exposure in account.exposures
        ],
        agent=account.agent,
        engine=account.engine,
        state_reason=account.state_reason,
    )


def enum_word(field: str, enum: Any, prefix: str, value: int, kind: type[E]) -> E:
    """The domain's word for an enum's number; the unset one and those of a newer contract are refused."""
    if value not in enum.values() or value == 0:
        raise invalid(f"{field} is {'unset' if value == 0 else value}; give one of {', '.join(kind)}")
    return kind(enum.Name(value).removeprefix(prefix))
