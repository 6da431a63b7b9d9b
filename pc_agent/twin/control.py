"""What only a twin can be asked, by those who started it: how far it is, and to change what it shows.

What is done to its history stays done when it is started anew. Times are the trade server's, in milliseconds.
"""

from pathlib import Path
from typing import Any, Literal

from pc_agent.twin.constants import (
    ORDER_TYPE_BUY,
    ORDER_TYPE_SELL,
    POSITION_TYPE_BUY,
    RES_E_INVALID_PARAMS,
    TRADE_ACTION_DEAL,
    TRADE_RETCODE_DONE,
    TRADE_RETCODE_DONE_PARTIAL,
)
from pc_agent.twin.domain.faults import ORDER
from pc_agent.twin.domain.ticks import Ticks
from pc_agent.twin.link import Link
from pc_agent.twin.market import FeedStatus
from pc_agent.twin.person import TwinBooks
from pc_agent.twin.results import OrderSendResult
from pc_agent.twin.wire import TerminalError

_TIMEOUT_S = 5.0


class TwinUnreachableError(ConnectionError):
    """No twin answers for that folder (now: it may be starting again)."""


class TwinRefusedError(ValueError):
    """The twin will not do it; the message says why."""


def feed_status(folder: Path) -> dict[str, FeedStatus]:
    """By symbol: sent (ticks that its history holds), total (None: endless), digits, ended.

    Raises:
        TwinUnreachableError
    """
    status: dict[str, FeedStatus] = _ask(folder, "feed_status")
    return status


def hold_feeds(folder: Path) -> dict[str, FeedStatus]:
    """As `feed_status`, and nothing more is released while this twin runs: the account can be closed.

    Raises:
        TwinUnreachableError
    """
    status: dict[str, FeedStatus] = _ask(folder, "hold_feeds")
    return status


def deal_count(folder: Path, magic: int | None = None) -> int:
    """Trades made in the twin, the deposit not counted; with `magic`, those that bear it.

    Raises:
        TwinUnreachableError
    """
    count: int = _ask(folder, "deal_count", magic)
    return count


def all_books(folder: Path) -> TwinBooks:
    """The whole truth: positions, orders that wait, orders that do not, and deals, by ticket.

    Raises:
        TwinUnreachableError
    """
    books: TwinBooks = _ask(folder, "all_books")
    return books


def correct_tick(folder: Path, symbol: str, time_msc: int, ordinal: int, bid: float, ask: float) -> None:
    """Another price for the tick at that place among those of its millisecond.

    Raises:
        TwinUnreachableError, TwinRefusedError
    """
    _ask(folder, "correct_tick", symbol, time_msc, ordinal, bid, ask)


def remove_ticks(folder: Path, symbol: str, from_msc: int, to_msc: int) -> int:
    """Take the ticks of [from_msc, to_msc) out of the history; how many there were.

    Raises:
        TwinUnreachableError, TwinRefusedError
    """
    count: int = _ask(folder, "remove_ticks", symbol, from_msc, to_msc)
    return count


def insert_ticks(folder: Path, symbol: str, ticks: Ticks) -> int:
    """Add ticks of the past, which ascend, behind those of the same millisecond; how many.

    Raises:
        TwinUnreachableError, TwinRefusedError
    """
    count: int = _ask(folder, "insert_ticks", symbol, ticks.tobytes())
    return count


def show_symbol(folder: Path, symbol: str) -> None:
    """A hidden symbol (setting `hidden`) is there from now on, selected, with the history that its feed has by now.

    Raises:
        TwinUnreachableError, TwinRefusedError
    """
    _ask(folder, "show_symbol", symbol)


def step_clock(folder: Path, by_ms: int) -> None:
    """The server's clock steps, as daylight saving makes it: back by an hour, the ticks of the hour that follows
    stand among those of the hour before.

    Raises:
        TwinUnreachableError
    """
    _ask(folder, "step_clock", by_ms)


def disturb_history(folder: Path, delay_s: float = 0.0, failures: int = 0) -> None:
    """Each history read takes `delay_s` longer, and the next `failures` fail; while this twin runs.

    Raises:
        TwinUnreachableError
    """
    _ask(folder, "disturb_history", delay_s, failures)


def slow_history(folder: Path, at_hand_days: float | None, s_per_day: float = 0.0) -> None:
    """Ticks older than `at_hand_days` are downloaded when asked for, each day of them in `s_per_day`; until then
    reads of them find nothing. None: all is at hand.

    Raises:
        TwinUnreachableError
    """
    _ask(folder, "slow_history", at_hand_days, s_per_day)


# What goes wrong; while this twin runs


def script_fault(
    folder: Path, name: str, *, function: str = ORDER, symbol: str = "", times: int = 1, delay_s: float = 0.0
) -> None:
    """The next `times` calls of `function` ("*": any) meet the fault `name` (docs/twin.md), after what was scripted
    before; with a symbol, only trade requests for it. `delay_s` is waited before the call too.

    Raises:
        TwinUnreachableError, TwinRefusedError: there is no such fault or function.
    """
    fields = {"name": name, "function": function, "symbol": symbol, "times": times, "delay_s": delay_s}
    _ask(folder, "script_fault", fields)


