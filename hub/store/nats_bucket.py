"""The bucket `suho-registry` in JetStream.

Its sequence begins at the time of its creation in µs, or above what was known by then: sequences serve as revisions,
also across a loss of the bucket, and tell one life of it from another. Every stored message is published once more
under `CHANGES`, where contiguous sequences prove that nothing was missed, whatever happened to servers and leaders.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sized
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, DiscardPolicy, RePublish, StorageType, StreamConfig
from nats.js.errors import APIError, NotFoundError

from hub.domain.state import StoreAwayError
from mesh.confirmed_publish import ConfirmedPublish
from mesh.log import get_logger

log = get_logger(__name__)

BUCKET = "suho-registry"
STREAM = f"KV_{BUCKET}"
SUBJECTS = f"$KV.{BUCKET}."
CHANGES = "suho.registry."

_EXPECTED_SEQ = "Nats-Expected-Last-Subject-Sequence"
_SEQUENCE = "Nats-Sequence"
_OPERATION = "KV-Operation"
_REMOVED = ("DEL", "PURGE")

_WRONG_LAST_SEQUENCE = (10071, 10164)
_NO_MESSAGE = 10037
_NO_STREAM = 10059
_STREAM_EXISTS = 10058
_TOO_FEW_SERVERS = (10005, 10074)

# Followers hear of a removal at once or, after an interruption, by what is missing: its mark need not stand for long.
_MARK_STANDS_S = 120
_MOST_REPLICAS = 3
_MOST_WAITING = 65_536
# A reader that was left behind ends itself.
_READER_ENDS_S = 5.0


class MovedError(Exception):
    """The last message under that name is not the expected one."""


@dataclass(frozen=True, slots=True)
class Position:
    """A life of the bucket, by its first sequence, and the newest sequence."""

    origin: int
    revision: int


@dataclass(frozen=True, slots=True)
class Stored:
    """A message: a value, or the mark of a removal. The name is what follows the bucket's in its subject."""

    name: str
    revision: int
    removed: bool
    data: bytes


