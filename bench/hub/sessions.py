"""What a program says to a hub: its session, message by message, and a watch."""

import asyncio
from collections.abc import Callable
from time import perf_counter_ns
from uuid import uuid4

from suho.hub.v1 import registry_pb2 as pb

from bench.hub.h2 import Call, Connection
from bench.race import NoShowError

_SERVICE = "/suho.hub.v1.RegistryService"
_HEARTBEAT = pb.SessionRequest(heartbeat=pb.Heartbeat()).SerializeToString()
_FAREWELL = pb.SessionRequest(deregister=pb.Deregister(reason="measured")).SerializeToString()


def instance(name: str, service: str = "bench", port: int = 1) -> pb.Instance:
    """An instance that is UP, with one gRPC service that nobody probes."""
    made = pb.Instance(id=name, service=service, status=pb.INSTANCE_STATUS_UP, version="1.0.0", zone="a", process_id=1)
    made.addresses.add(name="grpc", host="127.0.0.1", port=port)
    made.grpc_services.append(f"suho.{service.replace('-', '_')}.v1.BenchService")
    made.probe.kind = pb.PROBE_KIND_NONE
    return made


class Session:
    """One instance's session."""

    def __init__(self, connection: Connection, made: pb.Instance) -> None:
        self._connection = connection
        self._made = made
        self._call: Call | None = None
        self._answer: asyncio.Future[int] | None = None
        self.instance_id = made.id

    async def register(self) -> int:
        """Open it; when it was asked for, by `perf_counter_ns`. Returns once the hub has answered."""
        register = pb.Register(instance=self._made, token=uuid4().hex)
        began = perf_counter_ns()
        self._call = self._connection.call(f"{_SERVICE}/Session", self._hear, self._over)
        await self._ask(pb.SessionRequest(register=register).SerializeToString())
        return began

    async def heartbeat(self) -> int:
        """Give a sign of life; when the answer was there."""
        return await self._ask(_HEARTBEAT)

    async def report(self, status: "pb.InstanceStatus.ValueType") -> int:
        """Say a status; when the hub had told the mesh."""
        return await self._ask(pb.SessionRequest(status=pb.StatusUpdate(status=status)).SerializeToString())

    def leave(self) -> None:
        """Deregister."""
        assert self._call is not None
        self._call.over = _nothing
        self._call.send(_FAREWELL, last=True)

    async def left(self) -> None:
        """Deregister; returns once the hub has ended the stream."""
        assert self._call is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._call.send(_FAREWELL, last=True)
        await self._answer

    def vanish(self) -> None:
        """Break the stream."""
        assert self._call is not None
        self._call.cancel()

    async def _ask(self, message: bytes) -> int:
        assert self._call is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._call.send(message)
        return await self._answer

    def _hear(self, message: bytes, now: int) -> None:
        if pb.SessionResponse.FromString(message).WhichOneof("kind") == "notice":
            return
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(now)

    def _over(self, why: str) -> None:
        if self._answer is None or self._answer.done():
            return
        if "grpc-status 0" in " ".join(why.split()):
            self._answer.set_result(perf_counter_ns())
        else:
            self._answer.set_exception(NoShowError(f"the session of {self.instance_id} ended: {why}"))


class Calls:
    """One instance that registers and lives by unary calls."""

    def __init__(self, connection: Connection, made: pb.Instance) -> None:
        self._connection = connection
        self._made = made
        self._token = uuid4().hex

    async def register(self) -> None:
        """Returns once the hub has answered."""
        request = pb.RegisterRequest(instance=self._made, token=self._token)
        await self._connection.ask(f"{_SERVICE}/Register", request.SerializeToString())

    async def heartbeat(self) -> int:
        """Renew; when the answer was there."""
        request = pb.RenewRequest(instance_id=self._made.id, token=self._token)
        await self._connection.ask(f"{_SERVICE}/Renew", request.SerializeToString())
        return perf_counter_ns()


async def watch(connection: Connection, seen: Callable[[str, bool, int], None]) -> None:
    """Watch all services; `seen` gets an instance's id, whether it was removed, when. Returns after the snapshot."""
    started: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def hear(message: bytes, now: int) -> None:
        response = pb.WatchResponse.FromString(message)
        if response.snapshot:
            started.set_result(None)
            return
        for change in response.changes:
            seen(change.instance.id, change.kind == pb.CHANGE_KIND_REMOVED, now)

    def over(why: str) -> None:
        if not started.done():
            started.set_exception(NoShowError(f"the watch ended: {why}"))

    connection.call(f"{_SERVICE}/Watch", hear, over).send(pb.WatchRequest().SerializeToString(), last=True)
    await started


def _nothing(_why: str) -> None:
    return
