"""What every store keeps to: the one in memory, and the one in NATS."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

import pytest

from compose.embedded.nats import Nats
from hub.domain.state import ConflictError, Delta, Key, News, Snapshot, Store, key_of
from hub.domain.status import Status
from hub.store.memory import MemoryStore
from hub.store.nats_bucket import STREAM
from hub.store.nats_store import NatsStore
from mesh.bus import open_bus
from tests.support.entries import EVERY_KIND, LONG_ZONE, record
from tests.support.streams import delete_stream

pytestmark = [pytest.mark.integration, pytest.mark.parametrize("kind", ["memory", "nats"])]


@asynccontextmanager
async def opened(kind: str, nats_engine: Nats) -> AsyncIterator[Store]:
    """An empty store; the one in NATS with its bucket made."""
    if kind == "memory":
        yield MemoryStore(1_000)
        return
    async with open_bus(nats_engine.url, "test") as bus:
        store = NatsStore(bus)
        async with aclosing(store.follow()) as news:  # type: ignore[type-var]
            await anext(news)
        try:
            yield store
        finally:
            await delete_stream(nats_engine, bus, STREAM)


async def collect(store: Store, count: int) -> list[News]:
    """The first news that a new follower hears."""
    found: list[News] = []
    async with aclosing(store.follow()) as news, asyncio.timeout(10):  # type: ignore[type-var]
        async for item in news:
            found.append(item)
            if len(found) == count:
                break
    return found


async def test_entries_come_back_as_they_were_written(kind: str, nats_engine: Nats) -> None:
    """Of every kind, with every field, under any name."""
    async with opened(kind, nats_engine) as store:
        written = {key_of(entry): Delta(await store.put(entry, 0), key_of(entry), entry) for entry in EVERY_KIND}
        (snapshot,) = await collect(store, 1)
        assert isinstance(snapshot, Snapshot)
        assert {delta.key: delta for delta in snapshot.entries} == written
        assert snapshot.revision == max(delta.revision for delta in written.values())


async def test_a_write_needs_the_revision_of_the_last_one(kind: str, nats_engine: Nats) -> None:
    """Compare and set; 0 for what is not there, also where it was removed."""
    async with opened(kind, nats_engine) as store:
        key = key_of(record())
        await store.put(record("echo-0"), 0)
        first = await store.put(record(), 0)
        for wrong in (0, first - 1, first + 1):
            with pytest.raises(ConflictError):
                await store.put(record(status=Status.DOWN), wrong)
            with pytest.raises(ConflictError):
                await store.remove(key, wrong)
        second = await store.put(record(status=Status.DOWN), first)
        removed = await store.remove(key, second)
        with pytest.raises(ConflictError):
            await store.put(record(), second)
        again = await store.put(record(), 0)
        assert first < second < removed < again


async def test_of_many_writers_one_wins(kind: str, nats_engine: Nats) -> None:
    """Twenty hubs take the same record over at once."""
    async with opened(kind, nats_engine) as store:
        held = await store.put(record(), 0)
        writes = (store.put(replace(record(), owner=f"hub-{number}"), held) for number in range(20))
        results = await asyncio.gather(*writes, return_exceptions=True)
        assert sorted(type(result).__name__ for result in results) == ["ConflictError"] * 19 + ["int"]


async def test_followers_hear_every_write_in_order(kind: str, nats_engine: Nats) -> None:
    """A snapshot of what is there, then one delta a write, removals too."""
    async with opened(kind, nats_engine) as store:
        before = await store.put(record("echo-0"), 0)
        told: list[News] = []
        async with aclosing(store.follow()) as news, asyncio.timeout(10):  # type: ignore[type-var]
            told.append(await anext(news))
            first = await store.put(record(), 0)
            second = await store.put(record(status=Status.DOWN), first)
            removed = await store.remove(key_of(record()), second)
            told += [await anext(news) for _ in range(3)]
    key = key_of(record())
    assert isinstance(told[0], Snapshot)
    assert [delta.revision for delta in told[0].entries] == [before]
    assert told[1:] == [
        Delta(first, key, record()),
        Delta(second, key, record(status=Status.DOWN)),
        Delta(removed, key, None),
    ]
    assert [before + 1, before + 2, before + 3] == [first, second, removed]


async def test_what_is_not_there_can_be_marked_as_removed(kind: str, nats_engine: Nats) -> None:
    """Who knows it from before a loss of the data hears so."""
    async with opened(kind, nats_engine) as store, aclosing(store.follow()) as news:  # type: ignore[type-var]
        async with asyncio.timeout(10):
            await anext(news)
            key = Key("drain", f"zone/{LONG_ZONE}")
            revision = await store.remove(key, 0)
            assert await anext(news) == Delta(revision, key, None)
