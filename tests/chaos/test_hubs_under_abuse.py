"""What instances and clients may do to a hub: vanish in numbers, stop reading, send garbage."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import psutil
import pytest
import pytest_asyncio
from suho.envoy.v3 import discovery_pb2_grpc
from suho.hub.v1 import registry_pb2 as pb
from suho.hub.v1 import registry_pb2_grpc

from compose.embedded.alone import nats
from compose.embedded.nats import Nats
from mesh.channel import direct_channel
from tests.chaos.hubs import HubProcess, holding, run_mesh
from tests.support.hub import instance, register, run_backend
from tests.support.plain_client import run_client
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

_SESSION = "/suho.hub.v1.RegistryService/Session"


@pytest_asyncio.fixture
async def bus() -> AsyncIterator[Nats]:
    async with nats() as engine:
        yield engine


async def test_thirty_percent_vanish_silently_at_once(bus: Nats) -> None:
    """Six of twenty fall silent: doubted, alarmed, believed within 30 s; their service keeps its endpoints."""
    options = ("--lease-ttl-s", "5", "--heartbeat-s", "1")
    async with AsyncExitStack() as stack:
        mesh = await stack.enter_async_context(run_mesh((bus.url,) * 2, backends=2, clients=1, options=options))
        for at in range(12):
            await stack.enter_async_context(holding(mesh.addresses, instance(f"staying-{at}", "staying")))
        hubs = [await mesh.ask(hub) for hub in mesh.hubs]
        backend = await stack.enter_async_context(run_backend("thin", "suho.test.v1.ThinService"))
        for at in range(6):  # three with each hub; of the service `thin` nobody else is left
            made = instance(f"thin-{at}", "thin", backend.port, ("suho.test.v1.ThinService",))
            await register(hubs[at % 2].stub, made, f"token-of-thin-{at}")
        caller = await stack.enter_async_context(run_client(",".join(mesh.addresses), ("thin",)))
        path = "/suho.test.v1.ThinService/Who"

        async def answered() -> bool:
            return bool((await caller.call(path))["ok"])

        await eventually(answered, 30)
        await caller.ask("load", path, 2)
        alarms: set[str] = set()

        async def believed() -> bool:
            for hub in hubs:
                state = await hub.stub.GetRegistryState(pb.GetRegistryStateRequest())
                alarms.update(alarm.kind for alarm in state.alarms)
            found = await hubs[0].instances()
            return all(found[f"thin-{at}"].status == pb.INSTANCE_STATUS_EXPIRED for at in range(6))

        await eventually(believed, 30)
        assert "SELF_PRESERVATION" in alarms
        found = await hubs[1].instances()
        assert all(found[f"staying-{at}"].status == pb.INSTANCE_STATUS_UP for at in range(12))
        assert (await caller.ask("stop"))["errors"] == []
        assert await mesh.errors() == []


async def test_a_watcher_that_stops_reading_blocks_nobody(bus: Nats) -> None:
    """Another one sees every change, the hub's memory stays where it is, and the slow one is told to list again."""
    async with run_mesh((bus.url,), backends=1, clients=1, options=("--history", "500")) as mesh:
        hub = await mesh.ask(mesh.hubs[0])
        slow, quick = (hub.stub.Watch(pb.WatchRequest()) for _ in range(2))
        assert (await slow.read()).snapshot
        memory = _rss(mesh.hubs[0])
        for at in range(0, 1_500, 50):
            names = {f"brief-{at + n}" for n in range(50)}
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_until_gone(quick, names))
                for name in names:
                    tasks.create_task(_come_and_go(hub.stub, name))
        assert _rss(mesh.hubs[0]) - memory < 64 << 20
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _read_on(slow)
        assert caught.value.code() is grpc.StatusCode.OUT_OF_RANGE
        assert await mesh.errors() == []


async def _until_gone(watch: Any, names: set[str]) -> None:
    """A watcher has seen them all go, and none that is another's."""
    left = set(names)
    while left:
        response = await watch.read()
        gone = {one.instance.id for one in response.changes if one.kind == pb.CHANGE_KIND_REMOVED}
        assert gone <= left
        left -= gone


async def _read_on(watch: Any) -> None:
    while await watch.read():
        pass


async def _come_and_go(stub: "registry_pb2_grpc.RegistryServiceAsyncStub", name: str) -> None:
    made = instance(name, "brief")
    for at in range(8):  # more than the connection holds for one who does not read
        made.metadata[f"filler-{at}"] = "x" * 1_000
    await stub.Register(pb.RegisterRequest(instance=made, token=f"token-of-{name}"))
    await stub.Deregister(pb.DeregisterRequest(instance_id=name, token=f"token-of-{name}", reason="done"))


def _rss(hub: HubProcess) -> int:
    assert hub.process is not None
    return int(psutil.Process(hub.process.pid).memory_info().rss)


async def test_garbage_is_refused_and_harms_nobody(bus: Nats) -> None:
    """Bytes that are no HTTP/2, messages that are no Protobuf, too large, too soon: the hub serves the others."""
    async with run_mesh((bus.url,), backends=1, clients=1) as mesh:
        port = mesh.hubs[0].port
        for garbage in (
            os.urandom(65_536),
            b"GET / HTTP/1.1\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(9_000),
        ):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(garbage)
            writer.close()
        async with direct_channel([mesh.hubs[0].address]) as channel:
            stub = registry_pb2_grpc.RegistryServiceStub(channel)
            for malformed in (b"\xff" * 100, b"\x0a\xff\xff\xff"):
                refusal = await _refusal(channel.stream_stream(_SESSION)(iter([malformed])))
                assert refusal is grpc.StatusCode.INVALID_ARGUMENT
            too_large = await _refusal(channel.stream_stream(_SESSION)(iter([b"\x00" * (5 << 20)])))
            assert too_large is grpc.StatusCode.RESOURCE_EXHAUSTED
            too_soon = stub.Session(iter([pb.SessionRequest(heartbeat=pb.Heartbeat())]))
            assert await _refusal(too_soon) is grpc.StatusCode.FAILED_PRECONDITION
            discovery = discovery_pb2_grpc.AggregatedDiscoveryServiceStub(channel)
            hanging = [discovery.StreamAggregatedResources() for _ in range(200)]
            for call in hanging:
                call.cancel()
            nameless = pb.RegisterRequest(instance=instance("../..", "x y"), token="a-token-of-it")
            with pytest.raises(grpc.aio.AioRpcError, match="instance id"):
                await stub.Register(nameless)
        await mesh.converged()
        assert await mesh.errors() == []


async def _refusal(call: "grpc.aio.StreamStreamCall[object, object]") -> grpc.StatusCode:
    async with asyncio.timeout(30):
        return await call.code()
