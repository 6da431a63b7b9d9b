"""What only a twin is asked, by those who started it: how far it is, and to do what brokers do to histories."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from pc_agent.twin import constants as mt5
from pc_agent.twin.books import Books
from pc_agent.twin.domain.history import Replacement
from pc_agent.twin.domain.ticks import TICK_DTYPE, Ticks, first_at
from pc_agent.twin.downloads import Depth, Downloads
from pc_agent.twin.market import FeedStatus, Market
from pc_agent.twin.wire import TerminalError

_TICK_READS = ("copy_ticks_from", "copy_ticks_range")


class Operations:
    """Called under the terminal's lock, but for `before_history_read`."""

    def __init__(self, market: Market, books: Books) -> None:
        self._market = market
        self._books = books
        self._downloads = Downloads(market)
        self._delay_s = 0.0
        self._failures = 0
        functions: tuple[Callable[..., Any], ...] = (
            self.feed_status, self.hold_feeds, self.deal_count,
            self.correct_tick, self.remove_ticks, self.insert_ticks, self.show_symbol, self.step_clock,
            self.disturb_history, self.slow_history,
        )  # fmt: skip
        self.functions = {function.__name__: function for function in functions}

    def feed_status(self) -> dict[str, FeedStatus]:
        return self._market.status()

    def hold_feeds(self) -> dict[str, FeedStatus]:
        self._market.hold()
        return self._market.status()

    def deal_count(self, magic: int | None) -> int:
        return self._books.count_deals(magic)

    def correct_tick(self, symbol: str, time_msc: int, ordinal: int, bid: float, ask: float) -> None:
        """Another price in place of the one that was."""
        first, last = self._bounds(symbol, time_msc, time_msc + 1)
        if not 0 <= ordinal < last - first:
            raise _refused(f"{symbol} has {last - first} ticks at {time_msc}, none at place {ordinal}")
        same = self._market.ticks(symbol)[first:last].copy()
        same[ordinal]["bid"], same[ordinal]["ask"] = bid, ask
        self._replace(symbol, time_msc, time_msc + 1, same)

    def correct_one(self, place: float) -> None:
        """The tick at that place of the whole history, from 0 to 1, is a point dearer from now on."""
        there = {symbol: ticks for symbol in sorted(self._market.symbols) if len(ticks := self._market.ticks(symbol))}
        index = int(place * sum(map(len, there.values())))
        for symbol, ticks in there.items():
            if index < len(ticks):
                tick, point = ticks[index], 10.0 ** -self._market.series[symbol].digits
                time_msc = int(tick["time_msc"])
                ordinal = index - first_at(ticks, time_msc)
                self.correct_tick(symbol, time_msc, ordinal, float(tick["bid"]) + point, float(tick["ask"]) + point)
                return
            index -= len(ticks)

    def remove_ticks(self, symbol: str, from_msc: int, to_msc: int) -> int:
        """How many there were."""
        first, last = self._bounds(symbol, from_msc, to_msc)
        self._replace(symbol, from_msc, to_msc, np.empty(0, TICK_DTYPE))
        return last - first

    def insert_ticks(self, symbol: str, records: bytes) -> int:
        """Behind those of the same millisecond; how many."""
        fresh = np.frombuffer(records, TICK_DTYPE)
        if not len(fresh):
            return 0
        times = fresh["time_msc"]
        if (np.diff(times) < 0).any():
            raise _refused("the ticks are not in order of time")
        from_msc, to_msc = int(times[0]), int(times[-1]) + 1
        first, last = self._bounds(symbol, from_msc, to_msc)
        if to_msc - 1 > self._market.now_msc(symbol):
            raise _refused(f"{symbol} is at {self._market.now_msc(symbol)}: {to_msc - 1} is not the past")
        merged = np.concatenate((self._market.ticks(symbol)[first:last], fresh))
        self._replace(symbol, from_msc, to_msc, merged[np.argsort(merged["time_msc"], kind="stable")])
        return len(fresh)

    def show_symbol(self, symbol: str) -> None:
        if symbol not in self._market.series:
            raise _refused(f"there is no feed of {symbol}")
        self._market.show(symbol)

    def step_clock(self, by_ms: int) -> None:
        self._market.step_clock(by_ms)

    def disturb_history(self, delay_s: float, failures: int) -> None:
        self._delay_s, self._failures = delay_s, failures

    def slow_history(self, at_hand_days: float | None, s_per_day: float) -> None:
        self._downloads.slow(None if at_hand_days is None else Depth(at_hand_days, s_per_day))

    def before_history_read(self, function: str, arguments: tuple[Any, ...]) -> bool:
        """Whether there is anything to read: outside the lock, for it may take its time.

        Raises TerminalError while history reads are to fail.
        """
        if self._delay_s:
            time.sleep(self._delay_s)
        if self._failures > 0:
            self._failures -= 1
            raise TerminalError(mt5.RES_E_FAIL, "Terminal: Call failed")
        if function not in _TICK_READS:
            return True
        symbol, since_s, *_ = arguments
        return self._downloads.has(symbol, since_s)

    def _bounds(self, symbol: str, from_msc: int, to_msc: int) -> tuple[int, int]:
        if symbol not in self._market.symbols:
            raise _refused(f"the terminal shows no {symbol}")
        if from_msc >= to_msc:
            raise _refused(f"{from_msc} is not before {to_msc}")
        ticks = self._market.ticks(symbol)
        return first_at(ticks, from_msc), first_at(ticks, to_msc)

    def _replace(self, symbol: str, from_msc: int, to_msc: int, ticks: Ticks) -> None:
        at = self._market.released(symbol)
        self._market.revise([Replacement(symbol, at, from_msc, to_msc, ticks)])


def _refused(why: str) -> TerminalError:
    return TerminalError(mt5.RES_E_INVALID_PARAMS, why)
