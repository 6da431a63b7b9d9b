"""Questions at the edge, answered from memory by any hub."""

from collections.abc import Callable

from suho.common.v1 import page_pb2
from suho.hub.v1 import registry_pb2 as pb

from hub.alarms import Alarms
from hub.domain.instance import GRPC_ADDRESS
from hub.domain.status import Status
from hub.messages.instances import address_to, instance_to, summary_to
from hub.registry import Registry
from mesh.clock import unix_ms
from mesh.errors import MeshError, Reason

LARGEST_PAGE = 1_000
# Well below gRPC's limit of 4 MiB.
_PAGE_BYTES = 3 << 20


class Questions:
    """Who is there, where, and how this hub stands.

    Args:
        store: What the registry is kept in: "memory" or "nats".
        watchers: How many watch at this hub.
        discovery_streams: How many discovery streams it serves.
    """

    def __init__(
        self,
        registry: Registry,
        alarms: Alarms,
        store: str,
        watchers: Callable[[], int],
        discovery_streams: Callable[[], int],
    ) -> None:
        self._registry = registry
        self._alarms = alarms
        self._store = store
        self._watchers = watchers
        self._discovery_streams = discovery_streams

    def services(self) -> pb.ListServicesResponse:
        catalog = self._registry.catalog
        return pb.ListServicesResponse(
            services=[summary_to(summary) for summary in catalog.services()], revision=catalog.revision
        )

    def instances(self, request: pb.ListInstancesRequest) -> pb.ListInstancesResponse:
        if request.page.size > LARGEST_PAGE:
            raise MeshError(Reason.INVALID_PAGE, f"page.size is {request.page.size}; at most {LARGEST_PAGE} fit a page")
        catalog = self._registry.catalog
        response = pb.ListInstancesResponse(revision=catalog.revision)
        found = [one for one in catalog.instances(request.service) if one.id > request.page.token]
        size = 0
        for instance in found:
            message = instance_to(instance)
            size += message.ByteSize() + 8
            if size > _PAGE_BYTES or 0 < request.page.size == len(response.instances):
                response.page.CopyFrom(page_pb2.PageInfo(next_token=response.instances[-1].id))
                break
            response.instances.append(message)
        return response

    def resolve(self, request: pb.ResolveRequest) -> pb.ResolveResponse:
        if not request.service:
            raise MeshError(Reason.INVALID_ARGUMENT, "name the service to resolve; ListServices lists them")
        catalog = self._registry.catalog
        instances = catalog.instances(request.service)
        if not instances:
            raise MeshError(Reason.UNKNOWN_SERVICE, f"no instance of {request.service[:64]!r} is registered")
        name = request.address_name or GRPC_ADDRESS
        named = [(one, address) for one in instances if (address := one.address(name)) is not None and address.ip]
        # As discovery does: who is doubted is called only where nobody else is left.
        found = [address for one, address in named if one.status is Status.UP] or [
            address for one, address in named if one.doubted
        ]
        return pb.ResolveResponse(addresses=[address_to(address) for address in found], revision=catalog.revision)

    def state(self) -> pb.GetRegistryStateResponse:
        registry, protection = self._registry, self._registry.protection
        return pb.GetRegistryStateResponse(
            hub_id=registry.hub_id,
            revision=registry.catalog.revision,
            store=self._store,
            attached=registry.peers.attached,
            since_unix_ms=unix_ms() - round(registry.peers.stands_for() * 1000),
            hubs=self._hubs(),
            instances=len(registry.catalog),
            leases=registry.held,
            watchers=self._watchers(),
            discovery_streams=self._discovery_streams(),
            self_preservation=pb.SelfPreservation(
                protecting=protection.protecting,
                since_unix_ms=protection.since_unix_ms,
                waiting=protection.waiting,
                expired=protection.expired,
            ),
            alarms=[
                pb.Alarm(kind=alarm.kind, text=alarm.text, since_unix_ms=alarm.since_unix_ms)
                for alarm in self._alarms.raised
            ],
        )

    def _hubs(self) -> list[pb.PeerHub]:
        peers = self._registry.peers
        heard = {self._registry.hub_id: 0.0, **peers.heard()}
        return [
            pb.PeerHub(hub_id=hub_id, heard=not peers.is_gone(hub_id), heard_ms_ago=round(seconds * 1_000))
            for hub_id, seconds in sorted(heard.items())
        ]
