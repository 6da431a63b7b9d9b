"""A hub, and backends registered with it, for tests."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from suho.hub.v1 import registry_pb2 as pb
from suho.hub.v1 import registry_pb2_grpc

from hub.app import main
from hub.config import HubSettings
from mesh.channel import direct_channel
from mesh.config import MeshSettings
from mesh.session import HubSession, open_session
from tests.support.waiting import eventually, free_port

ECHO = "suho.test.v1.EchoService"

QUICK: dict[str, Any] = {"heartbeat_s": 0.1, "lease_ttl_s": 0.6, "grace_s": 0.3, "sweep_interval_s": 0.05}
"""Lease times for tests that wait for leases to run out."""


@dataclass(frozen=True)
class RunningHub:
    """A hub in this process."""

    address: str
    stub: "registry_pb2_grpc.RegistryServiceAsyncStub"
    stop: asyncio.Event

    async def instances(self) -> dict[str, pb.Instance]:
        """All instances by id."""
        response = await self.stub.ListInstances(pb.ListInstancesRequest(), timeout=5)
        return {instance.id: instance for instance in response.instances}


@asynccontextmanager
async def run_hub(**settings: Any) -> AsyncIterator[RunningHub]:
    """A hub on a free port, reachable when the block begins, stopped as by SIGTERM at its end."""
    made = HubSettings(**{"instance": "hub-1", "port": free_port(), **settings})
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(main(made, stop))
        try:
            async with connected(f"127.0.0.1:{made.port}", stop) as running:
                yield running
        finally:
            stop.set()


@asynccontextmanager
async def connected(address: str, stop: asyncio.Event | None = None) -> AsyncIterator[RunningHub]:
    """The hub at `address`, once it answers."""
    async with direct_channel([address]) as channel:
        async with asyncio.timeout(30):
            await channel.channel_ready()
        yield RunningHub(address, registry_pb2_grpc.RegistryServiceStub(channel), stop or asyncio.Event())


class Backend:
    """A server that answers every call with its name; late or not at all, if told so."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self.calls = 0
        self.delay_s = 0.0
        self.fails = False

    async def who(self, request: bytes, context: Any) -> bytes:
        self.calls += 1
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.fails:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "told to fail")
        return self.name.encode()


@asynccontextmanager
async def run_backend(name: str, grpc_service: str = ECHO) -> AsyncIterator[Backend]:
    """A backend that serves `Who` of `grpc_service` on a free port."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    backend = Backend(name, server.add_insecure_port("127.0.0.1:0"))
    handler = grpc.unary_unary_rpc_method_handler(backend.who)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(grpc_service, {"Who": handler}),))
    await server.start()
    try:
        yield backend
    finally:
        await server.stop(0)


async def quiet(backends: Sequence[Backend]) -> bool:
    """Whether nobody calls them for as long as a server waits before it stops; after a stall calls may still wait."""
    calls = [backend.calls for backend in backends]
    await asyncio.sleep(0.1)
    return [backend.calls for backend in backends] == calls


def instance(
    instance_id: str, service: str = "echo", port: int = 0, grpc_services: Sequence[str] = (ECHO,)
) -> pb.Instance:
    """An instance that is UP; without a port it only registers."""
    made = pb.Instance(id=instance_id, service=service, status=pb.INSTANCE_STATUS_UP, process_id=os.getpid())
    if port:
        made.grpc_services.extend(grpc_services)
        made.addresses.add(name="grpc", host="127.0.0.1", port=port)
    return made


@asynccontextmanager
async def registered(address: str, made: pb.Instance) -> AsyncIterator[HubSession]:
    """A session for `made`, in force when the block begins."""
    async with open_session(MeshSettings(instance=made.id, hubs=(address,)), made) as session:
        await eventually(lambda: session.hub, 30)
        await session.set_status(made.status)
        yield session


class RawSession:
    """A session message by message, which does nothing of itself."""

    def __init__(self, call: Any) -> None:
        self.call = call

    async def ask(self, **kind: Any) -> pb.SessionResponse:
        """Send one message and give the answer, or raise what the hub ended the stream with."""
        await self.call.write(pb.SessionRequest(**kind))
        return await self.read()

    async def read(self) -> pb.SessionResponse:
        """The next answer."""
        async with asyncio.timeout(30):
            response = await self.call.read()
        if response is grpc.aio.EOF:
            raise EOFError(await self.call.code())
        assert isinstance(response, pb.SessionResponse)
        return response


async def register(
    stub: "registry_pb2_grpc.RegistryServiceAsyncStub", made: pb.Instance, token: str = "token-of-this-test"
) -> RawSession:
    """Register by hand; the caller sends the heartbeats, or does not."""
    session = RawSession(stub.Session())
    await session.ask(register=pb.Register(instance=made, token=token))
    return session
