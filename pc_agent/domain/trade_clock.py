"""The trade server's clock, as its quotes tell it; it runs on by the PC's own clock while no quote moves."""

# Servers are up to 14 h ahead of UTC: a quote that is further off is old, or of a replay.
_MOST_OFF_S = 15 * 3600
# Looked at again this soon, a quote that moved is as young as the time between the two looks.
_FRESH_S = 5.0
# So much behind a fresh quote's clock ours must be ahead to count as set back, as by the end of summer time.
_SET_BACK_S = 60
# Brokers' clocks differ from UTC by quarter hours.
_QUARTER_S = 900
_MOST_AHEAD_S = 14 * 3600 + _QUARTER_S // 2


class TradeClock:
    """One account's. Times in whole seconds of the server's clock and of UTC; `now_s`: seconds since the PC's start."""

    def __init__(self) -> None:
        self._anchor: tuple[int, float] | None = None
        # A quote that was seen to move as far as time did, and when: it was new.
        self._live: tuple[int, float] | None = None
        # The symbol that told last, its quote, when that moved here and when it was looked at.
        self._seen = ("", 0, float("-inf"), float("-inf"))

    @property
    def is_told(self) -> bool:
        """A quote has told it: it is behind the server's clock at most."""
        return self._anchor is not None

    def quoted(self, symbol: str, quote_s: int, utc_s: int, now_s: float) -> None:
        """The newest quote of `symbol` is of `quote_s`; the clock can not be behind it, but the quote may be old."""
        before, before_s, moved_at_s, at_s = self._seen
        is_same = (symbol, quote_s) == (before, before_s)
        self._seen = symbol, quote_s, moved_at_s if is_same else now_s, now_s
        is_fresh = symbol == before and quote_s > before_s and now_s - at_s <= _FRESH_S
        if is_fresh and abs(quote_s - before_s - (now_s - moved_at_s)) <= _FRESH_S:
            self._live = quote_s, now_s
        if abs(quote_s - utc_s) >= _MOST_OFF_S:
            return
        ahead_s = self.at(utc_s, now_s) - quote_s if self._anchor else -1
        if ahead_s < 0 or (is_fresh and ahead_s > _SET_BACK_S):
            self._anchor = quote_s, now_s

    def at(self, utc_s: int, now_s: float) -> int:
        """UTC while no quote has told it."""
        if self._anchor is None:
            return utc_s
        quote_s, at_s = self._anchor
        return quote_s + int(now_s - at_s)

    def ahead_s(self, utc_s: int, now_s: float) -> int | None:
        """What the server's clock shows more than UTC, or a replay's quotes; None: no quote was seen to move."""
        if self._live is None:
            return None
        quote_s, at_s = self._live
        ahead_s = quote_s + int(now_s - at_s) - utc_s
        return ahead_s if abs(ahead_s) > _MOST_AHEAD_S else round(ahead_s / _QUARTER_S) * _QUARTER_S