def set_faults(folder: Path, *faults: str, seed: int = 1, latency_ms: float = 0.0) -> None:
    """What goes wrong by chance from now on, as the settings `faults`, `fault_seed` and `latency_ms` say it.

    Raises:
        TwinUnreachableError, TwinRefusedError: there is no such fault.
    """
    _ask(folder, "set_faults", faults, seed, latency_ms)


def clear_faults(folder: Path) -> None:
    """Nothing goes wrong any more, nor takes its time; who hangs is hung up on, its request is not executed.

    Raises:
        TwinUnreachableError
    """
    _ask(folder, "clear_faults")


def fault_counts(folder: Path) -> dict[str, int]:
    """How often each fault has befallen a call.

    Raises:
        TwinUnreachableError
    """
    counts: dict[str, int] = _ask(folder, "fault_counts")
    return counts


# What the broker changes; while this twin runs


def symbol_terms(folder: Path, symbol: str) -> dict[str, Any]:
    """The symbol's terms by name, and `is_open`: whether one of its sessions is on.

    Raises:
        TwinUnreachableError, TwinRefusedError
    """
    terms: dict[str, Any] = _ask(folder, "symbol_terms", symbol)
    return terms


def change_terms(folder: Path, symbol: str, **changes: Any) -> None:
    """Fields of domain.terms.Terms: sessions, stops level, trade mode, liquidity, …

    Raises:
        TwinUnreachableError, TwinRefusedError
    """
    _ask(folder, "change_terms", symbol, changes)


def change_account(folder: Path, **changes: bool) -> None:
    """`trade_allowed`, `trade_expert`: what the broker lets the account do.

    Raises:
        TwinUnreachableError, TwinRefusedError
    """
    _ask(folder, "change_account", changes)


# What a person does at the terminal


def change_terminal(folder: Path, **changes: Any) -> None:
    """Fields of back_office.TerminalState: connected (to the broker), trade_allowed (AutoTrading), ping_us, …

    Raises:
        TwinUnreachableError, TwinRefusedError
    """
    _ask(folder, "change_terminal", changes)


def log_in_as(folder: Path, login: int, server: str) -> None:
    """Log the terminal in to another account, until a client logs in to its own.

    Raises:
        TwinUnreachableError
    """
    _ask(folder, "log_in_as", login, server)


def stray_orders(folder: Path) -> int:
    """Trade requests that clients sent while another account was logged in; none was executed.

    Raises:
        TwinUnreachableError
    """
    count: int = _ask(folder, "stray_orders")
    return count


def request_by_hand(folder: Path, **fields: Any) -> OrderSendResult:
    """A trade request (fields of TradeRequest) as a person makes it: reason CLIENT, no magic.

    Raises:
        TwinUnreachableError
    """
    result: OrderSendResult = _ask(folder, "request_by_hand", fields)
    return result


def trade_by_hand(folder: Path, symbol: str, side: Literal["buy", "sell"], volume: float) -> OrderSendResult:
    """A market order.

    Raises:
        TwinUnreachableError, TwinRefusedError: it was not executed.
    """
    kind = ORDER_TYPE_BUY if side == "buy" else ORDER_TYPE_SELL
    return _executed(request_by_hand(folder, action=TRADE_ACTION_DEAL, symbol=symbol, volume=volume, type=kind))


def close_by_hand(folder: Path, ticket: int, volume: float | None = None) -> OrderSendResult:
    """Close the position, or so much of it.

    Raises:
        TwinUnreachableError, TwinRefusedError: it was not executed.
    """
    held = next((position for position in all_books(folder).positions if position.ticket == ticket), None)
    if held is None:
        raise TwinRefusedError(f"there is no position {ticket}")
    kind = ORDER_TYPE_SELL if held.type == POSITION_TYPE_BUY else ORDER_TYPE_BUY
    lots = held.volume if volume is None else volume
    fields = {"symbol": held.symbol, "volume": lots, "type": kind, "position": ticket}
    return _executed(request_by_hand(folder, action=TRADE_ACTION_DEAL, **fields))


def _executed(result: OrderSendResult) -> OrderSendResult:
    if result.retcode not in (TRADE_RETCODE_DONE, TRADE_RETCODE_DONE_PARTIAL):
        raise TwinRefusedError(f"{result.comment} ({result.retcode})")
    return result


def _ask(folder: Path, function: str, *arguments: object) -> Any:
    link = Link()
    try:
        link.open(folder, _TIMEOUT_S)
        return link.ask(function, *arguments)
    except TerminalError as error:
        if error.code == RES_E_INVALID_PARAMS:
            raise TwinRefusedError(error.message) from None
        raise TwinUnreachableError(f"the twin terminal in {folder} does not answer: {error.message}") from None
    finally:
        link.close()
