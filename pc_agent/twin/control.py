"""What only a twin can be asked, by those who started it: how far it is, and to change what it shows.

What is done to its history stays done when it is started anew. Times are the trade server's, in milliseconds.
"""

from pathlib import Path
from typing import Any

from pc_agent.twin.constants import RES_E_INVALID_PARAMS
from pc_agent.twin.domain.ticks import Ticks
from pc_agent.twin.link import Link
from pc_agent.twin.market import FeedStatus
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
