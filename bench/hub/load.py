"""How much one hub takes: registrations and heartbeats a second, ten thousand instances, endless short sessions."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import perf_counter, perf_counter_ns
from typing import Protocol

from suho.hub.v1 import registry_pb2 as pb

from bench.hub import etcd
from bench.hub.h2 import Connection, connections
from bench.hub.servers import Server
from bench.hub.sessions import Calls, Session, instance
from bench.hub.spread import Spread, spread

IN_FLIGHT = 64
_LINKS = 50
_INSTANCES_EACH = 100
"""Instances of one service."""


class Living(Protocol):
    """Something registered that lives by its heartbeats."""

    async def heartbeat(self) -> int: ...


Register = Callable[[Connection, int], Awaitable[Living]]
"""Registers the instance of that number."""


async def in_hub(connection: Connection, number: int) -> Session:
    """A session of its own."""
    session = Session(connection, _instance(number))
    await session.register()
    return session


async def by_calls(connection: Connection, number: int) -> Calls:
    """Unary calls."""
    caller = Calls(connection, _instance(number))
    await caller.register()
    return caller


async def in_etcd(connection: Connection, number: int) -> etcd.KeepAlive:
    """A key under a lease of its own, kept on a stream of its own."""
    lease = await etcd.grant(connection)
    made = _instance(number)
    await etcd.put(connection, made.id, made.SerializeToString(), lease)
    return etcd.KeepAlive(connection, lease)


@dataclass(frozen=True)
class Rates:
    """With 64 under way at any time."""

    registrations_per_s: float
    heartbeats_per_s: float


async def rates(server: Server, register: Register, count: int, seconds: float) -> Rates:
    """Register so many, then let them live as fast as the server takes it."""
    async with connections(server.port, _LINKS) as opened:
        began = perf_counter()
        living = await _registered(opened, register, count)
        registering_s = perf_counter() - began
        beats = await _heartbeats(living, seconds)
        return Rates(count / registering_s, beats / seconds)


@dataclass(frozen=True)
class Size:
    """One hub with many instances that live at their usual pace."""

    registered_in_s: float
    rss_mb: float
    cpu_share: float
    """Of one core."""
    heartbeat: Spread


async def size(server: Server, count: int, every_s: float, seconds: float) -> Size:
    """Register so many, then watch the hub while each gives a sign of life every `every_s`."""
    async with connections(server.port, _LINKS) as opened:
        began = perf_counter()
        living = await _registered(opened, in_hub, count)
        registered_in_s = perf_counter() - began
        await _paced(living, every_s, every_s)  # until what registering left behind is done
        cpu, began = server.cpu_s(), perf_counter()
        took = await _paced(living, every_s, seconds)
        share = (server.cpu_s() - cpu) / (perf_counter() - began)
        return Size(registered_in_s, server.rss_mb(), share, spread(took))


async def churn(server: Server, marks: Sequence[int]) -> AsyncIterator[tuple[int, float, float]]:
    """Short sessions, registered and deregistered; at each mark how many were, the hub's MB, and sessions a second."""
    done = 0
    async with connections(server.port, 10) as opened:
        for mark in marks:
            began = perf_counter()
            await _each(range(done, mark), lambda number: _short(opened[number % len(opened)], number))
            yield mark, server.rss_mb(), (mark - done) / (perf_counter() - began)
            done = mark


async def _short(connection: Connection, number: int) -> None:
    session = await in_hub(connection, number)
    await session.left()


async def _registered(opened: Sequence[Connection], register: Register, count: int) -> list[Living]:
    living: list[Living] = []

    async def one(number: int) -> None:
        living.append(await register(opened[number % len(opened)], number))

    await _each(range(count), one)
    return living


async def _each(numbers: range, one: Callable[[int], Awaitable[None]]) -> None:
    """All of them, so many at a time."""
    left = iter(numbers)

    async def work() -> None:
        for number in left:
            await one(number)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(IN_FLIGHT):
            tasks.create_task(work())


async def _heartbeats(living: Sequence[Living], seconds: float) -> int:
    until = perf_counter() + seconds
    beats = 0

    async def work(mine: Sequence[Living]) -> None:
        nonlocal beats
        for one in itertools.cycle(mine):
            if perf_counter() >= until:
                return
            await one.heartbeat()
            beats += 1

    async with asyncio.TaskGroup() as tasks:
        for first in range(IN_FLIGHT):
            tasks.create_task(work(living[first::IN_FLIGHT]))
    return beats


async def _paced(living: Sequence[Living], every_s: float, seconds: float) -> list[int]:
    """Each at its own moment of every round; how long the answers took, in nanoseconds."""
    took: list[int] = []

    async def work(mine: Sequence[Living], first_s: float) -> None:
        for turn in range(round(seconds / every_s) * len(mine)):
            await asyncio.sleep(began + first_s + turn * every_s / len(mine) - perf_counter())
            asked = perf_counter_ns()
            took.append(await mine[turn % len(mine)].heartbeat() - asked)

    began = perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for first in range(IN_FLIGHT):
            mine = living[first::IN_FLIGHT]
            tasks.create_task(work(mine, first * every_s / len(mine) / IN_FLIGHT))
    return took


def _instance(number: int) -> pb.Instance:
    return instance(f"bench-{number}", f"bench-{number // _INSTANCES_EACH}", 1 + number % 60_000)
