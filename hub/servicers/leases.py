"""Leases at the edge, for clients that would rather call than hold a stream."""

from suho.hub.v1 import registry_pb2 as pb

from hub.discovery import Discovery
from hub.domain.lease import Hold
from hub.messages.instances import instance_from
from hub.messages.statuses import status_from, status_to
from hub.registry import Registry
from hub.servicers.refusals import canonical
from hub.servicers.sessions import terms_of
from mesh.errors import MeshError, Reason


class UnaryLeases:
    """Register, renew, deregister."""

    def __init__(self, registry: Registry, discovery: Discovery) -> None:
        self._registry = registry
        self._discovery = discovery

    async def register(self, request: pb.RegisterRequest) -> pb.RegisterResponse:
        with canonical():
            await self._registry.register(instance_from(request.instance), request.token, Hold.CALLS)
        return pb.RegisterResponse(terms=terms_of(self._registry))

    async def renew(self, request: pb.RenewRequest) -> pb.RenewResponse:
        _require_id(request.instance_id)
        with canonical():
            status = status_from(request.status) if request.status else None
            await self._registry.renew(request.instance_id, request.token, status, request.reason)
        if request.status not in (pb.INSTANCE_STATUS_UNSPECIFIED, pb.INSTANCE_STATUS_UP):
            self._discovery.publish_up_to(self._registry.catalog.revision)
        response = pb.RenewResponse(
            revision=self._registry.catalog.revision, detached=not self._registry.peers.attached
        )
        stands = self._registry.catalog.get(request.instance_id)
        if stands is not None:
            response.status, response.reason = status_to(stands.status), stands.status_reason
        return response

    async def deregister(self, request: pb.DeregisterRequest) -> pb.DeregisterResponse:
        _require_id(request.instance_id)
        with canonical():
            await self._registry.leave(request.instance_id, request.token, request.reason)
        return pb.DeregisterResponse(revision=self._registry.catalog.revision)


def _require_id(instance_id: str) -> None:
    if not instance_id:
        raise MeshError(Reason.INVALID_ARGUMENT, "name the instance by its id")
