"""A subscriber that wants the newest tick of each symbol, whenever it is ready for one."""

import asyncio
from contextlib import suppress
from typing import NamedTuple

from mesh.errors import MeshError
from mesh.market import TickId
from services.data_bridge.domain.progress import Standing, SymbolKey, compare
from services.data_bridge.tick_message import TickMessage


class Newest(NamedTuple):
    """A message of one tick, and how many before it were left out."""

    payload: bytes
    missed: int


class ConflatedSubscription:
    """Implements `feed.Listener`. Holds one tick a symbol, however long nobody reads."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._next_at = 0.0
        self._cursors: dict[SymbolKey, TickId] = {}
        self._newest: dict[SymbolKey, Newest] = {}
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()
        self._failure: MeshError | None = None

    def hear(self, message: TickMessage) -> None:
        cursor = self._cursors.get(message.key, message.prev)
        standing = compare(message.prev, message.last, cursor)
        if standing is Standing.OLD:
            return
        self._cursors[message.key] = message.last
        fresh = message.after(cursor).ticks if standing is Standing.OVERLAPS else message.ticks
        if fresh:
            waiting = self._newest.get(message.key)
            before = waiting.missed + 1 if waiting else 0
            self._newest[message.key] = Newest(message.newest, before + fresh - 1)
            self._changed.set()

    def end(self, failure: MeshError) -> None:
        self._failure = failure
        self._changed.set()
        self._ended.set()

    async def read(self) -> dict[SymbolKey, Newest]:
        """The newest ticks since the last call, when it is time for them; waits for the first.

        Raises:
            MeshError: SHUTTING_DOWN.
        """
        await self._interval()
        while not self._newest and not self._failure:
            await self._changed.wait()
            self._changed.clear()
        if self._failure:
            raise self._failure
        self._next_at = asyncio.get_running_loop().time() + self._interval_s
        newest, self._newest = self._newest, {}
        return newest

    async def _interval(self) -> None:
        """Until the next response may go, or the end."""
        if asyncio.get_running_loop().time() < self._next_at:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._next_at):
                    await self._ended.wait()
