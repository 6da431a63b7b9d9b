"""One hub's snapshots, and a client's side of its ADS stream."""

from suho.envoy.v3 import discovery_pb2, endpoint_pb2, route_pb2

from hub.domain.instance import Address, Instance
from hub.domain.policy import Policy
from hub.domain.status import Status
from hub.domain.topology import Surveyor
from hub.xds.kinds import Kind
from hub.xds.snapshot import Snapshot
from hub.xds.stream import AdsStream, Nack
from hub.xds.telling import Tellings

HOLD_S = 15.0


def instance(service: str, number: int = 1, status: Status = Status.UP, zone: str = "") -> Instance:
    return Instance(
        f"{service}-{number}",
        service,
        addresses=(Address("grpc", "127.0.0.1", 8000 + number),),
        grpc_services=(f"suho.{service}.v1.Service",),
        status=status,
        zone=zone,
    )


class Mesh:
    """What one hub publishes, one snapshot after the other."""

    def __init__(self) -> None:
        self._surveyor = Surveyor()
        self._snapshot = Snapshot()
        self.tellings = Tellings()

    def of(self, *instances: Instance, **policies: Policy) -> Snapshot:
        self._surveyor.begin_anew(instances)
        self._snapshot = Snapshot(self._surveyor.topology(1, policies), self._snapshot)
        return self._snapshot


def snapshot(*instances: Instance, **policies: Policy) -> Snapshot:
    return Mesh().of(*instances, **policies)


class Client:
    """The client's side of a stream: subscribes, acknowledges, remembers."""

    def __init__(self, dependencies: list[str] | None = None, zone: str = "", tellings: Tellings | None = None) -> None:
        self.stream = AdsStream(tellings or Tellings(), HOLD_S)
        self.zone = zone
        self.last: dict[Kind, discovery_pb2.DiscoveryResponse] = {}
        self.dependencies = dependencies

    def ask(self, kind: Kind, *names: str, version: str = "", now: float = 0.0, error: str = "") -> Nack | None:
        request = discovery_pb2.DiscoveryRequest(type_url=kind, resource_names=names, version_info=version)
        request.node.id = "client-1"
        request.node.locality.zone = self.zone
        if self.dependencies is not None:
            request.node.metadata.update({"dependencies": self.dependencies})
        if kind in self.last:
            request.response_nonce = self.last[kind].nonce
            request.version_info = self.last[kind].version_info
        if error:
            request.error_detail.message = error
        return self.stream.take(request, now)

    def hear(self, state: Snapshot, now: float = 0.0) -> list[Kind]:
        heard = []
        for data in self.stream.due(state, now):
            response = discovery_pb2.DiscoveryResponse.FromString(data)
            kind = Kind(response.type_url)
            self.last[kind] = response
            heard.append(kind)
        return heard

    def routes(self) -> dict[str, str]:
        made = self._one(Kind.ROUTES, route_pb2.RouteConfiguration())
        return {item.match.prefix: item.route.cluster for host in made.virtual_hosts for item in host.routes}

    def endpoints(self) -> dict[str, list[int]]:
        found = {}
        for resource in self.last[Kind.ENDPOINTS].resources:
            made = endpoint_pb2.ClusterLoadAssignment()
            assert resource.Unpack(made)
            found[made.cluster_name] = [
                member.endpoint.address.socket_address.port_value
                for locality in made.endpoints
                for member in locality.lb_endpoints
            ]
        return found

    def _one(self, kind: Kind, message: route_pb2.RouteConfiguration) -> route_pb2.RouteConfiguration:
        assert self.last[kind].resources[0].Unpack(message)
        return message
