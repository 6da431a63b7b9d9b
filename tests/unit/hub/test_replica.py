"""What a hub makes of what its store tells it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from hub.domain.catalog import Catalog, CompactedError
from hub.domain.drain import Target
from hub.domain.policy import Policy
from hub.domain.state import ConflictError, Delta, Entry, Key, News, Progress, Snapshot, Store, StoreAwayError, key_of
from hub.domain.status import Status
from hub.store import replica as module
from hub.store.memory import MemoryStore
from hub.store.replica import Replica
from hub.streams import Bell
from tests.support.entries import drain, record
from tests.support.waiting import eventually


class ToldStore:
    """Tells what the test says, and keeps what is put, until the test says what becomes of it."""

    def __init__(self) -> None:
        self.news: asyncio.Queue[News] = asyncio.Queue()
        self.put_back: list[Entry] = []
        self.answer: Exception | None = None

    async def put(self, entry: Entry, expected_revision: int) -> int:
        self.put_back.append(entry)
        if self.answer:
            raise self.answer
        assert expected_revision == 0
        return 0

    async def remove(self, key: Key, expected_revision: int) -> int:
        raise AssertionError(f"{key} is not to be removed")

    async def follow(self) -> AsyncIterator[News]:
        while True:
            yield await self.news.get()
            self.news.task_done()

    async def tell(self, *news: News) -> None:
        """Give news, and wait until they are taken in."""
        for item in news:
            self.news.put_nowait(item)
        await self.news.join()


@asynccontextmanager
async def following(store: Store, hub_id: str = "hub-1", history: int = 100) -> AsyncIterator[Replica]:
    made = Replica(hub_id, store, Catalog(history), Bell())
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(made.run())
        yield made
        task.cancel()


def snapshot(revision: int, *entries: tuple[int, Entry], origin: int = 1) -> Snapshot:
    return Snapshot(revision, tuple(Delta(number, key_of(entry), entry) for number, entry in entries), origin)


def statuses(made: Replica) -> dict[str, str]:
    return {instance.id: instance.status for instance in made.catalog.instances()}


async def test_a_write_is_in_force_when_it_returns() -> None:
    """In the records and the catalog, with the store's revision; another replica comes to the same."""
    store = MemoryStore(1000)
    async with following(store) as mine, following(store) as other:
        await mine.loaded()
        assert await mine.put(record(), 0) == mine.catalog.revision == 1001
        assert mine.record("echo-1") == (1001, record())
        assert statuses(mine) == {"echo-1": "UP"}
        await eventually(lambda: other.catalog.revision == 1001)
        assert other.catalog.instances() == mine.catalog.instances()
        with pytest.raises(ConflictError):
            await mine.put(record(), 0)
        assert await mine.remove(Key("instance", "echo-1"), 1001) == 1002
        assert mine.record("echo-1") is None
        assert statuses(mine) == {}


async def test_an_order_changes_all_that_it_is_about_at_one_revision() -> None:
    """Those that come later too, until it is taken back."""
    store = MemoryStore(1000)
    async with following(store) as made:
        for name in ("echo-1", "echo-2", "other-1"):
            await made.put(record(name), 0)
        ordered = await made.put(drain("service", "echo"), 0)
        assert statuses(made) == {"echo-1": "DRAINING", "echo-2": "DRAINING", "other-1": "UP"}
        assert {change.instance.id for change in made.catalog.changes_after(ordered - 1)} == {"echo-1", "echo-2"}
        await made.put(record("echo-3"), 0)
        assert statuses(made)["echo-3"] == "DRAINING"
        assert made.drains() == {Target("service", "echo"): (ordered, drain("service", "echo"))}
        await made.remove(key_of(drain("service", "echo")), ordered)
        assert set(statuses(made).values()) == {"UP"}
        assert made.drains() == {}


