"""Long streams: each hears of news, and all end at once when the hub stops, so that clients go elsewhere."""

import asyncio
from collections.abc import AsyncIterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from mesh.errors import MeshError, Reason
from mesh.log import get_logger

log = get_logger(__name__)
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

    def __len__(self) -> int:
        """How many listen."""
        return len(self._ears)

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
        # A few at most, mostly none: a deque, and an event that hardly ever is waited for, take half a kilobyte each.
        self._waiting: list[T] = []
        self._room: asyncio.Event | None = None
        self._unreadable = False
        self.ended = False

    def take(self) -> T | None:
        """The oldest request, if any waits.

        Raises:
            MeshError: what came next was no message of the contract.
        """
        if not self._waiting:
            if self._unreadable:
                raise MeshError(Reason.INVALID_ARGUMENT, "a message could not be read: it is none of this contract")
            return None
        if self._room is not None:
            self._room.set()
        return self._waiting.pop(0)

    async def fill(self, requests: AsyncIterable[T]) -> None:
        """Read until the client is done."""
        try:
            async for request in requests:
                self._waiting.append(request)
                self._ear.set()
                while len(self._waiting) >= _INBOX_SIZE:
                    self._room = asyncio.Event()
                    await self._room.wait()
                    self._room = None
        except Exception as error:  # noqa: BLE001 (a broken stream is its handler's concern, not the program's)
            log.warning("a stream could not be read", because=str(error) or type(error).__name__)
            self._unreadable = True
        finally:
            self.ended = True
            self._ear.set()


@contextmanager
def inbox(tasks: asyncio.TaskGroup, requests: AsyncIterable[T], ear: asyncio.Event) -> Iterator[Inbox[T]]:
    """Read `requests` beside the block; each sets `ear`, and so does their end.

    The reader lives in the program's task group: handlers are generators, which gRPC may drop at any `yield`, and a
    task group of their own could not end there.
    """
    box: Inbox[T] = Inbox(ear)
    reader = tasks.create_task(box.fill(requests), name="read requests")
    try:
        yield box
    finally:
        reader.cancel()


async def heard(ear: asyncio.Event, timeout_s: float | None = None) -> bool:
    """Wait for the next ring, or the time; then listen anew. False when the time was over first."""
    if timeout_s is None:  # as thousands of streams do: without a timer
        await ear.wait()
    else:
        try:
            async with asyncio.timeout(timeout_s):
                await ear.wait()
        except TimeoutError:
            return False
    ear.clear()
    return True
