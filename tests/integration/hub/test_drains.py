"""Instances are taken out of service and put back under the calls of a stock client."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_channelz.v1 import channelz
from suho.hub.v1 import maintenance_pb2, maintenance_pb2_grpc
from suho.hub.v1 import registry_pb2 as pb

from cli.under_way import prove_idle
from cli.watch import follow
from compose.embedded.nats import Nats
from hub.store.nats_bucket import STREAM
from mesh.bus import open_bus
from mesh.channel import direct_channel
from mesh.config import MeshSettings, ServerSettings
from mesh.errors import MeshError, Reason
from mesh.server import open_server
from mesh.session import open_session
from tests.support import eventually, free_port
from tests.support.hub import ECHO, Backend, RunningHub, instance, quiet, registered, run_backend, run_hub
from tests.support.plain_client import WHO, PlainClient, run_client
from tests.support.streams import delete_stream
from tests.support.suho import suho

pytestmark = pytest.mark.integration

CALLS = 10_000


class Orders:
    """A person's orders to one hub."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = maintenance_pb2_grpc.MaintenanceServiceStub(channel)

    async def drain(self, force: bool = False, **target: str) -> maintenance_pb2.DrainResponse:
        request = maintenance_pb2.DrainRequest(
            target=pb.DrainTarget(**target), reason="update", by="alice", force=force
        )
        return await self._stub.Drain(request, timeout=10)

    async def undrain(self, **target: str) -> maintenance_pb2.UndrainResponse:
        request = maintenance_pb2.UndrainRequest(target=pb.DrainTarget(**target), by="alice")
        return await self._stub.Undrain(request, timeout=10)

    async def list(self) -> list[pb.Drain]:
        answer = await self._stub.ListDrains(maintenance_pb2.ListDrainsRequest(), timeout=10)
        return list(answer.drains)


@asynccontextmanager
async def orders_to(hub: RunningHub) -> AsyncIterator[Orders]:
    async with direct_channel([hub.address]) as channel:
        yield Orders(channel)


async def _add(stack: AsyncExitStack, hub: RunningHub, name: str, zone: str) -> Backend:
    backend = await stack.enter_async_context(run_backend(name))
    made = instance(name, port=backend.port)
    made.zone = zone
    await stack.enter_async_context(registered(hub.address, made))
    return backend


async def test_ten_thousand_calls_cross_drains_without_an_error() -> None:
    """Of an instance, of a zone that holds half of the service, and back, again and again: none fails or strays."""
    async with run_hub() as hub, run_client(hub.address) as client, AsyncExitStack() as stack:
        orders = await stack.enter_async_context(orders_to(hub))
        backends = [await _add(stack, hub, f"echo-{n}", "west" if n < 3 else "east") for n in (1, 2, 3, 4)]
        await eventually(lambda: _answers(client))
        await client.ask("load", WHO, 32)
        await eventually(lambda: all(backend.calls for backend in backends))
        while sum(backend.calls for backend in backends) < CALLS:
            await _cross(orders, backends[:1], instance="echo-1")
            await _cross(orders, backends[:2], zone="west")
        result = await client.ask("stop")
    assert result["calls"] >= CALLS
    assert result["errors"] == []


async def _cross(orders: Orders, leaving: list[Backend], **target: str) -> None:
    """Drained they get nothing as soon as the client has heard; undrained they are called again."""
    await orders.drain(**target)
    await eventually(lambda: quiet(leaving))
    calls = [backend.calls for backend in leaving]
    await orders.undrain(**target)
    await eventually(lambda: all(now.calls > before for now, before in zip(leaving, calls, strict=True)))


async def _answers(client: PlainClient) -> bool:
    return bool((await client.call())["ok"])


class Held:
    """A server whose calls end when the test says so, and that counts them as all of ours do."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.entered = asyncio.Event()
        self.release = asyncio.Event()

    async def who(self, request: bytes, context: Any) -> bytes:
        self.entered.set()
        await self.release.wait()
        return b"held"


@asynccontextmanager
async def run_held() -> AsyncIterator[Held]:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    held = Held(server.add_insecure_port("127.0.0.1:0"))
    handler = grpc.unary_unary_rpc_method_handler(held.who)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(ECHO, {"Who": handler}),))
    channelz.add_channelz_servicer(server)
    await server.start()
    try:
        yield held
    finally:
        await server.stop(0)


async def test_a_call_under_way_finishes_and_only_then_the_instance_may_be_stopped() -> None:
    """The drained instance's channelz shows the call until it is over, and then that there is none."""
    async with run_hub() as hub, run_client(hub.address) as client, run_held() as held, AsyncExitStack() as stack:
        orders = await stack.enter_async_context(orders_to(hub))
        await stack.enter_async_context(registered(hub.address, instance("echo-1", port=held.port)))
        held.release.set()
        await eventually(lambda: _answers(client))
        held.release.clear()
        held.entered.clear()
        async with asyncio.TaskGroup() as tasks:
            call = tasks.create_task(client.call())
            await held.entered.wait()
            await orders.drain(instance="echo-1", force=True)
            drained = (await hub.instances())["echo-1"]
            assert (drained.status, drained.drain.reason) == (pb.INSTANCE_STATUS_DRAINING, "update")
            (proof,) = await prove_idle([drained], 0.3)
            assert (proof.idle, proof.last.calls) == (False, 1)
            held.release.set()
            (proof,) = await prove_idle([drained], 5)
            assert (proof.idle, "may be stopped" in proof.sentence()) == (True, True)
        assert call.result()["reply"] == "held"


