"""A ledger entry as a row and back. Unsigned 64-bit numbers are text: SQLite's integers are signed."""

from collections.abc import Mapping
from typing import Any

from mesh.orders import Kind
from pc_agent.domain.orders import Account, Entry, OrderState, Result, Side, Signal

Row = dict[str, Any]

_SIGNAL = ("signal_id", "server", "login", "epoch", "seq", "redelivered", "symbol", "side", "volume", "stop_loss",
           "take_profit", "not_after_unix_ms", "kind", "price", "limit_price", "position", "opposite_position",
           "order_ticket", "expires_unix_ms", "deviation_points", "committed_unix_ns", "sent_unix_ns")  # fmt: skip
_PROGRESS = ("state", "reason", "message", "ticket", "deal", "filled_volume", "filled_price", "retcode",
             "called_unix_ns", "answered_unix_ns", "received_unix_ns", "intent_unix_ns", "queued_unix_ns",
             "resolved_unix_ns", "clock_offset_ns")  # fmt: skip
ENTRY_COLUMNS = _SIGNAL + _PROGRESS
# As the contract calls a kind that was not said.
_NO_KIND = "UNSPECIFIED"


def progress_row(entry: Entry) -> Row:
    """What changes of an entry."""
    result = entry.result
    return {
        "state": result.state.value,
        "reason": result.reason,
        "message": result.message,
        "ticket": str(result.ticket),
        "deal": str(result.deal),
        "filled_volume": result.volume,
        "filled_price": result.price,
        "retcode": result.retcode,
        "called_unix_ns": result.called_unix_ns,
        "answered_unix_ns": result.answered_unix_ns,
        "received_unix_ns": entry.received_unix_ns,
        "intent_unix_ns": entry.intent_unix_ns,
        "queued_unix_ns": entry.queued_unix_ns,
        "resolved_unix_ns": entry.resolved_unix_ns,
        "clock_offset_ns": entry.clock_offset_ns,
    }


def entry_row(entry: Entry) -> Row:
    """All of it."""
    signal = entry.signal
    return {
        "signal_id": signal.signal_id,
        "server": signal.account.server,
        "login": signal.account.login,
        "epoch": str(signal.epoch),
        "seq": str(signal.seq),
        "redelivered": signal.redelivered,
        "symbol": signal.symbol,
        "side": signal.side.value if signal.side else None,
        "volume": signal.volume,
        "stop_loss": signal.stop_loss,
        "take_profit": signal.take_profit,
        "not_after_unix_ms": signal.not_after_unix_ms,
        "kind": signal.kind.value if signal.kind else _NO_KIND,
        "price": signal.price,
        "limit_price": signal.limit_price,
        "position": str(signal.position),
        "opposite_position": str(signal.opposite_position),
        "order_ticket": str(signal.order_ticket),
        "expires_unix_ms": signal.expires_unix_ms,
        "deviation_points": signal.deviation_points,
        "committed_unix_ns": signal.committed_unix_ns,
        "sent_unix_ns": signal.sent_unix_ns,
    } | progress_row(entry)


def entry_of(row: Mapping[str, Any]) -> Entry:
    """Of the ledger or of a report."""
    return Entry(
        signal_of(row),
        Result(
            state=OrderState(row["state"]),
            reason=row["reason"],
            message=row["message"],
            ticket=int(row["ticket"]),
            deal=int(row["deal"]),
            volume=row["filled_volume"],
            price=row["filled_price"],
            retcode=row["retcode"],
            called_unix_ns=row["called_unix_ns"],
            answered_unix_ns=row["answered_unix_ns"],
        ),
        received_unix_ns=row["received_unix_ns"],
        intent_unix_ns=row["intent_unix_ns"],
        queued_unix_ns=row["queued_unix_ns"],
        resolved_unix_ns=row["resolved_unix_ns"],
        clock_offset_ns=row["clock_offset_ns"],
    )


def signal_of(row: Mapping[str, Any]) -> Signal:
    return Signal(
        signal_id=row["signal_id"],
        account=Account(row["server"], row["login"]),
        epoch=int(row["epoch"]),
        seq=int(row["seq"]),
        void=False,
        redelivered=bool(row["redelivered"]),
        symbol=row["symbol"],
        side=Side(row["side"]) if row["side"] else None,
        volume=row["volume"],
        stop_loss=row["stop_loss"],
        take_profit=row["take_profit"],
        not_after_unix_ms=row["not_after_unix_ms"],
        kind=None if row["kind"] == _NO_KIND else Kind(row["kind"]),
        price=row["price"],
        limit_price=row["limit_price"],
        position=int(row["position"]),
        opposite_position=int(row["opposite_position"]),
        order_ticket=int(row["order_ticket"]),
        expires_unix_ms=row["expires_unix_ms"],
        deviation_points=row["deviation_points"],
        committed_unix_ns=row["committed_unix_ns"],
        sent_unix_ns=row["sent_unix_ns"],
    )
