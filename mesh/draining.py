"""Whether a server is out of discovery, for those who hold long streams."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal


class Draining(asyncio.Event):
    """Set while callers are to go elsewhere: the program stops, or a person took it out of service for a while.

    Streams that would stay open end themselves when it is set; until it is cleared new ones are refused.
    """

    def __init__(self) -> None:
        super().__init__()
        self._over = asyncio.Event()
        self._over.set()

    def set(self) -> None:
        self._over.clear()
        super().set()

    def clear(self) -> None:
        super().clear()
        self._over.set()

    async def over(self) -> Literal[True]:
        """Returns when it is not set."""
        return await self._over.wait()

    async def each_time(self, end_streams: Callable[[], Awaitable[None]]) -> None:
        """Call `end_streams` whenever it is set, for ever."""
        while True:
            await self.wait()
            await end_streams()
            await self.over()
