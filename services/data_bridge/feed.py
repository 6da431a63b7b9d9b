"""Live ticks for subscribers, from core NATS: what this bridge publishes and what others do.

A message may come twice, overlap the one before it, or be one that compare-and-set refused: a subscriber gets each
tick once, in order, by comparing `prev` and identities. A gap is filled from the log.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from suho.market.v1.tick_pb2 import TickBatchTwin

from mesh.errors import MeshError, Reason
from mesh.market import TickId
from mesh.market.subjects import parse_tick_subject
from services.data_bridge import wire
from services.data_bridge.domain.log import LogUnavailableError
from services.data_bridge.domain.progress import Standing, SymbolKey, compare
from services.data_bridge.jetstream import TickLog

_SUBSCRIBE_TIMEOUT_S = 2
# One response, about; gRPC's default limit is 4 MiB.
_RESPONSE_BYTES = 1 << 20


class Subscription:
    """What one subscriber is still to get, and how far it got."""

    def __init__(self, ticks: TickLog, most_bytes: int) -> None:
        self._log = ticks
        self._most_bytes = most_bytes
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._bytes = 0
        self._cursors: dict[SymbolKey, TickId] = {}
        self._changed = asyncio.Event()
        self._failure: MeshError | None = None

    async def take(self, message: Msg) -> None:
        """A message from NATS."""
        if self._failure:
            return
        self._bytes += len(message.data)
        if self._bytes > self._most_bytes:
            self._waiting.clear()
            too_slow = f"more than {self._most_bytes} bytes wait for this subscriber; subscribe again, and read faster"
            self.end(MeshError(Reason.SUBSCRIBER_TOO_SLOW, too_slow))
            return
        self._waiting.append((message.subject, message.data))
        self._changed.set()

    def end(self, failure: MeshError) -> None:
        self._failure = failure
        self._changed.set()

    async def batches(self) -> AsyncIterator[list[TickBatchTwin]]:
        """What gathered, whenever something did.

        Raises:
            MeshError: SUBSCRIBER_TOO_SLOW, SHUTTING_DOWN or LOG_UNAVAILABLE.
        """
        while True:
            await self._changed.wait()
            while self._waiting:
                if some := await self._some():
                    yield some
            if self._failure:
                raise self._failure
            self._changed.clear()

    async def _some(self) -> list[TickBatchTwin]:
        found: list[TickBatchTwin] = []
        size = 0
        while self._waiting and size < _RESPONSE_BYTES:
            subject, payload = self._waiting.popleft()
            self._bytes -= len(payload)
            size += len(payload)
            found += await self._follow(SymbolKey(*parse_tick_subject(subject)), payload)
        return found

    async def _follow(self, key: SymbolKey, payload: bytes) -> list[TickBatchTwin]:
        message = wire.logged(payload)
        prev, _ = wire.span(message)
        followed: list[TickBatchTwin] = []
        if key in self._cursors and prev > self._cursors[key]:
            followed = await self._missed(key, prev)
        return [*followed, *self._fresh(key, message)]

    async def _missed(self, key: SymbolKey, until: TickId) -> list[TickBatchTwin]:
        """What the log holds between this subscriber's cursor and `until`."""
        found: list[TickBatchTwin] = []
        try:
            async for logged in self._log.after(key, self._cursors[key]):
                found += self._fresh(key, wire.logged(logged.payload))
                if self._cursors[key] >= until:
                    break
        except LogUnavailableError as error:
            lost = f"ticks of {key.symbol} were missed and the log can not be read: {error}; subscribe again"
            raise MeshError(Reason.LOG_UNAVAILABLE, lost) from None
        return found

    def _fresh(self, key: SymbolKey, message: TickBatchTwin) -> list[TickBatchTwin]:
        """The part that this subscriber has not; whole where the log no longer fills the gap before it."""
        prev, last = wire.span(message)
        cursor = self._cursors.get(key, prev)
        standing = compare(prev, last, cursor)
        if standing is Standing.OLD:
            return []
        self._cursors[key] = last
        return [wire.trimmed(message, cursor) if standing is Standing.OVERLAPS else message]


class Feed:
    """Opens subscriptions."""

    def __init__(self, bus: Client, ticks: TickLog, most_bytes: int) -> None:
        self._bus = bus
        self._log = ticks
        self._most_bytes = most_bytes
        self._open: set[Subscription] = set()

    @asynccontextmanager
    async def subscribe(self, subjects: Sequence[str]) -> AsyncIterator[Subscription]:
        """Everything published on `subjects` (wildcards too) from now on. Raises MeshError LOG_UNAVAILABLE."""
        subscription = Subscription(self._log, self._most_bytes)
        sources = [await self._bus.subscribe(subject, cb=subscription.take) for subject in subjects]
        self._open.add(subscription)
        try:
            await self._flush()
            yield subscription
        finally:
            self._open.discard(subscription)
            for source in sources:
                await source.unsubscribe()

    def drain(self) -> None:
        for subscription in self._open:
            subscription.end(MeshError(Reason.SHUTTING_DOWN, "this bridge is stopping; subscribe at another"))

    async def _flush(self) -> None:
        try:
            await self._bus.flush(_SUBSCRIBE_TIMEOUT_S)
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise MeshError(Reason.LOG_UNAVAILABLE, f"NATS is away: {error}; subscribe again") from None
