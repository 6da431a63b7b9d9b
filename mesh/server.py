"""The one way to serve: health, reflection, channelz, errors, deadlines, metrics, and a drain that loses no call."""

import asyncio
import ipaddress
import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_channelz.v1 import channelz
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from suho.hub.v1 import registry_pb2 as pb

from mesh.config import ServerSettings, SettingsError
from mesh.draining import Draining
from mesh.interceptors import Around
from mesh.keepalive import KEEPALIVE
from mesh.reflection import add_reflection
from mesh.session import HubSession

_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.so_reuseport", 0),  # else two programs share a port in silence
    *KEEPALIVE,
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 1_000),
    ("grpc.http2.max_ping_strikes", 0),
)

_REPEATABLE = (descriptor_pb2.MethodOptions.IDEMPOTENT, descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS)

# After leaving discovery: how long clients may still be acting on what they knew.
_DRAIN_PAUSE_S = 0.1
_STOP_GRACE_S = 1.0


@dataclass(frozen=True)
class Service:
    """A gRPC service to serve: its full name, and what adds it to a server."""

    name: str
    add: Callable[[grpc.aio.Server], None]


def service(add_to_server: Callable[[Any, Any], None], servicer: object, name: str) -> Service:
    """A service from its generated `add_…Servicer_to_server`."""
    return Service(name, lambda server: add_to_server(servicer, server))


@dataclass(frozen=True)
class MeshServer:
    """A started server."""

    port: int
    names: tuple[str, ...]
    draining: Draining
    _server: grpc.aio.Server = field(repr=False)
    _health: health.aio.HealthServicer = field(repr=False)

    async def announce(self, status: "health_pb2.HealthCheckResponse.ServingStatus.ValueType") -> None:
        for name in ("", *self.names):
            await self._health.set(name, status)

    async def stop(self, grace_s: float = _STOP_GRACE_S) -> None:
        """Refuse new calls; let those under way finish for `grace_s`."""
        await self.announce(health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._server.stop(grace_s)


@asynccontextmanager
async def open_server(
    settings: ServerSettings,
    services: Sequence[Service],
    draining: Draining | None = None,
    options: Iterable[tuple[str, Any]] = (),
    interceptors: Iterable[grpc.aio.ServerInterceptor] = (),
) -> AsyncIterator[MeshServer]:
    """Bind, start, and stop at the end of the block.

    `draining` is set while the server is out of discovery: streams that would stay open end themselves then.
    `interceptors` stand around everything that is served; what they raise is answered as handlers' errors are.

    Raises:
        SettingsError: the address is not loopback, or taken.
    """
    address = _loopback(settings.host)
    # Of one option given twice gRPC takes the first.
    every = list({**dict(_OPTIONS), **dict(options)}.items())
    server = grpc.aio.server(interceptors=[Around(), *interceptors], options=every)
    for item in services:
        item.add(server)
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    channelz.add_channelz_servicer(server)
    names = tuple(item.name for item in services)
    add_reflection(server, [*names, health.SERVICE_NAME, "grpc.channelz.v1.Channelz"])
    try:
        port = server.add_insecure_port(f"{address}:{settings.port}")
    except RuntimeError:
        raise SettingsError(
            f"setting 'port': {address}:{settings.port} is taken by another program; stop that or choose another port"
        ) from None
    await server.start()
    opened = MeshServer(port, names, draining or Draining(), server, checks)
    await opened.announce(health_pb2.HealthCheckResponse.SERVING)
    try:
        yield opened
    finally:
        await opened.stop(0)


async def serve(server: MeshServer, session: HubSession, stop: asyncio.Event) -> None:
    """Be UP until `stop`; then leave discovery, finish the calls, and stop. Meanwhile obey people who drain it."""
    await session.set_status(pb.INSTANCE_STATUS_UP)
    async with asyncio.TaskGroup() as tasks:
        obeying = tasks.create_task(obey(session.drained, server.draining), name="obey drains")
        await stop.wait()
        obeying.cancel()
    await session.drain()
    await asyncio.sleep(_DRAIN_PAUSE_S)
    server.draining.set()
    await server.stop()


async def obey(ordered: Draining, draining: Draining) -> None:
    """Let `draining` follow `ordered`, for ever: begun when clients have heard that this server left discovery."""
    while True:
        await ordered.wait()
        await asyncio.sleep(_DRAIN_PAUSE_S)
        if ordered.is_set():
            draining.set()
        await ordered.over()
        draining.clear()


def instance_of(
    settings: ServerSettings, service_name: str, server: MeshServer, dependencies: Iterable[str] = ()
) -> pb.Instance:
    """How a program registers what `server` serves."""
    grpc_address = pb.Address(
        name="grpc",
        host=settings.host,
        port=server.port,
        published_host=settings.published_host,
        published_port=settings.published_port,
    )
    return pb.Instance(
        id=settings.instance,
        service=service_name,
        addresses=[grpc_address],
        grpc_services=server.names,
        methods=[method for name in server.names for method in _unary_methods(name)],
        dependencies=dependencies,
        zone=settings.zone,
        process_id=os.getpid(),
    )


def _unary_methods(name: str) -> list[pb.GrpcMethod]:
    """As the contract of that gRPC service says."""
    contract = descriptor_pb2.ServiceDescriptorProto()
    descriptor_pool.Default().FindServiceByName(name).CopyToProto(contract)
    return [
        pb.GrpcMethod(path=f"{name}/{method.name}", idempotent=method.options.idempotency_level in _REPEATABLE)
        for method in contract.method
        if not (method.client_streaming or method.server_streaming)
    ]


def _loopback(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise SettingsError(f"setting 'host': {host!r} is not an IP address") from None
    if not address.is_loopback:
        raise SettingsError(f"setting 'host': {host} is not loopback; until TLS is built nothing else may listen")
    return f"[{host}]" if address.version == 6 else host
