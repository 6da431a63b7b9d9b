"""Closes what is ours before the trading day ends, where the person wants that (preference `auto_close_trades`)."""

import asyncio
from collections.abc import Awaitable, Callable

from mesh.log import get_logger
from mesh.orders import ENTRIES
from pc_agent.domain.day_end import day_of, is_ending
from pc_agent.domain.orders import Signal
from pc_agent.domain.refusal import Refusal
from pc_agent.orders.confirmations import Preferences

log = get_logger(__name__)

_LOOK_S = 1.0
# What was not closed (a market that had closed, a broker that refused) is tried again after this long.
_AGAIN_S = 30.0


class AutoClose:
    """One account's. From `before_s` before the trade server's midnight until then there are no entries, and positions
    and pending orders of ours are closed.

    `server_s`: the server's clock, 0 while it is not known. `close_all` does it under a name that is used once.
    """

    def __init__(
        self,
        preferences: Preferences,
        before_s: int,
        server_s: Callable[[], int],
        close_all: Callable[[str], Awaitable[object]],
    ) -> None:
        self._preferences = preferences
        self._before_s = before_s
        self._server_s = server_s
        self._close_all = close_all

    def refusal(self, signal: Signal) -> Refusal | None:
        """What would be opened now would have to be closed at once."""
        if signal.kind not in ENTRIES or not self._is_time():
            return None
        return Refusal("DAY_ENDS", "the trading day ends and auto_close_trades is set: no entries until it is over")

    async def run(self) -> None:
        """Look at the server's clock, for ever."""
        tries = 0
        while True:
            if not self._is_time():
                tries = 0
                await asyncio.sleep(_LOOK_S)
                continue
            tries += 1
            log.info("the trading day ends: what is ours is closed", tries=tries)
            await self._close_all(f"day-end-{day_of(self._server_s())}-{tries}")
            await asyncio.sleep(_AGAIN_S)

    def _is_time(self) -> bool:
        server_s = self._server_s()
        return server_s > 0 and self._preferences.auto_close_trades and is_ending(server_s, self._before_s)
