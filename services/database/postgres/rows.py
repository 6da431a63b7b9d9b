"""Rows as domain values."""

from typing import Any

from mesh.orders import Kind
from services.database.domain.order import (
    Account,
    AccountRef,
    DealCause,
    Event,
    Exposure,
    ExternalDeal,
    Order,
    Side,
    State,
    Times,
    TradeMode,
    TradingState,
)

# Everything of an account, with who executes for it at this moment.
SELECT_ACCOUNTS = (
    "SELECT a.*, l.agent, l.engine FROM accounts a"
    " LEFT JOIN leases l ON l.account_id = a.id AND l.until > clock_timestamp()"
)
# Everything of an order, with its account's names.
SELECT_ORDERS = "SELECT o.*, a.server, a.login FROM orders o JOIN accounts a ON a.id = o.account_id"


def order(row: Any) -> Order:
    return Order(
        signal_id=row["signal_id"],
        account=AccountRef(row["server"], row["login"]),
        symbol=row["symbol"],
        side=Side(row["side"]) if row["side"] else None,
        volume=row["volume"],
        stop_loss=row["stop_loss"],
        take_profit=row["take_profit"],
        strategy=row["strategy"],
        state=State(row["state"]),
        not_after_unix_ms=row["not_after_unix_ms"],
        kind=Kind(row["kind"]),
        price=row["price"],
        limit_price=row["limit_price"],
        position=row["position"],
        opposite_position=row["opposite_position"],
        order_ticket=row["order_ticket"],
        expires_unix_ms=row["expires_unix_ms"],
        deviation_points=row["deviation_points"],
        agent=row["agent"],
        holder=row["holder"],
        reason=row["reason"],
        message=row["message"],
        seq=row["seq"] or 0,
        epoch=row["epoch"],
        ticket=row["ticket"],
        deal=row["deal"],
        filled_volume=row["filled_volume"],
        filled_price=row["filled_price"],
        retcode=row["retcode"],
        times=Times(
            submitted=row["submitted_unix_ns"],
            committed=row["committed_unix_ns"],
            recorded=row["recorded_unix_ns"],
            sent=row["sent_unix_ns"],
            received=row["received_unix_ns"],
            intent=row["intent_unix_ns"],
            queued=row["queued_unix_ns"],
            called=row["called_unix_ns"],
            answered=row["answered_unix_ns"],
            reported=row["reported_unix_ns"],
            offset=row["clock_offset_ns"],
        ),
        id=row["id"],
    )


def account(row: Any, exposures: tuple[Exposure, ...]) -> Account:
    return Account(
        ref=AccountRef(row["server"], row["login"]),
        trade_mode=TradeMode(row["trade_mode"]),
        trading_state=TradingState(row["trading_state"]),
        revision=row["revision"],
        epoch=row["epoch"],
        last_seq=row["last_seq"],
        exposures=exposures,
        id=row["id"],
        agent=row["agent"] or "",
        engine=row["engine"] or "",
        state_reason=row["state_reason"],
    )


def exposure(row: Any) -> Exposure:
    return Exposure(row["symbol"], row["strategy"], row["net_volume"], row["open_orders"], row["unknown_orders"])


def event(row: Any) -> Event:
    before = row["state_before"]
    return Event(
        row["at_unix_ns"], State(before) if before else None, State(row["state_after"]), row["reason"], row["message"]
    )


def deal(row: Any) -> ExternalDeal:
    return ExternalDeal(
        deal=row["deal"],
        order=row["order_ticket"],
        position=row["position"],
        symbol=row["symbol"],
        side=Side(row["side"]),
        volume=row["volume"],
        price=row["price"],
        profit=row["profit"],
        commission=row["commission"],
        swap=row["swap"],
        time_unix_ms=row["time_unix_ms"],
        cause=DealCause(row["cause"]),
        signal_id=row["signal_id"],
        id=row["id"],
    )
