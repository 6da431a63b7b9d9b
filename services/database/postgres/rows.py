"""Rows as domain values."""

from typing import Any

from services.database.domain.order import (
    Account,
    AccountRef,
    Exposure,
    Order,
    Side,
    State,
    Times,
    TradeMode,
    TradingState,
)

# Everything of an order, with its account's names.
SELECT_ORDERS = "SELECT o.*, a.server, a.login FROM orders o JOIN accounts a ON a.id = o.account_id"


def order(row: Any) -> Order:
    return Order(
        signal_id=row["signal_id"],
        account=AccountRef(row["server"], row["login"]),
        symbol=row["symbol"],
        side=Side(row["side"]),
        volume=row["volume"],
        stop_loss=row["stop_loss"],
        take_profit=row["take_profit"],
        strategy=row["strategy"],
        state=State(row["state"]),
        not_after_unix_ms=row["not_after_unix_ms"],
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
            row["submitted_unix_ns"],
            row["committed_unix_ns"],
            row["recorded_unix_ns"],
            row["received_unix_ns"],
            row["intent_unix_ns"],
            row["called_unix_ns"],
            row["answered_unix_ns"],
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
    )


def exposure(row: Any) -> Exposure:
    return Exposure(row["symbol"], row["strategy"], row["net_volume"], row["open_orders"], row["unknown_orders"])
