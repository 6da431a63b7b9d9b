"""The trade server's clock, as its quotes tell it; it runs on by the PC's own clock while no quote moves."""

# Servers are up to 14 h ahead of UTC: a quote that is further off is old, or of a replay.
_MOST_OFF_S = 15 * 3600
# Looked at again this soon, a quote that moved is as young as the time between the two looks.
_FRESH_S = 5.0
# So much behind a fresh quote's clock ours must be ahead to count as set back, as by the end of summer time.
_SET_BACK_S = 60


class TradeClock:
    """One account's. Times in whole seconds of the server's clock and of UTC; `now_s`: seconds since the PC's start."""

    def __init__(self) -> None:
        self._anchor: tuple[int, float] | None = None
        self._seen = ("", 0, float("-inf"))

    def quoted(self, symbol: str, quote_s: int, utc_s: int, now_s: float) -> None:
        """The newest quote of `symbol` is of `quote_s`; the clock can not be behind it, but the quote may be old."""
        before, before_s, at_s = self._seen
        self._seen = symbol, quote_s, now_s
        if abs(quote_s - utc_s) >= _MOST_OFF_S:
            return
        ahead_s = self.at(utc_s, now_s) - quote_s if self._anchor else -1
        is_fresh = symbol == before and quote_s > before_s and now_s - at_s <= _FRESH_S
        if ahead_s < 0 or (is_fresh and ahead_s > _SET_BACK_S):
            self._anchor = quote_s, now_s

    def at(self, utc_s: int, now_s: float) -> int:
        """UTC while no quote has told it."""
        if self._anchor is None:
            return utc_s
        quote_s, at_s = self._anchor
        return quote_s + int(now_s - at_s)
