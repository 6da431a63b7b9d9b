"""A hub is killed, sleeps, is cut off; the store goes away: no call fails, nobody loses a place in the registry."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from suho.hub.v1 import registry_pb2 as pb

from compose.embedded.alone import NatsCluster, nats, nats_cluster, running
from compose.embedded.nats import Nats
from hub.store.nats_bucket import STREAM
from mesh.bus import open_bus
from tests.chaos.hubs import Mesh, holding, run_mesh
from tests.support.hub import instance
from tests.support.proxy import cuttable_proxy
from tests.support.waiting import eventually, free_port

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]


@pytest.fixture
def is_long(request: pytest.FixtureRequest) -> bool:
    """Whether the long forms were asked for (`--chaos-minutes`)."""
    return bool(request.config.getoption("--chaos-minutes"))


@pytest_asyncio.fixture
async def bus() -> AsyncIterator[Nats]:
    """A NATS of the test's own: hubs share everything that is in it."""
    async with nats() as engine:
        yield engine


class Departures:
    """Every time that one hub told its watchers of a backend being anything but UP."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def watch(self, mesh: Mesh, at: int) -> None:
        hub = await mesh.ask(mesh.hubs[at])
        while True:
            try:
                async for response in hub.stub.Watch(pb.WatchRequest(service="echo")):
                    self._look(response)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.OUT_OF_RANGE:  # it says to list again
                    raise

    def _look(self, response: pb.WatchResponse) -> None:
        for change in response.changes:
            one = change.instance
            if change.kind == pb.CHANGE_KIND_REMOVED or one.status != pb.INSTANCE_STATUS_UP:
                self.seen.append(f"{one.id} {pb.InstanceStatus.Name(one.status)} {one.status_reason}")


@asynccontextmanager
async def departures(mesh: Mesh, at: int) -> AsyncIterator[Departures]:
    found = Departures()
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(found.watch(mesh, at))
        yield found
        watching.cancel()


async def test_the_hub_that_holds_the_sessions_is_killed(bus: Nats) -> None:
    """Sessions move to the other hub without their instances leaving discovery; the killed one comes back."""
    async with run_mesh((bus.url,) * 2) as mesh:
        dead = await mesh.holder()
        living = next(hub for hub in mesh.hubs if hub is not dead)
        async with departures(mesh, mesh.hubs.index(living)) as left:
            await dead.kill()
            await mesh.converged(at=(living,))
            asked = await mesh.ask(living)

            async def moved() -> bool:
                return {one.hub for one in (await asked.instances()).values() if one.service == "echo"} == {living.name}

            await eventually(moved, 30)
            await dead.start()
            await mesh.converged()
        assert left.seen == []
        assert await mesh.errors() == []


async def test_the_hub_that_holds_the_sessions_sleeps(bus: Nats, is_long: bool) -> None:
    """A hub that was paused finds its sessions elsewhere and expires none; clocks 30 s apart change nothing."""
    async with run_mesh((bus.url,) * 2, clock_off_s=30) as mesh:
        asleep = await mesh.holder()
        awake = next(hub for hub in mesh.hubs if hub is not asleep)
        async with departures(mesh, mesh.hubs.index(awake)) as left:
            async with asleep.paused():
                calls = await mesh.calls()
                await asyncio.sleep(60 if is_long else 10)
                assert await mesh.calls() > calls + 100
                await mesh.converged(at=(awake,))
            await mesh.converged()
        assert left.seen == []
        assert await mesh.errors() == []


async def test_the_store_goes_away(tmp_path: Path, is_long: bool) -> None:
    """While NATS is gone hubs serve what they knew and expire nobody, not even sessions that broke; then all agree."""
    engine = Nats(tmp_path / "nats", free_port(), secrets.token_hex(8))
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(running(engine.program(), tmp_path / "nats.log"))
        mesh = await stack.enter_async_context(run_mesh((engine.url,) * 2))
        left = await stack.enter_async_context(departures(mesh, 0))
        first.kill()
        await first.wait()
        # The worst moment: a hub dies too, and what it held has only the other one to go to.
        await mesh.hubs[1].kill()
        await asyncio.sleep(300 if is_long else 8)
        await mesh.converged(at=mesh.hubs[:1])
        async with running(engine.program(), tmp_path / "nats.log"):
            await mesh.hubs[1].start()
            await mesh.converged()
            assert left.seen == []
            assert await mesh.errors() == []


async def test_the_store_comes_back_empty(tmp_path: Path) -> None:
    """Hubs put back what they know; nobody loses a place, and revisions go on rising."""
    port, password = free_port(), secrets.token_hex(8)
    async with AsyncExitStack() as stack:
        old = Nats(tmp_path / "old", port, password)
        first = await stack.enter_async_context(running(old.program(), tmp_path / "nats.log"))
        mesh = await stack.enter_async_context(run_mesh((old.url,) * 2))
        left = await stack.enter_async_context(departures(mesh, 0))
        hub = await mesh.ask(mesh.hubs[0])
        before = (await hub.stub.ListInstances(pb.ListInstancesRequest())).revision
        first.kill()
        await first.wait()
        async with running(replace(old, folder=tmp_path / "new").program(), tmp_path / "nats.log"):

            async def risen() -> bool:
                return (await hub.stub.ListInstances(pb.ListInstancesRequest())).revision > before

            await eventually(risen, 30)
            await mesh.converged()
            assert left.seen == []
            assert await mesh.errors() == []


@pytest.mark.usefixtures("long_form")
async def test_the_leader_of_the_stores_cluster_is_lost() -> None:
    """Registrations go on within ten seconds of the leader's death; calls never stop."""
    async with nats_cluster() as cluster, run_mesh((cluster.url,) * 2) as mesh, departures(mesh, 0) as left:
        await cluster.kill(await _leader(cluster))
        hub = await mesh.ask(mesh.hubs[0])
        newcomer = pb.RegisterRequest(
            instance=pb.Instance(id="newcomer-1", service="newcomer", status=pb.INSTANCE_STATUS_UP),
            token="a-token-of-it",
        )

        async def registered() -> bool:
            try:
                await hub.stub.Register(newcomer, timeout=3)
            except grpc.aio.AioRpcError:
                return False
            return True

        await eventually(registered, 15)
        await mesh.converged()
        assert left.seen == []
        assert await mesh.errors() == []


