"""A ledger entry as a row and back. Unsigned 64-bit numbers are text: SQLite's integers are signed."""

from collections.abc import Sequence
from typing import Any

from pc_agent.domain.orders import Account, Entry, OrderState, Result, Side, Signal

_SIGNAL = ("signal_id", "server", "login", "epoch", "seq", "redelivered", "symbol", "side", "volume", "stop_loss",
           "take_profit", "not_after_unix_ms", "received_unix_ns", "intent_unix_ns", "state")  # fmt: skip
RESULT_COLUMNS = ("reason", "message", "ticket", "deal", "filled_volume", "filled_price", "retcode", "called_unix_ns",
                  "answered_unix_ns")  # fmt: skip
ENTRY_COLUMNS = _SIGNAL + RESULT_COLUMNS


def result_row(result: Result) -> tuple[Any, ...]:
    return (
        result.reason,
        result.message,
        str(result.ticket),
        str(result.deal),
        result.volume,
        result.price,
        result.retcode,
        result.called_unix_ns,
        result.answered_unix_ns,
    )


def entry_row(entry: Entry) -> tuple[Any, ...]:
    signal = entry.signal
    return (
        signal.signal_id,
        signal.account.server,
        signal.account.login,
        str(signal.epoch),
        str(signal.seq),
        signal.redelivered,
        signal.symbol,
        signal.side,
        signal.volume,
        signal.stop_loss,
        signal.take_profit,
        signal.not_after_unix_ms,
        entry.received_unix_ns,
        entry.intent_unix_ns,
        entry.state,
        *result_row(entry.result),
    )


def entry_of(row: Sequence[Any]) -> Entry:
    (signal_id, server, login, epoch, seq, redelivered, symbol, side, volume, stop_loss, take_profit) = row[:11]
    (not_after, received, intent, state, reason, message, ticket, deal, filled, price, retcode, sent, done) = row[11:]
    account = Account(server, login)
    side = Side(side) if side else None
    signal = Signal(
        signal_id, account, int(epoch), int(seq), False, bool(redelivered), symbol, side, volume, stop_loss,
        take_profit, not_after,
    )  # fmt: skip
    result = Result(OrderState(state), reason, message, int(ticket), int(deal), filled, price, retcode, sent, done)
    return Entry(signal, result, received, intent)
