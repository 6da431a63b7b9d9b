"""A program's session with a hub: the open stream is its lease (design section 4)."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

import grpc
from suho.hub.v1 import registry_pb2 as pb
from suho.hub.v1 import registry_pb2_grpc

from mesh.channel import direct_channel
from mesh.config import MeshSettings
from mesh.errors import MeshError, Reason
from mesh.log import get_logger
from mesh.waiting import backoff

log = get_logger(__name__)

# How long a status change waits for a hub that is away: discovery then learns it at the next registration.
_ACK_TIMEOUT_S = 1.0
_FIRST_HEARTBEAT_S = 5.0
_SILENT_HUB_S = 15.0


class HubSession:
    """Keeps `instance` registered, at whichever hub answers, until it is closed."""

    def __init__(self, stub: "registry_pb2_grpc.RegistryServiceAsyncStub", instance: pb.Instance) -> None:
        self._stub = stub
        self._instance = instance
        self._token = uuid.uuid4().hex
        self._outgoing: asyncio.Queue[pb.SessionRequest] = asyncio.Queue()
        self._heartbeat_s = _FIRST_HEARTBEAT_S
        self._silent_s = _SILENT_HUB_S
        self._confirmed: int | None = None
        self._changed = asyncio.Condition()
        self._closing = False
        self._pauses = backoff()

    async def set_status(self, status: "pb.InstanceStatus.ValueType", reason: str = "") -> None:
        """Tell the hub; returns when it has told the mesh, or at once-ish when no hub is there to be told."""
        self._instance.status = status
        self._instance.status_reason = reason
        self._send(pb.SessionRequest(status=pb.StatusUpdate(status=status, reason=reason)))
        await self._until_confirmed(status)

    async def drain(self) -> None:
        """Leave discovery; what is under way goes on."""
        await self.set_status(pb.INSTANCE_STATUS_DRAINING, "stopping")

    async def run(self) -> None:
        """Hold the lease until `close`."""
        while not self._closing:
            try:
                await self._hold()
                self._confirmed = None
            except (grpc.aio.AioRpcError, TimeoutError) as error:
                self._confirmed = None
                refusal = MeshError.of(error) if isinstance(error, grpc.aio.AioRpcError) else None
                if refusal and refusal.reason is Reason.INVALID_ARGUMENT:
                    raise refusal from None
                pause = next(self._pauses)
                log.warning("hub session lost", because=str(refusal or error), retry_s=round(pause, 2))
                await asyncio.sleep(pause)

    async def close(self) -> None:
        """Deregister, if a hub is there."""
        self._closing = True
        self._send(pb.SessionRequest(deregister=pb.Deregister(reason="stopped")))

    async def _hold(self) -> None:
        self._outgoing = asyncio.Queue()
        call = self._stub.Session(self._requests())
        try:
            while True:
                async with asyncio.timeout(self._silent_s):
                    response = await call.read()
                if not isinstance(response, pb.SessionResponse):  # the hub ended the stream
                    break
                await self._take(response)
        finally:
            call.cancel()
        code = await call.code()
        if code is not grpc.StatusCode.OK:
            raise grpc.aio.AioRpcError(
                code, await call.initial_metadata(), await call.trailing_metadata(), await call.details()
            )

    async def _requests(self) -> AsyncIterator[pb.SessionRequest]:
        outgoing = self._outgoing
        yield pb.SessionRequest(register=pb.Register(instance=self._instance, token=self._token))
        while True:
            try:
                async with asyncio.timeout(self._heartbeat_s):
                    request = await outgoing.get()
            except TimeoutError:
                request = pb.SessionRequest(heartbeat=pb.Heartbeat())
            yield request
            if request.HasField("deregister"):
                return

    async def _take(self, response: pb.SessionResponse) -> None:
        match response.WhichOneof("kind"):
            case "registered":
                terms = response.registered
                self._heartbeat_s = terms.heartbeat_interval_ms / 1000
                self._silent_s = terms.lease_ttl_ms / 1000
                self._pauses = backoff()
                log.info("registered", hub=terms.hub_id, revision=terms.revision)
                await self._confirm(self._instance.status)
            case "status_ack":
                await self._confirm(response.status_ack.status)

    async def _confirm(self, status: int) -> None:
        async with self._changed:
            self._confirmed = status
            self._changed.notify_all()

    async def _until_confirmed(self, status: int) -> None:
        try:
            async with asyncio.timeout(_ACK_TIMEOUT_S), self._changed:
                await self._changed.wait_for(lambda: self._confirmed == status)
        except TimeoutError:
            log.warning("no hub confirmed the status", status=pb.InstanceStatus.Name(self._instance.status))

    def _send(self, request: pb.SessionRequest) -> None:
        self._outgoing.put_nowait(request)


@asynccontextmanager
async def open_session(settings: MeshSettings, instance: pb.Instance) -> AsyncIterator[HubSession]:
    """A session for as long as the block runs; the program does not wait for a hub to be there."""
    instance.version = instance.version or version("suho")
    instance.status = instance.status or pb.INSTANCE_STATUS_STARTING
    async with direct_channel(settings.hubs) as channel, asyncio.TaskGroup() as tasks:
        session = HubSession(registry_pb2_grpc.RegistryServiceStub(channel), instance)
        holder = tasks.create_task(session.run(), name="hub session")
        try:
            yield session
        finally:
            await session.close()
            done, _ = await asyncio.wait([holder], timeout=_ACK_TIMEOUT_S)
            if not done:
                holder.cancel()
