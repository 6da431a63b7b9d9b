"""A terminal in this process, on a market that the test writes and a clock that it turns."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from pc_agent.twin.books import Books
from pc_agent.twin.dealer import Dealer
from pc_agent.twin.domain.interference import Interference
from pc_agent.twin.domain.terms import AccountTerms, Terms
from pc_agent.twin.market import open_market
from pc_agent.twin.terminal import Terminal
from tests.unit.pc_agent.twin.play import BIDS, SPREAD, Play

Quotes = list[tuple[int, float, float]]  # milliseconds of 2020-01-01, bid, ask
DAY_MS = 1_577_836_800_000


class Hand:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now_ms = DAY_MS

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def replay(tmp_path: Path) -> Callable[[str, Quotes], str]:
    """Write quotes as a file and return the feed that plays it."""

    def write(symbol: str, quotes: Quotes) -> str:
        path = tmp_path / f"{symbol}.csv"
        rows = "".join(f"2020-01-01,{ms},{bid:.5f},{ask:.5f}\n" for ms, bid, ask in quotes)
        path.write_text("date,ms_of_day_utc,bid,ask\n" + rows)
        return f"{symbol}={path}"

    return write


OpenTerminal = Callable[..., Terminal]


@pytest.fixture
def open_terminal(tmp_path: Path, hand: Hand) -> Iterator[OpenTerminal]:
    """Open the terminal of the test's folder, as often as it likes; the one before is closed."""
    with ExitStack() as stack:
        before = stack.enter_context(ExitStack())

        def start(
            *feeds: str, speed: str = "max", seed: int = 1, deposit: float = 100_000.0, hidden: tuple[str, ...] = (),
            suffix: str = "", terms: Terms | None = None, interference: Interference | None = None,
            folder: Path = tmp_path, **account: Any,
        ) -> Terminal:  # fmt: skip
            """`terms` are every symbol's, `account` more of AccountTerms."""
            before.close()
            books = before.enter_context(closing(Books(folder / "books.sqlite")))
            market = before.enter_context(
                open_market(folder / "market", books, feeds, seed, speed, hand, hidden, suffix)
            )
            conditions = dict.fromkeys(market.series, terms or Terms())
            dealer = Dealer(AccountTerms("test", 1, "USD", 100, deposit, **account), market, books, hand, conditions)
            return Terminal(folder, "secret", market, books, dealer, interference)

        yield start


@pytest.fixture
def play(open_terminal: OpenTerminal, replay: Callable[[str, Quotes], str], hand: Hand) -> Callable[..., Play]:
    """Begin a market of these bids."""

    def start(bids: list[float] = BIDS, **more: Any) -> Play:
        quotes = [(1000 + 1000 * place, bid, bid + SPREAD) for place, bid in enumerate(bids)]
        return Play(open_terminal(replay("EURUSD", quotes), speed="1", **more), hand)

    return start
