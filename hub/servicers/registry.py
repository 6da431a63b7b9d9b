"""`suho.hub.v1.RegistryService` at the edge."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import grpc
from suho.hub.v1 import registry_pb2 as pb
from suho.hub.v1 import registry_pb2_grpc

from hub.discovery import Discovery
from hub.domain.catalog import Change, CompactedError
from hub.domain.instance import GRPC_ADDRESS
from hub.domain.lease import IdTakenError, NotHolderError
from hub.domain.state import ConflictError
from hub.domain.status import Status
from hub.messages.instances import address_to, change_to, instance_from, instance_to, summary_to
from hub.messages.statuses import status_from
from hub.registry import AdmissionError, Holder, OfferTakenError, Registry, RegistryFullError
from hub.streams import Bell, heard, inbox, stopping_error
from mesh.errors import MeshError, Reason

_MAX_CHANGES = 256
"""In one response of a watch, so that no message outgrows gRPC's limit."""


class RegistryServicer(registry_pb2_grpc.RegistryServiceServicer):
    """Sessions and questions."""

    def __init__(self, registry: Registry, discovery: Discovery, news: Bell, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._registry = registry
        self._catalog = registry.catalog
        self._discovery = discovery
        self._news = news
        self.sessions = Bell()

    async def Session(
        self,
        request_iterator: AsyncIterator[pb.SessionRequest],
        context: "grpc.aio.ServicerContext[pb.SessionRequest, pb.SessionResponse]",
    ) -> AsyncIterator[pb.SessionResponse]:
        holder: Holder | None = None
        try:
            with self.sessions.listening() as ear, inbox(self._tasks, request_iterator, ear) as requests:
                while not self.sessions.stopping:
                    while request := requests.take():
                        with _canonical():
                            holder, response = await self._answer(holder, request)
                        if response is None:
                            return
                        yield response
                    if requests.ended:
                        return
                    await heard(ear)
            raise stopping_error()
        finally:
            if holder is not None:
                self._registry.broken(holder)

    async def _answer(
        self, holder: Holder | None, request: pb.SessionRequest
    ) -> tuple[Holder | None, pb.SessionResponse | None]:
        kind = request.WhichOneof("kind")
        if holder is None:
            if kind != "register":
                raise MeshError(Reason.NOT_REGISTERED, "a session begins with `register`")
            register = request.register
            holder = await self._registry.register(instance_from(register.instance), register.token)
            return holder, self._registered()
        match kind:
            case "heartbeat":
                revision = await self._registry.hear(holder)
                return holder, pb.SessionResponse(heartbeat_ack=pb.HeartbeatAck(revision=revision))
            case "status":
                return holder, await self._report(holder, request.status)
            case "deregister":
                await self._registry.deregister(holder, request.deregister.reason)
                return None, None
        raise AdmissionError("send heartbeat, status or deregister; a session registers once")

    async def _report(self, holder: Holder, update: pb.StatusUpdate) -> pb.SessionResponse:
        revision = await self._registry.report(holder, status_from(update.status), update.reason)
        if update.status != pb.INSTANCE_STATUS_UP:
            self._discovery.publish_up_to(revision)
        return pb.SessionResponse(status_ack=pb.StatusAck(status=update.status, revision=revision))

    def _registered(self) -> pb.SessionResponse:
        terms = self._registry.terms
        return pb.SessionResponse(
            registered=pb.Registered(
                hub_id=self._registry.hub_id,
                revision=self._catalog.revision,
                heartbeat_interval_ms=round(terms.heartbeat_s * 1000),
                lease_ttl_ms=round(terms.ttl_s * 1000),
                grace_ms=round(terms.grace_s * 1000),
            )
        )

    async def ListServices(
        self,
        request: pb.ListServicesRequest,
        context: "grpc.aio.ServicerContext[pb.ListServicesRequest, pb.ListServicesResponse]",
    ) -> pb.ListServicesResponse:
        services = [summary_to(summary) for summary in self._catalog.services()]
        return pb.ListServicesResponse(services=services, revision=self._catalog.revision)

    async def ListInstances(
        self,
        request: pb.ListInstancesRequest,
        context: "grpc.aio.ServicerContext[pb.ListInstancesRequest, pb.ListInstancesResponse]",
    ) -> pb.ListInstancesResponse:
        instances = [instance_to(instance) for instance in self._catalog.instances(request.service)]
        return pb.ListInstancesResponse(instances=instances, revision=self._catalog.revision)

    async def Resolve(
        self,
        request: pb.ResolveRequest,
        context: "grpc.aio.ServicerContext[pb.ResolveRequest, pb.ResolveResponse]",
    ) -> pb.ResolveResponse:
        if not request.service:
            raise MeshError(Reason.INVALID_ARGUMENT, "name the service to resolve; ListServices lists them")
        instances = self._catalog.instances(request.service)
        if not instances:
            raise MeshError(Reason.UNKNOWN_SERVICE, f"no instance of {request.service[:64]!r} is registered")
        found = [
            address_to(address)
            for instance in instances
            if instance.status is Status.UP
            and (address := instance.address(request.address_name or GRPC_ADDRESS)) is not None
        ]
        return pb.ResolveResponse(addresses=found, revision=self._catalog.revision)

    async def Watch(
        self,
        request: pb.WatchRequest,
        context: "grpc.aio.ServicerContext[pb.WatchRequest, pb.WatchResponse]",
    ) -> AsyncIterator[pb.WatchResponse]:
        revision = request.start_revision
        with self._news.listening() as ear:
            if revision == 0:
                revision = self._catalog.revision
                yield self._snapshot(request.service, revision)
            while not self._news.stopping:
                with _canonical():
                    changes = self._catalog.changes_after(revision)[:_MAX_CHANGES]
                if not changes:
                    await heard(ear)
                    continue
                revision = changes[-1].revision
                if told := [change for change in changes if request.service in ("", change.instance.service)]:
                    yield _watch_response(told, revision)
        raise stopping_error()

    def _snapshot(self, service: str, revision: int) -> pb.WatchResponse:
        present = [Change(instance.revision, instance, False) for instance in self._catalog.instances(service)]
        response = _watch_response(present, revision)
        response.snapshot = True
        return response


def _watch_response(changes: list[Change], revision: int) -> pb.WatchResponse:
    return pb.WatchResponse(revision=revision, changes=[change_to(change) for change in changes])


@contextmanager
def _canonical() -> Iterator[None]:
    """The domain's refusals in the mesh's words."""
    try:
        yield
    except AdmissionError as error:
        raise MeshError(Reason.INVALID_ARGUMENT, str(error)) from None
    except IdTakenError as error:
        raise MeshError(Reason.INSTANCE_ID_TAKEN, str(error)) from None
    except OfferTakenError as error:
        raise MeshError(Reason.SERVICE_OFFERED_ELSEWHERE, str(error)) from None
    except RegistryFullError as error:
        raise MeshError(Reason.TOO_MANY_INSTANCES, str(error)) from None
    except (NotHolderError, ConflictError) as error:
        raise MeshError(Reason.SESSION_REPLACED, str(error)) from None
    except CompactedError as error:
        raise MeshError(Reason.REVISION_COMPACTED, f"{error}; watch anew from 0") from None