async def _leader(cluster: NatsCluster) -> int:
    """Which node leads the stream that hubs share."""
    async with open_bus(cluster.url, "test") as bus:
        info = await bus.jetstream().stream_info(STREAM)
        assert info.cluster is not None
        assert info.config.num_replicas == 3
        return [node.name for node in cluster.nodes].index(info.cluster.leader or "")


async def test_a_hub_is_cut_off_from_the_store(bus: Nats) -> None:
    """Sessions leave a hub that can not write; the others do not take its silence for their death."""
    ports = (free_port(), free_port())
    async with AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(cuttable_proxy(port, bus.port)) for port in ports]
        urls = [bus.url.replace(f":{bus.port}", f":{port}") for port in ports]
        mesh = await stack.enter_async_context(run_mesh((urls[0], urls[1])))
        cut_hub = await mesh.holder()
        (whole_hub,) = (hub for hub in mesh.hubs if hub is not cut_hub)
        proxy = proxies[mesh.hubs.index(cut_hub)]
        async with departures(mesh, mesh.hubs.index(whole_hub)) as left:
            proxy.silent = True
            whole = await mesh.ask(whole_hub)

            async def moved() -> bool:
                found = (await whole.instances()).values()
                return {one.hub for one in found if one.service == "echo"} == {whole_hub.name}

            await eventually(moved, 40)
            proxy.silent = False
            while proxy.connections:  # as the cut ends, what hung is reset
                proxy.cut_one()
            await mesh.converged()
        assert left.seen == []
        assert await mesh.errors() == []


async def test_a_client_is_cut_off_from_one_hub(bus: Nats) -> None:
    """A session that no longer reaches its hub goes on with another, and its instance stays where it is."""
    async with run_mesh((bus.url,) * 2, clients=0) as mesh:
        ports = [free_port() for _ in mesh.hubs]
        async with AsyncExitStack() as stack:
            proxies = [
                await stack.enter_async_context(cuttable_proxy(port, hub.port))
                for port, hub in zip(ports, mesh.hubs, strict=True)
            ]
            left = await stack.enter_async_context(departures(mesh, 1))
            through = tuple(f"127.0.0.1:{port}" for port in ports)
            await stack.enter_async_context(holding(through, instance("echo-far")))
            hub = await mesh.ask(mesh.hubs[1])

            async def held_by() -> str:
                found = (await hub.instances()).get("echo-far")
                return found.hub if found else ""

            before = await eventually(held_by)
            cut = proxies[[one.name for one in mesh.hubs].index(before)]
            cut.silent = True

            async def moved() -> bool:
                return await held_by() not in ("", before)

            await eventually(moved, 40)
            assert left.seen == []
            while cut.connections:
                cut.cut_one()
