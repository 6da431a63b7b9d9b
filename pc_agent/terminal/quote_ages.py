"""For how long each symbol's quote has stood, by the worker's own clock.

A terminal stamps quotes with its broker's clock, which nobody knows to the second: what counts is when it moved here.
"""

Quote = tuple[int, float, float]


class QuoteAges:
    """Times are since the PC's start (`mesh.clock.boot_ns`)."""

    def __init__(self) -> None:
        self._quotes: dict[str, Quote] = {}
        self._moved: dict[str, int] = {}

    def moved(self, symbol: str, at_ns: int) -> None:
        """New ticks of `symbol` were read."""
        self._moved[symbol] = at_ns

    def age_ns(self, symbol: str, quote: Quote, now_ns: int) -> int:
        """Since `quote` was first seen here; one that nobody saw come counts as new."""
        if self._quotes.get(symbol) != quote:
            is_first = symbol not in self._quotes and symbol in self._moved
            self._quotes[symbol] = quote
            if not is_first:
                self._moved[symbol] = now_ns
        return now_ns - self._moved[symbol]
