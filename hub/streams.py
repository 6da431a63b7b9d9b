"""Long streams: each hears of news, and all end at once when the hub stops, so that clients go elsewhere."""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Generic, TypeVar

from mesh.errors import MeshError, Reason

T = TypeVar("T")

# A client that sends faster than it is answered waits here, and then in HTTP/2's own window.
_INBOX_SIZE = 16


def stopping_error() -> MeshError:
    """What a stopping hub says to those who hold a stream."""
    return MeshError(Reason.SHUTTING_DOWN, "this hub is stopping; connect again, to this or another hub")


class Bell:
    """Wakes those who listen: there is news, or the hub stops."""

    def __init__(self) -> None:
        self._ears: set[asyncio.Event] = set()
        self.stopping = False

    @contextmanager
    def listening(self) -> Iterator[asyncio.Event]:
        """An event that every ring sets; the listener clears it."""
        ear = asyncio.Event()
        self._ears.add(ear)
        try:
            yield ear
        finally:
            self._ears.discard(ear)

    def ring(self) -> None:
        """There is news."""
        for ear in self._ears:
            ear.set()

    def stop(self) -> None:
        """The hub stops: listeners end their streams."""
        self.stopping = True
        self.ring()


class Inbox(Generic[T]):
    """Requests of one stream as they arrive, for a handler that waits for other things too."""

    def __init__(self, ear: asyncio.Event) -> None:
        self._ear = ear
        self._waiting: deque[T] = deque()
        self._room = asyncio.Event()
        self.ended = False

    def take(self) -> T | None:
        """The oldest request, if any waits."""
        if not self._waiting:
            return None
        self._room.set()
        return self._waiting.popleft()

    async def fill(self, requests: AsyncIterable[T]) -> None:
        """Read until the client is done."""
        try:
            async for request in requests:
                self._waiting.append(request)
                self._ear.set()
                while len(self._waiting) >= _INBOX_SIZE:
                    self._room.clear()
                    await self._room.wait()
        finally:
            self.ended = True
            self._ear.set()


@asynccontextmanager
async def inbox(requests: AsyncIterable[T], ear: asyncio.Event) -> AsyncIterator[Inbox[T]]:
    """Read `requests` beside the block; each sets `ear`, and so does their end."""
    box: Inbox[T] = Inbox(ear)
    async with asyncio.TaskGroup() as tasks:
        reader = tasks.create_task(box.fill(requests), name="read requests")
        try:
            yield box
        finally:
            reader.cancel()


async def heard(ear: asyncio.Event, timeout_s: float | None = None) -> None:
    """Wait for the next ring, or the time; then listen anew."""
    try:
        async with asyncio.timeout(timeout_s):
            await ear.wait()
    except TimeoutError:
        return
    ear.clear()