async def test_an_instance_at_an_ipv6_address_is_proven_too() -> None:
    """Its channelz is asked there."""
    async with open_server(ServerSettings(instance="echo-1", host="::1", port=0), []) as server:
        address = pb.Address(name="grpc", host="::1", port=server.port, ip="::1")
        (proof,) = await prove_idle([pb.Instance(id="echo-1", addresses=[address])], 5)
    assert (proof.because, proof.idle) == ("", True)


async def test_the_last_endpoint_and_a_typing_error_are_refused_with_a_reason() -> None:
    """LAST_ENDPOINT, UNKNOWN_TARGET, and no order without a reason; force overrules; what is not drained is said."""
    async with run_hub() as hub, AsyncExitStack() as stack:
        orders = await stack.enter_async_context(orders_to(hub))
        await _add(stack, hub, "echo-1", "west")
        assert await _refusal(orders.drain(service="echo")) is Reason.LAST_ENDPOINT
        assert await _refusal(orders.drain(instance="ehco-1")) is Reason.UNKNOWN_TARGET
        assert await _refusal(orders.undrain(instance="echo-1")) is Reason.UNKNOWN_TARGET
        assert await _refusal(orders.drain(force=True)) is Reason.INVALID_ARGUMENT
        assert list((await orders.drain(service="echo", force=True)).instances) == ["echo-1"]
        assert [order.target.service for order in await orders.list()] == ["echo"]
        assert (await hub.instances())["echo-1"].reported_status == pb.INSTANCE_STATUS_UP


async def _refusal(call: Any) -> Reason:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return MeshError.of(raised.value).reason


@pytest.fixture
async def nats_url(nats_engine: Nats) -> AsyncIterator[str]:
    """For hubs that share a registry, gone afterwards."""
    yield nats_engine.url
    async with open_bus(nats_engine.url, "test") as bus:
        await delete_stream(nats_engine, bus, STREAM)


async def test_an_order_outlives_the_hubs(nats_url: str) -> None:
    """It stands after the last hub's restart, for an instance that registers later, and another hub takes it back."""
    async with run_hub(nats_url=nats_url) as hub, orders_to(hub) as orders:
        given = await orders.drain(service="drained-echo", force=True)
    async with run_hub(nats_url=nats_url, instance="hub-2") as hub, orders_to(hub) as orders:
        assert [(order.by, order.revision) for order in await orders.list()] == [("alice", given.drain.revision)]
        async with registered(hub.address, instance("drained-echo-1", "drained-echo")):
            assert (await hub.instances())["drained-echo-1"].status == pb.INSTANCE_STATUS_DRAINING
            await orders.undrain(service="drained-echo")
            assert (await hub.instances())["drained-echo-1"].status == pb.INSTANCE_STATUS_UP


async def test_a_watch_moves_from_hub_to_hub_and_misses_nothing(nats_url: str, tmp_path: Path) -> None:
    """Each of two hubs goes once; orders that the other one takes are told, each once."""
    ports = {name: free_port() for name in ("hub-1", "hub-2")}
    addresses = tuple(f"127.0.0.1:{port}" for port in ports.values())
    (tmp_path / "mesh.json").write_text(json.dumps({"hubs": addresses}))
    told: list[str] = []

    async def watch() -> None:
        async for change in follow(tmp_path, "moved-echo", 0):
            told.extend([change["status"]] if change["status"] != change["was"] else [])

    def hub(name: str) -> AbstractAsyncContextManager[RunningHub]:
        return run_hub(nats_url=nats_url, instance=name, port=ports[name])

    async with AsyncExitStack() as other, AsyncExitStack() as session, asyncio.TaskGroup() as tasks:
        async with hub("hub-1"):
            second = await other.enter_async_context(hub("hub-2"))
            made = instance("moved-echo-1", "moved-echo")
            await session.enter_async_context(open_session(MeshSettings(instance=made.id, hubs=addresses), made))
            watching = tasks.create_task(watch())
            await eventually(lambda: told == ["UP"])
        async with orders_to(second) as orders:
            await orders.drain(service="moved-echo")
        await eventually(lambda: told == ["UP", "DRAINING"])
        async with hub("hub-1") as first:
            await other.aclose()
            async with orders_to(first) as orders:
                await orders.undrain(service="moved-echo")
            await eventually(lambda: told == ["UP", "DRAINING", "UP"])
            await session.aclose()
        watching.cancel()


async def test_the_commands_drain_and_watch_a_real_hub(tmp_path: Path) -> None:
    """`suho drain --wait` proves it, `suho watch` tells it."""
    async with run_hub() as hub, run_held() as held, AsyncExitStack() as stack:
        (tmp_path / "mesh.json").write_text(json.dumps({"hubs": [hub.address]}))
        await _add(stack, hub, "echo-2", "east")
        await stack.enter_async_context(registered(hub.address, instance("echo-1", port=held.port)))
        drained = await suho("drain", "echo-1", "--reason", "update", "--by", "bob", "--wait", "--json", state=tmp_path)
        assert drained.status == 0, drained.err
        assert [(proof["instance"], proof["idle"]) for proof in drained.json["under_way"]] == [("echo-1", True)]
        before = str(drained.json["drain"]["revision"] - 1)
        watched = await suho("watch", "echo", "--from-revision", before, "-n", "1", "--json", state=tmp_path)
        assert (watched.json["id"], watched.json["status"]) == ("echo-1", "DRAINING")
        assert "bob" in watched.json["reason"]
