"""What an agent says and the database is to have: kept until the database has answered."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from mesh.errors import MeshError
from mesh.log import get_logger
from mesh.waiting import backoff
from services.trading_engine.database import DatabaseAwayError

log = get_logger(__name__)
T = TypeVar("T")

_MOST_AT_ONCE = 100
# The agent's flow control holds the rest back.
_MOST_WAITING = 1_000


class Intake(Generic[T]):
    """While one call is under way the next ones gather. One that is refused holds up no other.

    Args:
        what: For the log.
        store: Stores and acknowledges them, all or none.
        refuse: Says that one is refused for good.
    """

    def __init__(
        self, what: str, store: Callable[[list[T]], Awaitable[None]], refuse: Callable[[T, MeshError], Awaitable[None]]
    ) -> None:
        self._what = what
        self._store = store
        self._refuse = refuse
        self._waiting: asyncio.Queue[T] = asyncio.Queue(_MOST_WAITING)

    async def put(self, item: T) -> None:
        await self._waiting.put(item)

    async def done(self) -> None:
        """Returns when all that was put is answered."""
        await self._waiting.join()

    async def run(self) -> None:
        """Store, for ever."""
        while True:
            items = [await self._waiting.get()]
            while len(items) < _MOST_AT_ONCE and not self._waiting.empty():
                items.append(self._waiting.get_nowait())
            await self._take(items)
            for _ in items:
                self._waiting.task_done()

    async def _take(self, items: list[T]) -> None:
        pauses = backoff()
        while True:
            try:
                return await self._store(items)
            except DatabaseAwayError as error:
                log.warning(f"{self._what} wait", count=len(items), because=str(error))
                await asyncio.sleep(next(pauses))
            except MeshError as error:
                if len(items) == 1:
                    log.error("refused", what=self._what, because=str(error))
                    return await self._refuse(items[0], error)
                half = len(items) // 2
                await self._take(items[:half])
                return await self._take(items[half:])
