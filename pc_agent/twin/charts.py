"""Bars and the depth of market, made of the market's ticks when a client asks for them."""

from collections.abc import Callable
from typing import Any

from pc_agent.twin import constants as mt5
from pc_agent.twin.domain.depth import depth
from pc_agent.twin.domain.rates import TIMEFRAME_NAMES, Rates, newest_rates, rates_between, rates_until
from pc_agent.twin.domain.ticks import Ticks
from pc_agent.twin.market import Market
from pc_agent.twin.wire import TerminalError

# As many bars as a chart holds, or more, are refused whole, not cut.
MAX_BARS = 100_000

_NOT_FOUND = (mt5.RES_E_NOT_FOUND, "Terminal: Not found")
_CALL_FAILED = (mt5.RES_E_FAIL, "Terminal: Call failed")
_INVALID_PARAMS = (mt5.RES_E_INVALID_PARAMS, "Terminal: Invalid params")


class Charts:
    """Called under the terminal's lock; records go as bytes."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._open_depths: set[str] = set()
        functions: tuple[Callable[..., Any], ...] = (
            self.copy_rates_from, self.copy_rates_from_pos, self.copy_rates_range,
            self.market_book_add, self.market_book_release, self.market_book_get,
        )  # fmt: skip
        self.functions = {function.__name__: function for function in functions}

    def copy_rates_from(self, symbol: str, timeframe: int, until_s: int, count: int) -> bytes:
        ticks, name, point = self._asked(symbol, timeframe)
        _require(until_s >= 0 and 0 < count < MAX_BARS)
        return rates_until(ticks, name, until_s, count, point).tobytes()

    def copy_rates_from_pos(self, symbol: str, timeframe: int, start: int, count: int) -> bytes:
        ticks, name, point = self._asked(symbol, timeframe)
        _require(start >= 0 and count > 0 and start + count < MAX_BARS)
        rates = newest_rates(ticks, name, start, count, point)
        if not len(rates):
            raise TerminalError(*_CALL_FAILED)
        return rates.tobytes()

    def copy_rates_range(self, symbol: str, timeframe: int, since_s: int, until_s: int) -> bytes:
        ticks, name, point = self._asked(symbol, timeframe)
        _require(since_s >= 0 and until_s >= 0)
        rates: Rates = rates_between(ticks, name, since_s, until_s, point)
        _require(len(rates) < MAX_BARS)
        return rates.tobytes()

    def market_book_add(self, symbol: str) -> bool:
        self._open_depths.add(self._known(symbol))
        return True

    def market_book_release(self, symbol: str) -> bool:
        was_open = self._known(symbol) in self._open_depths
        self._open_depths.discard(symbol)
        return was_open

    def market_book_get(self, symbol: str) -> tuple[Any, ...]:
        """Empty before the first tick."""
        if self._known(symbol) not in self._open_depths:
            raise TerminalError(*_CALL_FAILED)
        newest = self._market.newest(symbol)
        return depth(newest[0], self._point(symbol)) if len(newest) else ()

    def _asked(self, symbol: str, timeframe: int) -> tuple[Ticks, str, float]:
        self._known(symbol)
        _require(timeframe in TIMEFRAME_NAMES)
        return self._market.ticks(symbol), TIMEFRAME_NAMES[timeframe], self._point(symbol)

    def _known(self, symbol: str) -> str:
        if symbol not in self._market.symbols:
            raise TerminalError(*_NOT_FOUND)
        return symbol

    def _point(self, symbol: str) -> float:
        return float(10.0 ** -self._market.series[symbol].digits)


def _require(valid: bool) -> None:
    if not valid:
        raise TerminalError(*_INVALID_PARAMS)
