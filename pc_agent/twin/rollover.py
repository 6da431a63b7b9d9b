"""Swaps: what every position is charged at the trade server's midnight."""

from pc_agent.twin.books import Books
from pc_agent.twin.domain.situation import exposure
from pc_agent.twin.domain.swap import night, nights, server_day
from pc_agent.twin.market import Clock
from pc_agent.twin.quotes import Quotes
from pc_agent.twin.results import TradePosition


class Rollover:
    """Nights that passed while the terminal was down are charged when it is back."""

    def __init__(self, quotes: Quotes, books: Books, clock: Clock) -> None:
        self._quotes = quotes
        self._books = books
        self._clock = clock
        if not books.charged_to_day:
            books.charge((), server_day(clock()))

    def charge(self) -> None:
        """Charge what is due."""
        today = server_day(self._clock())
        if today > self._books.charged_to_day:
            charged = [self._charged(position, today) for position in self._books.positions.values()]
            self._books.charge(charged, today)

    def _charged(self, position: TradePosition, today: int) -> TradePosition:
        what, terms, held = self._quotes.instruments[position.symbol], self._quotes.terms[position.symbol], position
        count = nights(self._books.charged_to_day, today, terms.swap_rollover3days)
        quote, quote_rate = self._quotes.newest(position.symbol), self._quotes.quote_rate(what)
        if not count or quote is None or quote_rate is None:
            return position
        one = night(
            what, terms, exposure(held).side, held.volume, held.price_open, quote[0],
            self._quotes.base_rate(what) or 0.0, quote_rate,
        )  # fmt: skip
        return position._replace(swap=round(position.swap + one * count, 2))
