"""What becomes of the shared state when NATS dies, forgets, or is cut off."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from nats.aio.client import Client
from nats.aio.msg import Msg

from compose.embedded.alone import NatsCluster, nats_cluster, running
from compose.embedded.nats import Nats
from compose.embedded.ports import free_ports
from hub.domain.catalog import Catalog, CompactedError
from hub.domain.policy import Policy
from hub.domain.state import ConflictError, Snapshot, StoreAwayError, key_of
from hub.domain.status import Status
from hub.messages.entries import entry_to
from hub.store import nats_bucket
from hub.store.nats_bucket import STREAM, Changes
from hub.store.nats_store import NatsStore
from hub.store.replica import Replica
from hub.streams import Bell
from mesh.bus import open_bus
from tests.support.entries import drain, record
from tests.support.proxy import cuttable_proxy
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration


class MortalNats:
    """A NATS that can be killed, emptied and set back."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.engine = Nats(folder / "nats", free_ports(1)[0], "secret")
        self._running = AsyncExitStack()

    async def start(self) -> None:
        self._process = await self._running.enter_async_context(
            running(self.engine.program(), self._folder / "nats.log")
        )

    async def kill(self) -> None:
        self._process.kill()
        await self._process.wait()
        await self._running.aclose()

    def copy(self) -> Path:
        return Path(shutil.copytree(self.engine.folder, self._folder / "copy"))

    def replace_by(self, copy: Path | None) -> None:
        shutil.rmtree(self.engine.folder)
        if copy is not None:
            shutil.copytree(copy, self.engine.folder)


@pytest_asyncio.fixture
async def mortal(tmp_path: Path) -> AsyncIterator[MortalNats]:
    made = MortalNats(tmp_path)
    await made.start()
    yield made
    await made.kill()


@dataclass
class Hub:
    """As much of a hub as shares the state."""

    replica: Replica
    store: NatsStore
    bus: Client

    def instances(self) -> Mapping[str, str]:
        return {instance.id: instance.status for instance in self.replica.catalog.instances()}


@asynccontextmanager
async def hub(name: str, url: str) -> AsyncIterator[Hub]:
    async with open_bus(url, name) as bus, asyncio.TaskGroup() as tasks:
        store = NatsStore(bus)
        replica = Replica(name, store, Catalog(100), Bell())
        following = tasks.create_task(replica.run())
        async with asyncio.timeout(20):
            await replica.loaded()
        yield Hub(replica, store, bus)
        following.cancel()


async def agree(one: Hub, other: Hub, timeout_s: float = 10) -> None:
    """Both come to the same revision and the same view."""
    await eventually(lambda: one.replica.catalog.revision == other.replica.catalog.revision, timeout_s)
    await eventually(lambda: one.replica.catalog.instances() == other.replica.catalog.instances(), timeout_s)


@asynccontextmanager
async def never_without(hub: Hub, *instance_ids: str) -> AsyncIterator[None]:
    """These instances stand in the hub's catalog throughout."""
    missing = set()

    async def look() -> None:
        with hub.replica._news.listening() as ear:
            while True:
                missing.update(set(instance_ids) - set(hub.instances()))
                await ear.wait()
                ear.clear()

    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(look())
        yield
        looking.cancel()
    assert not missing


async def test_a_restart_of_nats_is_only_a_pause(mortal: MortalNats) -> None:
    """Nothing changes for it; writes fail while it is away, and pass afterwards."""
    async with hub("hub-1", mortal.engine.url) as one, hub("hub-2", mortal.engine.url) as other:
        held = await one.replica.put(record(), 0)
        await agree(one, other)
        async with never_without(other, "echo-1"):
            await mortal.kill()
            waiting = asyncio.create_task(one.replica.put(record(status=Status.DRAINING), held))
            await mortal.start()
            assert await waiting > held
            await agree(one, other)
        assert other.instances() == {"echo-1": "DRAINING"}
        assert other.replica.catalog.changes_after(held)[0].instance.status is Status.DRAINING


