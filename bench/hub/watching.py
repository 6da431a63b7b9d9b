"""From a program's registering to its being seen by everybody who watches; beside it, etcd's put to its watchers."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from bench.hub import etcd, sessions
from bench.hub.h2 import Connection, connections
from bench.hub.servers import Server
from bench.hub.spread import Spread, spread
from bench.race import NoShowError

Seen = Callable[[str, bool, int], None]

# Streams that share a connection, as programs of one machine's proxy would; and never more connections than this.
STREAMS_EACH = 20
MOST_CONNECTIONS = 50
_PATIENCE_S = 30.0


class Announcer(Protocol):
    """Makes an instance known, and takes it back."""

    async def announce(self, connection: Connection, name: str) -> int:
        """When it was asked for."""
        ...

    async def withdraw(self, connection: Connection, name: str) -> None: ...


class InHub:
    """A session for each instance."""

    def __init__(self) -> None:
        self._sessions: dict[str, sessions.Session] = {}

    async def announce(self, connection: Connection, name: str) -> int:
        session = self._sessions[name] = sessions.Session(connection, sessions.instance(name))
        return await session.register()

    async def withdraw(self, connection: Connection, name: str) -> None:
        await self._sessions.pop(name).left()


class InEtcd:
    """A key for each instance, with what the hub is sent as its value."""

    async def announce(self, connection: Connection, name: str) -> int:
        return await etcd.put(connection, name, sessions.instance(name).SerializeToString())

    async def withdraw(self, connection: Connection, name: str) -> None:
        await etcd.delete(connection, name)


class _Audience:
    """Waits until all have seen it, and keeps when each did."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._missing = 0
        self._awaited = ("", False)
        self._all = asyncio.Event()
        self.times: list[int] = []

    def expect(self, name: str, removed: bool) -> None:
        self._awaited = (name, removed)
        self._missing = self._size
        self.times = []
        self._all.clear()

    def seen(self, name: str, removed: bool, now: int) -> None:
        if (name, removed) == self._awaited:
            self.times.append(now)
            self._missing -= 1
            if not self._missing:
                self._all.set()

    async def everybody(self) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._all.wait()
        except TimeoutError:
            raise NoShowError(f"{self._missing} of {self._size} watchers have not seen it") from None


async def measure(
    server: Server,
    watch: Callable[[Connection, Seen], Awaitable[None]],
    announcer: Announcer,
    watchers: int,
    times: int,
) -> Spread:
    """Over every watcher, every time.

    Raises:
        NoShowError: somebody did not see it.
    """
    audience = _Audience(watchers)
    links = min(MOST_CONNECTIONS, -(-watchers // STREAMS_EACH))
    took: list[int] = []
    async with connections(server.port, links + 1) as (own, *opened):
        for number in range(watchers):
            await watch(opened[number % links], audience.seen)
        for turn in range(times + 1):
            name = f"bench-{turn}"
            audience.expect(name, removed=False)
            began = await announcer.announce(own, name)
            await audience.everybody()
            if turn:  # the first finds everything cold
                took += [at - began for at in audience.times]
            audience.expect(name, removed=True)
            await announcer.withdraw(own, name)
            await audience.everybody()
    return spread(took)
