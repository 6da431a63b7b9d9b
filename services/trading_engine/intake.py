"""What an agent says and the database is to have: kept until the database has answered."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from mesh.errors import MeshError, Reason
from mesh.log import get_logger
from mesh.waiting import backoff
from services.trading_engine.database import DatabaseAwayError

log = get_logger(__name__)
T = TypeVar("T")

_MOST_AT_ONCE = 100
# The agent's flow control holds the rest back.
_MOST_WAITING = 1_000
# So often in a row, in about half a minute, the database fails on one item before a person has to look at it.
_ACCIDENTS = 20


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
        pauses, tries = backoff(), 0
        while True:
            tries += 1
            try:
                return await self._store(items)
            except MeshError as error:
                away = isinstance(error, DatabaseAwayError)
                # An accident of the database's own may be one of these items': then it must not hold up the others.
                accident = away and error.reason is Reason.INTERNAL
                if len(items) > 1 and (accident or not away):
                    return await self._take_apart(items)
                if not away or (accident and tries >= _ACCIDENTS):
                    log.error("refused", what=self._what, because=str(error))
                    return await self._refuse(items[0], error)
                log.warning(f"{self._what} wait", count=len(items), because=str(error))
                await asyncio.sleep(next(pauses))

    async def _take_apart(self, items: list[T]) -> None:
        half = len(items) // 2
        await self._take(items[:half])
        await self._take(items[half:])
