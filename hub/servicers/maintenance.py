"""`suho.hub.v1.MaintenanceService` at the edge."""

from dataclasses import replace

import grpc
from suho.hub.v1 import maintenance_pb2 as pb
from suho.hub.v1 import maintenance_pb2_grpc, registry_pb2

from hub.domain.drain import Drain
from hub.domain.status import Status
from hub.maintenance import Maintenance
from hub.messages.drains import drain_to, target_from
from hub.messages.statuses import status_from
from hub.servicers.refusals import canonical
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
        with canonical():
            order = Drain(target_from(request.target), Status.DRAINING, request.reason, request.by, 0)
            if request.status != registry_pb2.INSTANCE_STATUS_UNSPECIFIED:
                order = replace(order, status=status_from(request.status))
            given = await self._maintenance.drain(order, request.force)
        return pb.DrainResponse(drain=drain_to(given.drain, given.revision), instances=given.instances)

    async def Undrain(
        self, request: pb.UndrainRequest, context: "grpc.aio.ServicerContext[pb.UndrainRequest, pb.UndrainResponse]"
    ) -> pb.UndrainResponse:
        with canonical():
            undone = await self._maintenance.undrain(target_from(request.target), request.by)
        return pb.UndrainResponse(
            revision=undone.revision, instances=undone.instances, still_drained=undone.still_drained
        )

    async def ListDrains(
        self,
        request: pb.ListDrainsRequest,
        context: "grpc.aio.ServicerContext[pb.ListDrainsRequest, pb.ListDrainsResponse]",
    ) -> pb.ListDrainsResponse:
        drains = [drain_to(drain, revision) for revision, drain in self._maintenance.orders()]
        return pb.ListDrainsResponse(drains=drains, revision=self._maintenance.revision)
