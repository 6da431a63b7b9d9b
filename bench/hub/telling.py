"""From an instance's going to its being known to every discovery client."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from time import perf_counter_ns

from suho.hub.v1 import maintenance_pb2
from suho.hub.v1 import registry_pb2 as pb

from bench.hub.ads import AdsClient
from bench.hub.h2 import Connection, connections
from bench.hub.servers import Server
from bench.hub.sessions import Session, instance
from bench.hub.spread import Spread, spread
from bench.hub.watching import MOST_CONNECTIONS, STREAMS_EACH
from bench.race import NoShowError

SERVICE = "echo"
_FIRST_PORT = 1_000
_PATIENCE_S = 60.0


class Crowd:
    """Raw discovery streams of one service, which wait for an instance, known by its port, to come or go."""

    def __init__(self, size: int) -> None:
        self.size = size
        # An order of a person outlives whom it drained: nobody comes twice.
        self.ports = count(_FIRST_PORT)
        self._awaited: tuple[int, bool] = (0, True)
        self._known: list[frozenset[int]] = [frozenset()] * size
        self._told: dict[int, int] = {}
        self._all = asyncio.Event()

    async def join(self, opened: list[Connection]) -> None:
        """Open every stream.

        Raises:
            NoShowError: one was not told any endpoints.
        """
        clients = []
        for number in range(self.size):
            told = self._teller(number)
            clients.append(AdsClient(opened[number % len(opened)], f"bench-{number}", SERVICE, told))
            if number % 500 == 499:  # not all in one moment: gRPC would refuse some
                await clients[-1].started()
        for client in clients:
            await client.started()

    def _teller(self, number: int) -> Callable[[frozenset[int], int], None]:
        def told(ports: frozenset[int], now: int) -> None:
            self._known[number] = ports
            port, there = self._awaited
            if (port in ports) is there and number not in self._told:
                self._told[number] = now
                if len(self._told) == self.size:
                    self._all.set()

        return told

    def expect(self, port: int, there: bool) -> None:
        """From now on, wait until all were told that the instance is there, or is not."""
        self._awaited = (port, there)
        self._all.clear()
        self._told = {number: 0 for number, ports in enumerate(self._known) if (port in ports) is there}
        if len(self._told) == self.size:
            self._all.set()

    async def everybody(self) -> list[int]:
        """When each was told, ascending."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._all.wait()
        except TimeoutError:
            left = self.size - len(self._told)
            raise NoShowError(f"{left} of {self.size} discovery clients were not told") from None
        return sorted(self._told.values())


@asynccontextmanager
async def crowd(server: Server, size: int) -> AsyncIterator[tuple[Connection, Crowd]]:
    """So many clients that know the one instance that stays, and a connection for those that come and go."""
    links = min(MOST_CONNECTIONS, -(-size // STREAMS_EACH))
    async with connections(server.port, links + 1) as (own, *opened):
        await Session(own, instance("stays", SERVICE, 1)).register()
        gathered = Crowd(size)
        await gathered.join(opened)
        yield own, gathered


Gone = Callable[[Connection, Session], Awaitable[None]]
"""Makes a registered instance go; may return before it is gone."""


async def deregistered(_: Connection, session: Session) -> None:
    session.leave()


async def broken(_: Connection, session: Session) -> None:
    session.vanish()


async def drained(connection: Connection, session: Session) -> None:
    """By a person's order."""
    target = pb.DrainTarget(instance=session.instance_id)
    order = maintenance_pb2.DrainRequest(target=target, reason="measured", by="suho bench")
    await connection.ask("/suho.hub.v1.MaintenanceService/Drain", order.SerializeToString())


@dataclass(frozen=True)
class Told:
    """One kind of going."""

    each: Spread
    """Over every client, every time."""
    last: Spread
    """Until the last of them was told, over the times."""
    tellings: int
    """How many messages that took: each instance comes before it goes."""


async def measure(
    own: Connection, clients: Crowd, gone: Gone, times: int, grace_s: float = 0.0, within_s: float = 0.0
) -> Told:
    """How long it takes, after `grace_s`, until clients are told that an instance went, at any moment of `within_s`.

    Raises:
        NoShowError: one was not told.
    """
    each, last = [], []
    for turn in range(times + 1):
        port = next(clients.ports)
        session = Session(own, instance(f"goes-{port}", SERVICE, port))
        clients.expect(port, there=True)
        await session.register()
        await clients.everybody()
        clients.expect(port, there=False)
        await asyncio.sleep(random.uniform(0, within_s))
        began = perf_counter_ns() + round(grace_s * 1e9)
        await gone(own, session)
        told = await clients.everybody()
        if turn:  # the first finds everything cold
            each += [at - began for at in told]
            last.append(told[-1] - began)
        if gone is drained:
            session.leave()
    return Told(spread(each), spread(last), 2 * (times + 1) * clients.size)