async def test_what_is_no_instance_moves_the_revision_alone() -> None:
    """Policies are there for discovery; watchers of instances are told nothing."""
    store = MemoryStore(1000)
    async with following(store) as made:
        await made.loaded()
        await made.put(Policy("echo", timeout_ms=50), 0)
        assert made.policies() == {"echo": (1001, Policy("echo", timeout_ms=50))}
        assert made.catalog.revision == 1001
        assert made.catalog.changes_after(1000) == []


async def test_a_snapshot_after_an_interruption_is_told_as_changes() -> None:
    """What it lacks was removed in the meantime; what is as it was is not told again."""
    store = ToldStore()
    async with following(store) as made:
        await store.tell(snapshot(5, (3, record("a-1")), (4, record("a-2")), (5, record("a-3"))))
        await store.tell(snapshot(9, (3, record("a-1")), (8, record("a-3", Status.DOWN)), (9, record("a-4"))))
        told = {(item.instance.id, item.removed) for item in made.catalog.changes_after(5)}
        assert told == {("a-2", True), ("a-3", False), ("a-4", False)}
        assert statuses(made) == {"a-1": "UP", "a-3": "DOWN", "a-4": "UP"}
        await store.tell(Progress(11))
        assert made.catalog.revision == 11


async def test_what_the_store_lost_stays_in_force_and_is_put_back() -> None:
    """No instance leaves the catalog for it; watchers list again, because revisions of before mean nothing now."""
    store = ToldStore()
    order, policy = drain("zone", "a"), Policy("echo")
    async with following(store) as made:
        await store.tell(snapshot(5, (3, record("a-1")), (4, order), (5, policy)))
        await store.tell(snapshot(1000, (1000, record("b-1")), origin=900))
        assert statuses(made) == {"a-1": "UP", "b-1": "UP"}
        assert made.record("a-1") == (0, record("a-1"))
        with pytest.raises(CompactedError):
            made.catalog.changes_after(5)
        await eventually(lambda: len(store.put_back) == 3)
        assert {key_of(entry) for entry in store.put_back} == {key_of(record("a-1")), key_of(order), key_of(policy)}
        await store.tell(*(Delta(1001 + n, key_of(item), item) for n, item in enumerate(store.put_back)))
        assert made.record("a-1") in [(1001 + n, record("a-1")) for n in range(3)]


async def test_removed_after_the_loss_is_removed() -> None:
    """Not put back again, whether it is heard at once or in a later snapshot."""
    store = ToldStore()
    store.answer = StoreAwayError("not now")
    async with following(store) as made:
        await store.tell(snapshot(5, (3, record("a-1")), (4, record("a-2"))))
        await store.tell(snapshot(1000, origin=900))
        await store.tell(Delta(1001, Key("instance", "a-1"), None))
        marks = Snapshot(1002, (Delta(1002, Key("instance", "a-2"), None),), 900)
        await store.tell(marks)
        assert statuses(made) == {}


async def test_the_owner_puts_its_records_back_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows best how they stand; others try what is still missing later, and again until it is there."""
    theirs = replace(record("a-2"), owner="hub-2")
    for others_after_s in (60, 0.01):
        monkeypatch.setattr(module, "_OTHERS_AFTER_S", others_after_s)
        store = ToldStore()
        store.answer = ConflictError("another hub was first")
        async with following(store):
            await store.tell(snapshot(5, (3, record("a-1")), (4, theirs)))
            await store.tell(snapshot(1000, origin=900))
            if others_after_s == 60:
                await eventually(lambda put_back=store.put_back: put_back == [record("a-1")])
            else:
                await eventually(lambda put_back=store.put_back: put_back.count(theirs) > 1)


async def test_a_write_that_is_never_heard_of_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store confirmed it and went away; the caller is not left waiting."""
    monkeypatch.setattr(module, "_HEARD_WITHIN_S", 0.05)

    class Deaf(MemoryStore):
        async def follow(self) -> AsyncIterator[News]:
            yield Snapshot(1000, ())
            await asyncio.Event().wait()

    async with following(Deaf(1000)) as made:
        with pytest.raises(StoreAwayError, match="1001"):
            await made.put(record(), 0)
