"""A program's session with the hubs: the open stream is its lease (design section 4)."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from itertools import cycle

import grpc
from suho.hub.v1 import registry_pb2 as pb
from suho.hub.v1 import registry_pb2_grpc

from mesh.channel import direct_channel, in_own_order
from mesh.config import MeshSettings
from mesh.draining import Draining
from mesh.errors import MeshError, Reason
from mesh.log import get_logger
from mesh.waiting import backoff

log = get_logger(__name__)

# How long a status change waits for hubs that do not answer: discovery then learns it at the next registration.
_ACK_TIMEOUT_S = 1.0
# A hub that is frozen still takes connections. Doubled whenever it is not enough: a hub to which all come at once
# answers late, and must not be left for that again and again.
_ANSWER_S = 2.0
_LONGEST_ANSWER_S = 15.0
# Between two rounds in which no hub was there.
_MOST_PAUSE_S = 0.5
# Every hub has lost its store: how often to look for one that has it again.
_LOOK_AROUND_S = 30.0
_OUT = (pb.INSTANCE_STATUS_DRAINING, pb.INSTANCE_STATUS_OUT_OF_SERVICE)


class _ElsewhereError(Exception):
    """Another hub would serve better."""


class HubSession:
    """Keeps `instance` registered, at one of `hubs` at a time, until it is closed.

    A hub that breaks off, refuses or falls silent is left for the next one at once; the lease's grace is longer than
    that takes. `drained` is set while a person keeps the instance out of service.
    """

    def __init__(self, hubs: Sequence[str], instance: pb.Instance) -> None:
        self.drained = Draining()
        # No hub could be reached, and none has been since.
        self.away = False
        # The one that has the session; empty while none has.
        self.hub = ""
        self._hubs = hubs
        self._instance = instance
        self._token = uuid.uuid4().hex
        self._outgoing: asyncio.Queue[pb.SessionRequest] = asyncio.Queue()
        self._welcomed = asyncio.Event()
        self._heartbeat_s = 0.0
        self._silent_s = self._answer_s = _ANSWER_S
        self._registering: int = instance.status
        self._confirmed: int | None = None
        self._changed = asyncio.Condition()
        self._closing = False
        # Hubs in a row at which the session did not stand well; whether it stood at all at the present one.
        self._tried = 0
        self._trying = ""
        self._stood = False
        self._looked_around = 0.0
        # Whether the present hub may still tell of an order in force; it does so before its first heartbeat ack.
        self._unsaid = False
        self._pauses = backoff(most_s=_MOST_PAUSE_S)

    async def set_status(self, status: "pb.InstanceStatus.ValueType", reason: str = "") -> None:
        """Tell the hub; returns when it has told the mesh, or at once-ish when no hub is there to be told."""
        self._instance.status = status
        self._instance.status_reason = reason
        self._send(pb.SessionRequest(status=pb.StatusUpdate(status=status, reason=reason)))
        await self._until_confirmed(status)

    async def drain(self) -> None:
        """Leave discovery; what is under way goes on."""
        await self.set_status(pb.INSTANCE_STATUS_DRAINING, "stopping")

    async def other_hub(self, than: str) -> str:
        """The hub that has the session, as soon as it is another than that; empty: none."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.hub != than)
            return self.hub

    async def run(self) -> None:
        """Hold the lease until `close`.

        Raises:
            MeshError: INVALID_ARGUMENT, no hub will ever take this registration.
        """
        for hub in cycle(self._hubs):
            if self._closing:
                return
            self._stood = False
            because = await self._stand_at(hub)
            await self._note_hub("")
            if self._closing:
                return
            self._tried += 1
            rounds, more = divmod(self._tried, len(self._hubs))
            if self._stood:
                log.warning("hub session lost", hub=hub, because=because)
            elif rounds in (4, 16) or rounds % 64 == 63:  # the first moments are nobody's concern
                log.info("waiting for a hub", hub=hub, because=because[:300])
            if not more:
                await self._note_away(True)
                await asyncio.sleep(next(self._pauses))

    async def close(self) -> None:
        """Deregister, if a hub is there."""
        self._closing = True
        self._send(pb.SessionRequest(deregister=pb.Deregister(reason="stopped")))

    async def _stand_at(self, hub: str) -> str:
        """The session at one hub, until it ends; says why."""
        self._trying = hub
        try:
            async with direct_channel([hub]) as channel:
                await self._hold(registry_pb2_grpc.RegistryServiceStub(channel))
        except TimeoutError:
            return f"no answer within {self._silent_s:g} s"
        except _ElsewhereError as better:
            return str(better)
        except grpc.aio.AioRpcError as error:
            refusal = MeshError.of(error)
            if refusal.reason is Reason.INVALID_ARGUMENT:
                raise refusal from None
            return str(refusal)
        finally:
            self._confirmed = None
        return "the hub ended it"

    async def _hold(self, stub: "registry_pb2_grpc.RegistryServiceAsyncStub") -> None:
        self._outgoing, self._welcomed = asyncio.Queue(), asyncio.Event()
        self._silent_s = self._answer_s
        self._answer_s = min(self._answer_s * 2, _LONGEST_ANSWER_S)
        call = stub.Session(self._requests())
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
        outgoing, welcomed = self._outgoing, self._welcomed
        self._registering = self._instance.status
        yield pb.SessionRequest(register=pb.Register(instance=self._instance, token=self._token))
        await welcomed.wait()
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
                await self._registered(response.registered)
            case "heartbeat_ack":
                self._heard(response.heartbeat_ack)
            case "status_ack":
                await self._confirm(response.status_ack.status)
            case "notice":
                self._take_order(response.notice)

    async def _registered(self, terms: pb.Registered) -> None:
        self._heartbeat_s = terms.heartbeat_interval_ms / 1000
        # One ack may come half an interval late; what is left of the lease is enough to register elsewhere, also before
        # the hub, whose pings are not answered either, takes the stream for broken.
        self._silent_s = max(terms.lease_ttl_ms / 2000, 1.5 * self._heartbeat_s)
        self._answer_s = _ANSWER_S
        self._unsaid = self._stood = True
        self._welcomed.set()
        log.info("registered", hub=terms.hub_id, revision=terms.revision)
        await self._note_away(False)
        await self._note_hub(self._trying)
        await self._confirm(self._registering)
        if terms.detached:
            self._look_elsewhere()

    def _heard(self, ack: pb.HeartbeatAck) -> None:
        if self._unsaid:
            self._unsaid = False
            self.drained.clear()
        self._pauses = backoff(most_s=_MOST_PAUSE_S)
        if ack.detached:
            self._look_elsewhere()
        else:
            self._tried = 0

    def _look_elsewhere(self) -> None:
        """This hub has lost its store. Stay for a while, if the others have too."""
        now = time.monotonic()
        if self._tried + 1 >= len(self._hubs):
            if now - self._looked_around < _LOOK_AROUND_S:
                return
            self._tried = 0
        if self._tried == 0:
            self._looked_around = now
        if len(self._hubs) > 1:
            raise _ElsewhereError("it has lost its store")

    def _take_order(self, notice: pb.StatusNotice) -> None:
        self._unsaid = False
        log.warning("the registry decided", status=pb.InstanceStatus.Name(notice.status), because=notice.reason)
        if notice.status in _OUT:
            self.drained.set()
        else:
            self.drained.clear()

    async def _confirm(self, status: int) -> None:
        async with self._changed:
            self._confirmed = status
            self._changed.notify_all()

    async def _note_away(self, away: bool) -> None:
        async with self._changed:
            self.away = away
            self._changed.notify_all()

    async def _note_hub(self, hub: str) -> None:
        async with self._changed:
            self.hub = hub
            self._changed.notify_all()

    async def _until_confirmed(self, status: int) -> None:
        try:
            async with asyncio.timeout(_ACK_TIMEOUT_S), self._changed:
                await self._changed.wait_for(lambda: self._confirmed == status or self.away)
        except TimeoutError:
            log.warning("no hub confirmed the status", status=pb.InstanceStatus.Name(self._instance.status))

    def _send(self, request: pb.SessionRequest) -> None:
        self._outgoing.put_nowait(request)


@asynccontextmanager
async def open_session(settings: MeshSettings, instance: pb.Instance) -> AsyncIterator[HubSession]:
    """A session for as long as the block runs; the program does not wait for a hub to be there."""
    instance.version = instance.version or version("suho")
    instance.status = instance.status or pb.INSTANCE_STATUS_STARTING
    async with asyncio.TaskGroup() as tasks:
        session = HubSession(in_own_order(settings.hubs), instance)
        holder = tasks.create_task(session.run(), name="hub session")
        try:
            yield session
        finally:
            await session.close()
            await asyncio.wait([holder], timeout=0 if session.away else _ACK_TIMEOUT_S)
            holder.cancel()
