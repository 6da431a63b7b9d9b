"""What only a twin can be asked, by those who started it: how far its feeds are, how many deals it made."""

from pathlib import Path
from typing import Any

from pc_agent.twin.link import Link
from pc_agent.twin.market import FeedStatus
from pc_agent.twin.wire import TerminalError

_TIMEOUT_S = 5.0


class TwinUnreachableError(ConnectionError):
    """No twin answers for that folder (now: it may be starting again)."""


def feed_status(folder: Path) -> dict[str, FeedStatus]:
    """By symbol: sent (ticks released so far; never falls), total (None: endless), digits, ended.

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


def _ask(folder: Path, function: str, *arguments: object) -> Any:
    link = Link()
    try:
        link.open(folder, _TIMEOUT_S)
        return link.ask(function, *arguments)
    except TerminalError as error:
        raise TwinUnreachableError(f"the twin terminal in {folder} does not answer: {error.message}") from None
    finally:
        link.close()
