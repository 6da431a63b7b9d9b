"""Calls under way in an instance, as its channelz counts them: the proof that it may be stopped."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from suho.hub.v1 import registry_pb2

from cli.call_route import address_of
from cli.connection import TIMEOUT_S
from cli.output import utc
from mesh.channel import direct_channel
from mesh.clock import unix_ms
from mesh.errors import MeshError

# A connection on which nothing began for so long holds streams that nobody will end soon.
LONG_S = 5.0
_EVERY_S = 0.1
# A call that was accepted a moment ago may be counted a moment later.
_IN_A_ROW = 3


@dataclass(frozen=True)
class Connection:
    """One caller's connection to the asked port; `open` of its `started` calls have not ended."""

    peer: str
    started: int
    open: int


@dataclass(frozen=True)
class UnderWay:
    """At one moment: calls that will end, and by caller streams that may stay open for ever."""

    calls: int = 0
    streams: dict[str, int] = field(default_factory=dict)


class Longevity:
    """Tells calls from long streams: those on a connection where nothing has begun for `LONG_S`."""

    def __init__(self) -> None:
        self._begun: dict[str, tuple[int, float]] = {}

    def judge(self, connections: Iterable[Connection], now: float) -> UnderWay:
        calls = 0
        streams: dict[str, int] = {}
        for one in connections:
            started, since = self._begun.get(one.peer, (-1, now))
            if started != one.started:
                since = now
            self._begun[one.peer] = one.started, since
            if one.open and now - since >= LONG_S:
                streams[one.peer] = one.open
            else:
                calls += one.open
        return UnderWay(calls, streams)


@dataclass(frozen=True)
class Proof:
    """Whether an instance has no call under way, since when, or why that is not known."""

    instance: str
    idle: bool
    since_unix_ms: int = 0
    last: UnderWay = field(default_factory=UnderWay)
    because: str = ""

    def facts(self) -> dict[str, Any]:
        """For programs."""
        return {
            "instance": self.instance,
            "idle": self.idle,
            "since_unix_ms": self.since_unix_ms,
            "calls": self.last.calls,
            "long_streams": self.last.streams,
            "because": self.because,
        }

    def sentence(self) -> str:
        """For people."""
        if self.because:
            return f"{self.instance}: {self.because}"
        long = ", ".join(f"{number} from {peer}" for peer, number in self.last.streams.items())
        but = f", but long streams are open ({long}); stopping it ends them" if long else ""
        return f"{self.instance}: no call under way since {utc(self.since_unix_ms)}{but}: it may be stopped"


async def prove_idle(instances: Sequence[registry_pb2.Instance], timeout_s: float) -> list[Proof]:
    """Wait until none of them has a call under way, beside long streams; at most `timeout_s`."""
    async with asyncio.TaskGroup() as tasks:
        proving = [tasks.create_task(_prove(instance, timeout_s)) for instance in instances]
    return [task.result() for task in proving]


async def _prove(instance: registry_pb2.Instance, timeout_s: float) -> Proof:
    address = address_of(instance)
    if not instance.addresses:
        return Proof(instance.id, True, unix_ms(), because="it listens nowhere, so that nobody calls it")
    if not address:
        return Proof(instance.id, False, because="it serves no gRPC, so that nothing tells who uses it")
    deadline, longevity, since, idle = time.monotonic() + timeout_s, Longevity(), 0, 0
    port = int(address.rpartition(":")[2])
    async with direct_channel([address]) as channel:
        stub = channelz_pb2_grpc.ChannelzStub(channel)
        while True:
            try:
                found = longevity.judge(await _connections(stub, port), time.monotonic())
            except grpc.aio.AioRpcError as error:
                return Proof(instance.id, False, because=f"it does not tell: {_why(error)}")
            idle = 0 if found.calls else idle + 1
            since = unix_ms() if idle == 1 else since
            if idle == _IN_A_ROW:
                return Proof(instance.id, True, since, found)
            if time.monotonic() > deadline:
                return Proof(instance.id, False, 0, found, f"{found.calls} calls are still under way")
            await asyncio.sleep(_EVERY_S)


def _why(error: grpc.aio.AioRpcError) -> str:
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        return "its server has no channelz, which counts calls"
    return MeshError.of(error).message


async def _connections(stub: "channelz_pb2_grpc.ChannelzStub", port: int) -> list[Connection]:
    """Others' connections to `port`. Ours is the one on which a call began last: the very question."""
    servers = await stub.GetServers(channelz_pb2.GetServersRequest(), timeout=TIMEOUT_S)
    sockets = [socket for server in servers.server for socket in await _sockets(stub, server.ref.server_id)]
    mine = [socket for socket in sockets if socket.local.tcpip_address.port == port]
    mine.sort(key=lambda socket: int(socket.data.last_remote_stream_created_timestamp.ToNanoseconds()))
    return [_connection(socket) for socket in mine[:-1]]


async def _sockets(stub: "channelz_pb2_grpc.ChannelzStub", server_id: int) -> list[Any]:
    found: list[Any] = []
    start, ended = 0, False
    while not ended:
        request = channelz_pb2.GetServerSocketsRequest(server_id=server_id, start_socket_id=start)
        page = await stub.GetServerSockets(request, timeout=TIMEOUT_S)
        for ref in page.socket_ref:
            start = ref.socket_id + 1
            try:
                asked = channelz_pb2.GetSocketRequest(socket_id=ref.socket_id)
                found.append((await stub.GetSocket(asked, timeout=TIMEOUT_S)).socket)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.NOT_FOUND:  # it closed meanwhile
                    raise
        ended = page.end or not page.socket_ref
    return found


def _connection(socket: Any) -> Connection:
    counted = socket.data
    under_way = counted.streams_started - counted.streams_succeeded - counted.streams_failed
    return Connection(socket.ref.name.removeprefix("chttp2 "), counted.streams_started, under_way)