@pytest.mark.parametrize("loss", ["emptied", "deleted", "set back"])
async def test_no_loss_of_data_loses_a_registration(mortal: MortalNats, loss: str) -> None:
    """Hubs put back what they know; revisions go on, and whoever watches lists again."""
    async with hub("hub-1", mortal.engine.url) as one, hub("hub-2", mortal.engine.url) as other:
        first = await one.replica.put(record("echo-1"), 0)
        await mortal.kill()
        copy = mortal.copy() if loss == "set back" else None
        await mortal.start()
        await one.replica.put(drain("zone", "a"), 0)
        await one.replica.put(Policy("echo"), 0)
        await other.replica.put(record("echo-1", Status.DRAINING, owner="hub-2"), first)
        last = await other.replica.put(record("echo-2", zone="a", owner="hub-2"), 0)
        await agree(one, other)
        async with never_without(one, "echo-1", "echo-2"), never_without(other, "echo-1", "echo-2"):
            if loss == "deleted":
                await one.bus.jetstream().delete_stream(STREAM)
            else:
                await mortal.kill()
                mortal.replace_by(copy)
                await mortal.start()
            await eventually(lambda: min(revisions(one)) > last and min(revisions(other)) > last, 15)
            await agree(one, other)
        assert one.instances() == {"echo-1": "DRAINING", "echo-2": "DRAINING"}
        assert len(one.replica.drains()) == len(one.replica.policies()) == 1
        with pytest.raises(CompactedError):
            one.replica.catalog.changes_after(last)
        async with hub("hub-3", mortal.engine.url) as fresh:
            await agree(one, fresh)


def revisions(of: Hub) -> list[int]:
    replica = of.replica
    return [held[0] for kind in (replica.records(), replica.drains(), replica.policies()) for held in kind.values()]


async def test_a_write_on_what_was_lost_is_no_conflict(mortal: MortalNats) -> None:
    """Nobody else wrote: who holds a lease must not take it for lost."""
    async with open_bus(mortal.engine.url, "writer") as bus:
        store = NatsStore(bus)
        async with hub("hub-1", mortal.engine.url) as one:
            held = await store.put(record(), 0)
            await bus.jetstream().delete_stream(STREAM)
            with pytest.raises(StoreAwayError, match="made anew"):
                await store.put(record(status=Status.DOWN), held)
            await eventually(lambda: min(revisions(one)) > held)
            with pytest.raises(StoreAwayError, match="made anew"):
                await store.put(record(status=Status.DOWN), held)


async def test_a_bucket_over_the_files_of_the_old_one_is_empty(mortal: MortalNats) -> None:
    """NATS confirms a deletion whose files could not go: its entries do not come back, nor its revisions."""
    files = mortal.engine.folder / "jetstream" / "$G" / "streams" / STREAM
    async with open_bus(mortal.engine.url, "writer") as bus:
        store = NatsStore(bus)
        await _snapshot_of(store)
        held = await store.put(record(), 0)
        (files.with_name(f".{STREAM}") / "in the way").mkdir(parents=True)
        await bus.jetstream().delete_stream(STREAM)
        assert files.exists()
        anew = await _snapshot_of(store)
        assert (anew.entries, anew.origin > held) == ((), True)
        assert await store.put(record(), 0) > held


async def _snapshot_of(store: NatsStore) -> Snapshot:
    async with aclosing(store.follow()) as news:  # type: ignore[type-var]
        first = await anext(news)
    assert isinstance(first, Snapshot)
    return first


async def test_what_was_removed_meanwhile_is_not_put_back(mortal: MortalNats) -> None:
    """A hub that was cut off hears what it missed: additions, removals, and orders taken back."""
    port = free_ports(1)[0]
    async with (
        cuttable_proxy(port, mortal.engine.port) as way,
        hub("hub-1", mortal.engine.url) as one,
        hub("hub-2", mortal.engine.url.replace(str(mortal.engine.port), str(port))) as other,
    ):
        gone = await one.replica.put(record("echo-1"), 0)
        ordered = await one.replica.put(drain("service", "echo"), 0)
        await one.replica.put(record("echo-2"), 0)
        await agree(one, other)
        way.silent = True
        await one.replica.remove(key_of(record("echo-1")), gone)
        await one.replica.remove(key_of(drain("service", "echo")), ordered)
        await one.replica.put(record("echo-3"), 0)
        while way.connections:
            way.cut_one()
        way.silent = False
        await agree(one, other)
        assert other.instances() == {"echo-2": "UP", "echo-3": "UP"}


