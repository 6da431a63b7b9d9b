"""Live ticks from core NATS, what this bridge publishes and what others do, to those who listen."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Protocol

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from mesh.draining import Draining
from mesh.errors import MeshError, Reason
from mesh.market.subjects import all_ticks, tick_subject
from services.data_bridge.domain.progress import SymbolKey
from services.data_bridge.inbox import until_subscribed
from services.data_bridge.tick_message import (
    TickMessage,
    UnreadableError,
    UnreadableMessages,
    parse_key,
    read_message,
)

_TIMEOUT_S = 2


class Listener(Protocol):
    """Wants ticks as they come."""

    def hear(self, message: TickMessage) -> None:
        """A message, which may come twice, overlap the one before it, or be one that compare-and-set refused."""

    def end(self, failure: MeshError) -> None:
        """Nothing more comes."""


class Feed:
    """A message is read once, however many listen; while the bridge is `draining` nobody may begin to."""

    def __init__(self, bus: Client, unreadable: UnreadableMessages, draining: Draining) -> None:
        self._bus = bus
        self._unreadable = unreadable
        self._sources: dict[str, _Source] = {}
        self._changing = asyncio.Lock()
        self._listeners: set[Listener] = set()
        self._draining = draining

    @asynccontextmanager
    async def listening(self, listener: Listener, symbols: Iterable[SymbolKey]) -> AsyncIterator[None]:
        """Let `listener` hear `symbols` (an empty name: any; none: all) from now on, until the end of the block.

        Raises:
            MeshError: LOG_UNAVAILABLE, SHUTTING_DOWN.
        """
        if self._draining.is_set():
            raise _leaving()
        subjects = sorted({tick_subject(*key) for key in symbols}) or [all_ticks()]
        async with AsyncExitStack() as stack:
            self._listeners.add(listener)
            stack.callback(self._listeners.discard, listener)
            for subject in subjects:
                stack.push_async_callback(self._leave, listener, subject)
                await self._join(listener, subject)
            await self._subscribed()
            yield

    def drain(self) -> None:
        """Send listeners elsewhere."""
        for listener in self._listeners:
            listener.end(_leaving())

    async def _join(self, listener: Listener, subject: str) -> None:
        async with self._changing:
            source = self._sources.setdefault(subject, _Source(self._unreadable))
            if not source.listeners:
                await source.open(self._bus, subject)
            source.listeners.add(listener)

    async def _leave(self, listener: Listener, subject: str) -> None:
        async with self._changing:
            source = self._sources.get(subject)
            if source is None:
                return
            source.listeners.discard(listener)
            if not source.listeners:
                del self._sources[subject]
                await source.close()

    async def _subscribed(self) -> None:
        try:
            await until_subscribed(self._bus, _TIMEOUT_S)
        except (nats.errors.Error, TimeoutError, OSError):
            raise MeshError(Reason.LOG_UNAVAILABLE, "NATS is away; subscribe again") from None


class _Source:
    """One subscription on the bus."""

    def __init__(self, unreadable: UnreadableMessages) -> None:
        self.listeners: set[Listener] = set()
        self._unreadable = unreadable
        self._close = AsyncExitStack()

    async def open(self, bus: Client, subject: str) -> None:
        subscription = await bus.subscribe(subject, cb=self._take)
        self._close.push_async_callback(subscription.unsubscribe)

    async def close(self) -> None:
        await self._close.aclose()

    async def _take(self, received: Msg) -> None:
        try:
            message = read_message(parse_key(received.subject), received.data)
        except UnreadableError as error:
            self._unreadable.skip(received.subject, error)
            return
        for listener in self.listeners:
            listener.hear(message)


def _leaving() -> MeshError:
    return MeshError(Reason.SHUTTING_DOWN, "this bridge drains; subscribe at another")