class Bucket:
    """Asks the stream's leader, so that it hears no old answer. Everything raises StoreAwayError when nobody answers.

    Args:
        replicas: 0 for three where there are three servers, else one.
        timeout_s: How long an answer is waited for.
    """

    def __init__(self, bus: Client, replicas: int, timeout_s: float) -> None:
        self._bus = bus
        self._replicas = replicas
        self._timeout_s = timeout_s
        self._wanted = replicas or _MOST_REPLICAS
        self.thin = False
        """As last heard: it was made when too few servers were there for its replicas."""
        self._publish = ConfirmedPublish(bus, timeout_s)
        self._js: JetStreamContext = bus.jetstream(timeout=timeout_s)

    async def position(self) -> Position | None:
        """How far it is; None where it is not there."""
        with self._asking():
            try:
                info = await self._js.stream_info(STREAM)
            except NotFoundError as error:
                if error.err_code == _NO_STREAM:
                    return None
                raise
        clustered = info.cluster is not None and bool(info.cluster.name)
        self.thin = clustered and (info.config.num_replicas or 1) < self._wanted
        return Position(info.config.first_seq or 0, info.state.last_seq)

    async def create(self, above: int) -> None:
        """Make it with sequences above a revision, if it is not there; with fewer replicas where there is no room."""
        first = max(time.time_ns() // 1_000, above + 1)
        with self._asking():
            try:
                await self._declare(first, self._wanted)
            except APIError as error:
                if self._replicas or error.err_code not in _TOO_FEW_SERVERS:
                    raise
                await self._declare(first, 1)

    async def replicate(self) -> None:
        """Spread a thin bucket, if there are enough servers by now."""
        with self._asking():
            info = await self._js.stream_info(STREAM)
            try:
                await self._js.update_stream(_config(info.config.first_seq or 0, self._wanted))
            except APIError as error:
                if error.err_code not in _TOO_FEW_SERVERS:
                    log.warning("the registry's bucket has too few replicas", because=error.description)

    async def delete(self) -> None:
        """Away with it, if it is there."""
        with self._asking():
            try:
                await self._js.delete_stream(STREAM)
            except NotFoundError:
                return

    async def write(self, name: str, data: bytes, expected: int | None, *, removed: bool = False) -> int:
        """Store a message where the last one under its name has the expected sequence (0: there is none).

        Raises:
            MovedError: it has not.
        """
        headers: dict[str, str] = {}
        if expected is not None:
            headers[_EXPECTED_SEQ] = str(expected)
        if removed:
            headers |= {_OPERATION: _REMOVED[0], "Nats-TTL": f"{_MARK_STANDS_S}s"}
        with self._asking():
            try:
                return await self._publish(SUBJECTS + name, data, headers)
            except APIError as error:
                if error.err_code not in _WRONG_LAST_SEQUENCE:
                    raise
        raise MovedError

    async def get(self, name: str) -> Stored | None:
        """The last message under a name."""
        return await self._last(SUBJECTS + name)

    async def read(self) -> list[Stored]:
        """The last message under every name, oldest first, none older than the leader had when this was asked."""
        newest = await self._last(SUBJECTS + ">")
        if newest is None:
            return []
        found: dict[str, Stored] = {}
        done = asyncio.Event()

        async def take(message: Msg) -> None:
            stored = _stored(message, SUBJECTS, message.metadata.sequence.stream)
            found.pop(stored.name, None)
            found[stored.name] = stored
            # A server that lags behind the leader gives what it has, and the rest as it comes.
            if stored.revision >= newest.revision and message.metadata.num_pending == 0:
                done.set()

        with self._asking():
            async with self._reader(take):
                await self._until(done, found)
        return list(found.values())

    @asynccontextmanager
    async def changes(self) -> AsyncIterator["Changes"]:
        """What is stored from now on, as it is."""
        changes = Changes()
        subscription = await self._bus.subscribe(CHANGES + ">", cb=changes.take)
        try:
            yield changes
        finally:
            with suppress(nats.errors.Error, OSError):  # of a bus that is closed already
                await subscription.unsubscribe()

    @asynccontextmanager
    async def _reader(self, take: Callable[[Msg], Awaitable[None]]) -> AsyncIterator[None]:
        inbox = self._bus.new_inbox()
        subscription = await self._bus.subscribe(inbox, cb=take)
        try:
            await self._js.add_consumer(
                STREAM,
                ConsumerConfig(
                    deliver_subject=inbox,
                    deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
                    filter_subject=SUBJECTS + ">",
                    ack_policy=AckPolicy.NONE,
                    inactive_threshold=_READER_ENDS_S,
                    mem_storage=True,
                    num_replicas=1,
                ),
            )
            yield
        finally:
            await subscription.unsubscribe()

    async def _until(self, done: asyncio.Event, found: Sized) -> None:
        """Wait as long as something comes."""
        while not done.is_set():
            before = len(found)
            try:
                async with asyncio.timeout(self._timeout_s):
                    await done.wait()
            except TimeoutError:
                if len(found) == before:
                    raise

    async def _last(self, subject: str) -> Stored | None:
        with self._asking():
            try:
                message = await self._js.get_msg(STREAM, subject=subject)
            except NotFoundError as error:
                if error.err_code == _NO_MESSAGE:
                    return None
                raise
        removed = (message.headers or {}).get(_OPERATION) in _REMOVED
        assert message.subject is not None
        assert message.seq is not None
        return Stored(message.subject.removeprefix(SUBJECTS), message.seq, removed, message.data or b"")

    async def _declare(self, first: int, replicas: int) -> None:
        try:
            await self._js.add_stream(_config(first, replicas))
        except APIError as error:
            if error.err_code != _STREAM_EXISTS:  # another hub was first
                raise

    @contextmanager
    def _asking(self) -> Iterator[None]:
        if not self._bus.is_connected:
            raise StoreAwayError("NATS is away")
        try:
            yield
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise StoreAwayError(str(error) or type(error).__name__) from None


class Changes:
    """Stored messages as they are published once more. When they are not taken in time some are missing, as a gap."""

    def __init__(self) -> None:
        self._waiting: deque[Stored] = deque()
        self._ear = asyncio.Event()

    async def take(self, message: Msg) -> None:
        sequence = (message.headers or {}).get(_SEQUENCE)
        if sequence is not None and len(self._waiting) < _MOST_WAITING:
            self._waiting.append(_stored(message, CHANGES, int(sequence)))
            self._ear.set()

    @property
    def all_taken(self) -> bool:
        return not self._waiting

    async def next(self, within_s: float) -> Stored | None:
        """The oldest one; None when none comes in time."""
        if not self._waiting:
            self._ear.clear()
            try:
                async with asyncio.timeout(within_s):
                    await self._ear.wait()
            except TimeoutError:
                return None
        return self._waiting.popleft()


def _stored(message: Msg, prefix: str, sequence: int) -> Stored:
    removed = message.headers is not None and message.headers.get(_OPERATION) in _REMOVED
    return Stored(message.subject.removeprefix(prefix), sequence, removed, message.data)


def _config(first_seq: int, replicas: int) -> StreamConfig:
    """As every KV bucket, so that NATS's own tools can read it."""
    return StreamConfig(
        name=STREAM,
        description="What the hubs of Suho share",
        subjects=[SUBJECTS + ">"],
        storage=StorageType.FILE,
        num_replicas=replicas,
        max_msgs_per_subject=1,
        discard=DiscardPolicy.NEW,
        first_seq=first_seq,
        republish=RePublish(src=SUBJECTS + ">", dest=CHANGES + ">"),
        allow_direct=True,
        allow_rollup_hdrs=True,
        allow_msg_ttl=True,
        deny_delete=True,
    )
