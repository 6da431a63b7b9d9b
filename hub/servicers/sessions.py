"""Sessions at the edge: each open stream is a lease."""

import asyncio
from collections.abc import AsyncIterator

from suho.hub.v1 import registry_pb2 as pb

from hub.discovery import Discovery
from hub.domain.admission import AdmissionError
from hub.domain.catalog import CompactedError
from hub.domain.lease import NotHolderError
from hub.domain.state import StoreAwayError
from hub.domain.status import Status
from hub.messages.instances import instance_from
from hub.messages.statuses import status_from, status_to
from hub.registry import Holder, Registry
from hub.servicers.refusals import canonical
from hub.streams import Bell, heard, inbox, stopping_error
from mesh.errors import MeshError, Reason


class Sessions:
    """Every session with this hub; `bell` ends them all."""

    def __init__(self, registry: Registry, discovery: Discovery, tasks: asyncio.TaskGroup) -> None:
        self._registry = registry
        self._discovery = discovery
        self._tasks = tasks
        self._ears: dict[str, asyncio.Event] = {}
        self.bell = Bell()

    async def serve(self, requests: AsyncIterator[pb.SessionRequest]) -> AsyncIterator[pb.SessionResponse]:
        """Answer one stream, and tell it what others decide about its instance."""
        session = _Session(self._registry, self._discovery)
        try:
            with self.bell.listening() as ear, inbox(self._tasks, requests, ear) as box:
                while not self.bell.stopping:
                    while not session.over and (request := box.take()):
                        with canonical():
                            response = await session.take(request)
                        self._ears[session.instance_id] = ear
                        if response is not None:
                            yield response
                    if box.ended or session.over:
                        return
                    with canonical():
                        news = session.news()
                    for response in news:
                        yield response
                    await heard(ear)
            raise stopping_error()
        finally:
            session.end()
            if self._ears.get(session.instance_id) is ear:
                del self._ears[session.instance_id]

    async def run(self, news: Bell) -> None:
        """Wake the sessions that the news are about, for ever."""
        catalog = self._registry.catalog
        seen = catalog.revision
        with news.listening() as ear:
            while True:
                try:
                    touched = {change.instance.id for change in catalog.changes_after(seen)} & self._ears.keys()
                except CompactedError:
                    touched = set(self._ears)
                seen = catalog.revision
                for instance_id in touched:
                    self._ears[instance_id].set()
                await heard(ear)


class _Session:
    """One stream."""

    def __init__(self, registry: Registry, discovery: Discovery) -> None:
        self._registry = registry
        self._discovery = discovery
        self._holder: Holder | None = None
        self._told = (Status.STARTING, "")
        self._unconfirmed: Status | None = None
        self.instance_id = ""
        self.over = False

    async def take(self, request: pb.SessionRequest) -> pb.SessionResponse | None:
        """Do what one message asks; None where there is nothing to say (yet)."""
        kind = request.WhichOneof("kind")
        if self._holder is None:
            if kind != "register":
                raise MeshError(Reason.NOT_REGISTERED, "a session begins with `register`")
            return await self._register(request.register)
        match kind:
            case "heartbeat":
                revision = await self._registry.hear(self._holder)
                detached = not self._registry.peers.attached
                return pb.SessionResponse(heartbeat_ack=pb.HeartbeatAck(revision=revision, detached=detached))
            case "status":
                return await self._report(self._holder, status_from(request.status.status), request.status.reason)
            case "deregister":
                await self._registry.deregister(self._holder, request.deregister.reason)
                self.over = True
                return None
        raise AdmissionError("send heartbeat, status or deregister; a session registers once")

    def news(self) -> list[pb.SessionResponse]:
        """What happened to the instance, and not by its own word.

        Raises:
            NotHolderError: its lease is no longer with this hub.
        """
        if self._holder is None:
            return []
        if not self._registry.has(self.instance_id):
            raise NotHolderError(f"{self.instance_id!r} left, or was taken up with another hub")
        if not self._registry.holds(self._holder):
            return []
        said = []
        in_force = self._registry.in_force(self._holder)
        if in_force and self._unconfirmed is not None:
            said.append(self._status_ack(self._unconfirmed, self._registry.catalog.revision))
            self._unconfirmed = None
        instance = self._registry.catalog.get(self.instance_id)
        # That it was silent is not news to who speaks again. Its own word may be on its way yet; orders hold.
        if instance is None or instance.status is Status.EXPIRED or not (in_force or instance.drain):
            return said
        stands = (instance.status, instance.status_reason)
        if stands != self._told:
            self._told = stands
            notice = pb.StatusNotice(status=status_to(instance.status), reason=instance.status_reason)
            said.append(pb.SessionResponse(notice=notice))
        return said

    def end(self) -> None:
        """The stream is no more."""
        if self._holder is not None:
            self._registry.broken(self._holder)

    async def _register(self, register: pb.Register) -> pb.SessionResponse:
        instance = instance_from(register.instance)
        self._holder = await self._registry.register(instance, register.token)
        self._told = (instance.status, instance.status_reason)
        self.instance_id = instance.id
        return pb.SessionResponse(registered=terms_of(self._registry))

    async def _report(self, holder: Holder, status: Status, reason: str) -> pb.SessionResponse | None:
        self._told, self._unconfirmed = (status, reason), None
        try:
            revision = await self._registry.report(holder, status, reason)
        except StoreAwayError:
            self._unconfirmed = status  # said later, when it is so
            return None
        return self._status_ack(status, revision)

    def _status_ack(self, status: Status, revision: int) -> pb.SessionResponse:
        if status is not Status.UP:
            self._discovery.publish_up_to(revision)
        return pb.SessionResponse(status_ack=pb.StatusAck(status=status_to(status), revision=revision))


def terms_of(registry: Registry) -> pb.Registered:
    """How long a lease with this hub lasts."""
    terms = registry.terms
    return pb.Registered(
        hub_id=registry.hub_id,
        revision=registry.catalog.revision,
        heartbeat_interval_ms=round(terms.heartbeat_s * 1000),
        lease_ttl_ms=round(terms.ttl_s * 1000),
        grace_ms=round(terms.grace_s * 1000),
        detached=not registry.peers.attached,
    )
