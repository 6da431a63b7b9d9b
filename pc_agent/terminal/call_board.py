"""What a worker is doing at this moment, seen by the agent in shared memory; and what it must not do any more.

A worker inside a call of the terminal's package can say nothing: so it says before each call until when the call may
take, and the agent looks. Both sides read the same monotonic clock, the machine's.
"""

import ctypes
import time
from collections.abc import Mapping
from multiprocessing.context import BaseContext
from typing import Any

# Functions that may be called, by number, for words.
FUNCTIONS = (
    "initialize", "login", "shutdown", "version", "terminal_info", "account_info", "last_error",
    "copy_ticks_from", "copy_ticks_range", "copy_rates_from", "copy_rates_from_pos", "copy_rates_range",
    "positions_total", "positions_get", "orders_total", "orders_get", "history_orders_total", "history_orders_get",
    "history_deals_total", "history_deals_get", "order_check", "order_send", "order_calc_margin", "order_calc_profit",
    "symbol_info", "symbol_info_tick", "symbol_select", "symbols_total", "symbols_get",
    "market_book_add", "market_book_get", "market_book_release",
)  # fmt: skip
_TURNED, _UNTIL, _FUNCTION, _CALLS, _NO_ENTRIES = range(5)
# Python and its packages, on a PC that starts everything at once.
_START_NS = 30_000_000_000


class CallBoard:
    """Five numbers: when the loop turned, until when the call may take (0: none runs), which call, how many; whether
    entries are stopped, which the agent writes."""

    def __init__(self, numbers: Any) -> None:
        self._numbers = numbers

    @classmethod
    def shared(cls, context: BaseContext) -> "CallBoard":
        """One that a process made in `context` can be given; its loop is not missed before that has started."""
        board = cls(context.RawArray(ctypes.c_int64, 5))
        board._numbers[_TURNED] = time.monotonic_ns() + _START_NS
        return board

    # the worker's side

    def turn(self) -> None:
        """The loop turns."""
        self._numbers[_TURNED] = time.monotonic_ns()

    def begin(self, function: int, timeout_ns: int) -> None:
        self._numbers[_FUNCTION] = function
        self._numbers[_UNTIL] = time.monotonic_ns() + timeout_ns

    def end(self) -> None:
        self._numbers[_UNTIL] = 0
        self._numbers[_CALLS] += 1
        self.turn()

    @property
    def entries_stopped(self) -> bool:
        """Whatever was asked before: an entry that has not been sent goes back to the agent."""
        return bool(self._numbers[_NO_ENTRIES])

    # the agent's side

    def stop_entries(self, stopped: bool) -> None:
        self._numbers[_NO_ENTRIES] = stopped

    @property
    def calls(self) -> int:
        """How many have ended."""
        return int(self._numbers[_CALLS])

    def hangs(self, hang_ns: int) -> str:
        """Where the worker hangs, in words; empty: it does not. Outside of calls it may stand still for `hang_ns`."""
        now, until = time.monotonic_ns(), self._numbers[_UNTIL]
        if until:
            return f"{FUNCTIONS[self._numbers[_FUNCTION]]} does not return" if now > until else ""
        still = now - self._numbers[_TURNED]
        return f"its loop has stood still for {still / 1e9:.1f} s" if still > hang_ns else ""


class WatchedCalls:
    """The terminal's package, each call of which is on the board while it runs.

    `timeouts_ms`: how long a call may take, by function; `other_ms`: any other.
    """

    def __init__(self, mt5: Any, board: CallBoard, timeouts_ms: Mapping[str, int], other_ms: int) -> None:
        self._mt5 = mt5
        self._board = board
        self._timeouts_ms = dict(timeouts_ms)
        self._other_ms = other_ms

    def allow(self, function: str, timeout_ms: int) -> None:
        """How long calls of `function` may take from now on."""
        self._timeouts_ms[function] = timeout_ms

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._mt5, name)
        if name not in FUNCTIONS:
            return value
        board, number, timeouts_ms = self._board, FUNCTIONS.index(name), self._timeouts_ms

        def call(*arguments: Any, **named: Any) -> Any:
            board.begin(number, timeouts_ms.get(name, self._other_ms) * 1_000_000)
            try:
                return value(*arguments, **named)
            finally:
                board.end()

        setattr(self, name, call)  # found without this detour from now on
        return call
