"""Closes what is ours before the trading day ends, where the person wants that (preference `auto_close_trades`)."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Set

from mesh.log import get_logger
from mesh.orders import ENTRIES
from pc_agent.domain.day_end import day_of, is_ending, is_to_be_closed, was_left_open
from pc_agent.domain.orders import Signal
from pc_agent.domain.refusal import Refusal
from pc_agent.orders.confirmations import Preferences
from pc_agent.orders.flattening import Held

log = get_logger(__name__)

_LOOK_S = 1.0
# What was not closed (a market that had closed, a broker that refused) is tried again after this long.
_AGAIN_S = 30.0


class AutoClose:
    """One account's. From `before_s` before a symbol's last quotes of the trade server's day until its midnight there
    are no entries on it, and what is ours of it is closed. What stays open all the same is told.

    `server_s`: the server's clock, 0 while it is not known. `day_end_s`: when a symbol's quotes of that day end.
    `flatten` closes what is ours of some symbols, under a name that is used once.
    """

    def __init__(
        self,
        preferences: Preferences,
        before_s: int,
        server_s: Callable[[], int],
        day_end_s: Callable[[str, int], int],
        held: Held,
        flatten: Callable[[Set[str], str], Awaitable[object]],
    ) -> None:
        self._preferences = preferences
        self._before_s = before_s
        self._server_s = server_s
        self._day_end_s = day_end_s
        self._held = held
        self._flatten = flatten
        # When the symbols were tried last, and on which day which positions were told of.
        self._tried: dict[str, float] = {}
        self._told: dict[int, int] = {}

    def refusal(self, signal: Signal) -> Refusal | None:
        """What would be opened now would have to be closed at once."""
        server_s = self._wanted_s()
        if signal.kind not in ENTRIES or not server_s:
            return None
        if not is_ending(server_s, self._before_s, self._day_end_s(signal.symbol, server_s)):
            return None
        words = f"the trading day of {signal.symbol} ends and auto_close_trades is set: no entries until it is over"
        return Refusal("DAY_ENDS", words)

    def finding(self) -> str:
        """What stayed open past a day's end, and what to do; empty: nothing."""
        tickets = ", ".join(str(ticket) for ticket in sorted(self._told))
        return f"open past the trading day's end though auto_close_trades is set: {tickets}" if tickets else ""

    async def run(self) -> None:
        """Look at the server's clock, for ever."""
        while True:
            if server_s := self._wanted_s():
                self._tell(server_s)
                await self._close(server_s)
            else:
                self._told.clear()
            await asyncio.sleep(_LOOK_S)

    def _wanted_s(self) -> int:
        """The server's clock; 0: it is not known, or nothing is to be closed by it."""
        return self._server_s() if self._preferences.auto_close_trades else 0

    def _tell(self, server_s: int) -> None:
        day = day_of(server_s)
        left = [
            one
            for one in self._held.ours()
            if was_left_open(one.opened_msc // 1000, server_s, self._day_end_s(one.symbol, server_s))
        ]
        for one in left:
            if self._told.get(one.ticket) != day:
                log.warning(
                    "a position stays open past the trading day's end, though auto_close_trades is set: close it by"
                    " hand if it is not to be held",
                    ticket=one.ticket, symbol=one.symbol, volume=one.volume,
                )  # fmt: skip
        self._told = {one.ticket: day for one in left}

    async def _close(self, server_s: int) -> None:
        symbols = self._due(server_s)
        if not symbols:
            return
        log.info("the trading day ends: what is ours is closed", symbols=sorted(symbols))
        if await self._held.look():
            await self._flatten(symbols, f"day-end-{time.time_ns()}")
        self._tried |= dict.fromkeys(symbols, time.monotonic())

    def _due(self, server_s: int) -> set[str]:
        """Of what is held, whose time has come and who was not tried just now."""
        now = time.monotonic()
        self._tried = {symbol: at for symbol, at in self._tried.items() if now - at < _AGAIN_S}
        symbols = {one.symbol for one in self._held.ours()} | {one.symbol for one in self._held.our_orders()}
        return {
            symbol
            for symbol in symbols - self._tried.keys()
            if is_to_be_closed(server_s, self._before_s, self._day_end_s(symbol, server_s))
        }
