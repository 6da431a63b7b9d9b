"""`suho.hub.v1.MaintenanceService` at the edge."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import grpc
from suho.hub.v1 import maintenance_pb2 as pb
from suho.hub.v1 import maintenance_pb2_grpc, registry_pb2

from hub.domain.drain import Drain
from hub.domain.status import Status
from hub.domain.withdrawal import LastEndpointError, UnknownTargetError
from hub.maintenance import Maintenance, TooManyDrainsError
from hub.messages.drains import drain_to, target_from
from hub.messages.statuses import status_from
from hub.servicers.refusals import canonical
from mesh.errors import MeshError, Reason
from mesh.server import Service, service

_NAME = pb.DESCRIPTOR.services_by_name["MaintenanceService"].full_name


class MaintenanceServicer(maintenance_pb2_grpc.MaintenanceServiceServicer):
    """Orders."""

    def __init__(self, maintenance: Maintenance) -> None:
        self._maintenance = maintenance

    def service(self) -> Service:
        """As a server takes it."""
        return service(maintenance_pb2_grpc.add_MaintenanceServiceServicer_to_server, self, _NAME)

    async def Drain(
        self, request: pb.DrainRequest, context: "grpc.aio.ServicerContext[pb.DrainRequest, pb.DrainResponse]"
    ) -> pb.DrainResponse:
        with _refused():
            order = Drain(target_from(request.target), Status.DRAINING, request.reason, request.by, 0)
            if request.status != registry_pb2.INSTANCE_STATUS_UNSPECIFIED:
                order = replace(order, status=status_from(request.status))
            given = await self._maintenance.drain(order, request.force)
        return pb.DrainResponse(drain=drain_to(given.drain, given.revision), instances=given.instances)

    async def Undrain(
        self, request: pb.UndrainRequest, context: "grpc.aio.ServicerContext[pb.UndrainRequest, pb.UndrainResponse]"
    ) -> pb.UndrainResponse:
        with _refused():
            undone = await self._maintenance.undrain(target_from(request.target), request.by)
        return pb.UndrainResponse(revision=undone.revision, instances=undone.instances)

    async def ListDrains(
        self,
        request: pb.ListDrainsRequest,
        context: "grpc.aio.ServicerContext[pb.ListDrainsRequest, pb.ListDrainsResponse]",
    ) -> pb.ListDrainsResponse:
        orders = self._maintenance.orders()
        return pb.ListDrainsResponse(
            drains=[drain_to(order.drain, order.revision) for order in orders], revision=self._maintenance.revision
        )


@contextmanager
def _refused() -> Iterator[None]:
    """The rules' refusals in the mesh's words."""
    with canonical():
        try:
            yield
        except UnknownTargetError as error:
            raise MeshError(Reason.UNKNOWN_TARGET, str(error)) from None
        except LastEndpointError as error:
            raise MeshError(Reason.LAST_ENDPOINT, str(error), services=",".join(error.services)) from None
        except TooManyDrainsError as error:
            raise MeshError(Reason.TOO_MANY_DRAINS, str(error)) from None