async def test_a_change_that_got_lost_on_the_way_is_missed_at_the_next(
    mortal: MortalNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Revisions without a gap are what a hub relies on."""
    take = Changes.take
    dropped: list[Msg] = []

    async def drop_one(changes: Changes, message: Msg) -> None:
        if not dropped and message.subject.endswith("echo-2"):
            dropped.append(message)
            return
        await take(changes, message)

    monkeypatch.setattr(Changes, "take", drop_one)
    async with hub("hub-1", mortal.engine.url) as one, hub("hub-2", mortal.engine.url) as other:
        for number in (1, 2, 3):
            await one.store.put(record(f"echo-{number}"), 0)
        await agree(one, other)
        assert set(one.instances()) == {"echo-1", "echo-2", "echo-3"}
        assert dropped


async def test_a_write_whose_answer_was_lost_is_known_as_ones_own(
    mortal: MortalNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not taken for another hub's; written it is once."""
    async with hub("hub-1", mortal.engine.url) as one:
        write = one.store._bucket.write
        lost: list[int] = []

        async def lose_the_first_answer(*of: object, **more: object) -> int:
            revision = await write(*of, **more)  # type: ignore[arg-type]
            if not lost:
                lost.append(revision)
                raise StoreAwayError("the answer was lost")
            return revision

        monkeypatch.setattr(one.store._bucket, "write", lose_the_first_answer)
        assert [await one.replica.put(record(), 0)] == lost
        held = lost.pop()
        assert [await one.replica.remove(key_of(record()), held)] == lost


async def test_what_is_not_a_hubs_is_passed_over(mortal: MortalNats) -> None:
    """A bucket that somebody else made is replaced; what somebody writes into it harms nobody."""
    async with open_bus(mortal.engine.url, "somebody") as bus:
        await bus.jetstream().create_key_value(bucket=nats_bucket.BUCKET)
        async with hub("hub-1", mortal.engine.url) as one:
            bucket = await bus.jetstream().key_value(nats_bucket.BUCKET)
            for name in ("instance.echo-1", "drain.x", "lease.y", "notes"):
                await bucket.put(name, b"garbage")
            held = await one.replica.put(record("echo-2"), 0)
            await bucket.put("instance.echo-3", entry_to(record("echo-2")))
            async with hub("hub-2", mortal.engine.url) as other:
                await agree(one, other)
                assert other.instances() == {"echo-2": "UP"}
                await bucket.delete("instance.echo-2")
                await eventually(lambda: other.instances() == {})
                await agree(one, other)
                assert one.replica.catalog.revision > held + 1


async def test_short_sessions_leave_nothing_behind(mortal: MortalNats, monkeypatch: pytest.MonkeyPatch) -> None:
    """Marks of removals go away by themselves; what comes after them is followed as ever."""
    monkeypatch.setattr(nats_bucket, "_MARK_STANDS_S", 1)
    async with hub("hub-1", mortal.engine.url) as one:

        async def messages() -> int:
            return (await one.bus.jetstream().stream_info(STREAM)).state.messages

        marks = []
        for number in range(50):
            held = await one.replica.put(record(f"echo-{number}"), 0)
            await one.replica.remove(key_of(record(f"echo-{number}")), held)
            marks.append(await messages())
        assert 0 < max(marks) <= 50

        async def all_gone() -> bool:
            return await messages() == 0

        assert await eventually(all_gone)
        async with hub("hub-2", mortal.engine.url) as other:
            assert other.replica.catalog.revision == one.replica.catalog.revision
            await other.replica.put(record(), 0)
            await agree(one, other)


@pytest_asyncio.fixture
async def cluster() -> AsyncIterator[NatsCluster]:
    async with nats_cluster() as made:
        yield made


async def leader_of_three(of: Hub) -> str | None:
    """Once all three servers hold all of the bucket."""
    info = await of.bus.jetstream().stream_info(STREAM)
    assert info.cluster is not None
    others = info.cluster.replicas or []
    return info.cluster.leader if [peer.current for peer in others] == [True, True] else None


async def test_the_loss_of_the_leader_is_only_a_pause(cluster: NatsCluster) -> None:
    """Of three servers one may die: what was confirmed stands, and writes pass again within ten seconds.

    The bucket began on one of them, as when hubs are up before the whole cluster is.
    """
    async with open_bus(cluster.url, "early") as bus, aclosing(NatsStore(bus, replicas=1).follow()) as news:  # type: ignore[type-var]
        await anext(news)
    async with hub("hub-1", cluster.url) as one, hub("hub-2", cluster.url) as other:
        leader = await eventually(lambda: leader_of_three(one), 30)
        held = await one.replica.put(record(), 0)
        await agree(one, other)
        async with never_without(other, "echo-1"):
            await cluster.kill(next(n for n, node in enumerate(cluster.nodes) if node.name == leader))
            async with asyncio.timeout(12):
                while True:
                    try:
                        await one.replica.put(record(status=Status.DRAINING), held)
                        break
                    except StoreAwayError:
                        continue
                    except ConflictError:
                        break  # with a write of before, whose answer was lost
            await agree(one, other)
        assert other.instances() == {"echo-1": "DRAINING"}
        assert other.replica.catalog.changes_after(held) != []
