"""What an agent says and the database is to have: kept until the database has answered."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
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


class Intake(Generic[T]):
    """While one call is under way the next ones gather. One that is refused, or that the database fails on, holds up no
    other. What is not refused is tried until it is stored: it is what was done with somebody's money.

    Args:
        what: For the log.
        about: Whom an item tells of: those of one are stored in the order in which they were put.
        store: Stores and acknowledges them, all or none.
        refuse: Says that one is refused for good.
    """

    def __init__(
        self,
        what: str,
        about: Callable[[T], object],
        store: Callable[[list[T]], Awaitable[None]],
        refuse: Callable[[T, MeshError], Awaitable[None]],
    ) -> None:
        self._what = what
        self._about = about
        self._store = store
        self._refuse = refuse
        self._waiting: asyncio.Queue[T] = asyncio.Queue(_MOST_WAITING)

    async def put(self, item: T) -> None:
        await self._waiting.put(item)

    async def done(self) -> None:
        """Returns when all that was put is answered, but for what the database fails on: it is told again."""
        await self._waiting.join()

    async def run(self) -> None:
        """Store, for ever."""
        failed: list[T] = []
        pauses = backoff()
        while True:
            if not failed:
                pauses = backoff()
            came = await self._came(_MOST_AT_ONCE - len(failed), next(pauses) if failed else None)
            failed = await self._take([*failed, *came])
            for _ in came:
                self._waiting.task_done()

    async def _came(self, most: int, within_s: float | None) -> list[T]:
        """What was put, at most so many; waits for the first one, at most so long."""
        came: list[T] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                if most == 0:
                    await asyncio.Event().wait()  # enough has failed: first some of that is to be stored
                came.append(await self._waiting.get())
        while len(came) < most and not self._waiting.empty():
            came.append(self._waiting.get_nowait())
        return came

    async def _take(self, items: list[T]) -> list[T]:
        """Those that the database fails on; while it is away all wait."""
        pauses = backoff()
        while True:
            try:
                await self._store(items)
            except MeshError as error:
                away = isinstance(error, DatabaseAwayError)
                # An accident of the database's own may be one of these items': then it must not hold up the others.
                accident = away and error.reason is Reason.INTERNAL
                if len(items) > 1 and (accident or not away):
                    return await self._take_apart(items)
                if not away:
                    log.error("refused", what=self._what, because=str(error))
                    await self._refuse(items[0], error)
                    return []
                log.warning(f"{self._what} wait", count=len(items), because=str(error))
                if accident:
                    return items
                await asyncio.sleep(next(pauses))
            else:
                return []

    async def _take_apart(self, items: list[T]) -> list[T]:
        half = len(items) // 2
        failed = await self._take(items[:half])
        about = {self._about(item) for item in failed}
        held = [item for item in items[half:] if self._about(item) in about]
        others = [item for item in items[half:] if self._about(item) not in about]
        return [*failed, *held, *(await self._take(others) if others else [])]
