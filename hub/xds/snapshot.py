"""One published topology as resources, each built and serialised once for all streams that ask for it."""

from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2b

from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from suho.envoy.v3 import discovery_pb2

from hub.domain.admission import SERVICE_NAME
from hub.domain.topology import ENTRANCES, Topology
from hub.xds import resources
from hub.xds.kinds import Kind

MESH = "mesh"
"""The listener behind `xds:///mesh`, and its routes."""

Dependencies = frozenset[str]
"""The services a client calls; empty means all."""


class Snapshot:
    """The mesh at one revision, in the words of xDS."""

    def __init__(self, topology: Topology | None = None) -> None:
        self.topology = topology or Topology()
        self._resources: dict[tuple[Kind, str, Dependencies], bytes | None] = {}
        self._bodies: dict[tuple[bytes, ...], bytes] = {}

    def resource(self, kind: Kind, name: str, dependencies: Dependencies) -> bytes | None:
        """A serialised `Any`; None when there is no such resource."""
        # Only the mesh's routes differ from client to client.
        key = (kind, name, dependencies if kind is Kind.ROUTES and name == MESH else frozenset())
        if key not in self._resources:
            built = self._build(*key)
            self._resources[key] = _serialised(kind, built) if built is not None else None
        return self._resources[key]

    def routed(self, dependencies: Dependencies) -> frozenset[str]:
        """The clusters that the mesh's routes lead such a client to."""
        return self.topology.services & dependencies if dependencies else self.topology.services

    def has_endpoints(self, cluster: str) -> bool:
        """Whether the cluster can be called."""
        return bool(self.topology.endpoints.get(cluster))

    def body(self, found: Sequence[bytes]) -> bytes:
        """A serialised response but for its version and nonce, which may follow: Protobuf's fields concatenate."""
        key = tuple(found)
        if key not in self._bodies:
            response = discovery_pb2.DiscoveryResponse(resources=[Any.FromString(resource) for resource in found])
            self._bodies[key] = response.SerializeToString()
        return self._bodies[key]

    def _build(self, kind: Kind, name: str, dependencies: Dependencies) -> Message | None:
        match kind:
            case Kind.LISTENER:
                return resources.listener(name) if name in self._listeners else None
            case Kind.ROUTES:
                return self._routes(name, dependencies)
            case Kind.CLUSTER if SERVICE_NAME.fullmatch(name):
                # Whether or not its service is registered: routes led there, and it may yet come (back).
                return resources.cluster(name, one_connection=name in ENTRANCES)
            case Kind.ENDPOINTS if SERVICE_NAME.fullmatch(name):
                return resources.endpoints(name, self.topology.endpoints.get(name, ()))
        return None

    def _routes(self, name: str, dependencies: Dependencies) -> Message | None:
        if name in ENTRANCES:
            return resources.routes(name, {"/": name})
        if name != MESH:
            return None
        wanted = self.routed(dependencies)
        return resources.routes(name, {f"/{rpc}/": to for rpc, to in self.topology.offers.items() if to in wanted})

    @cached_property
    def _listeners(self) -> frozenset[str]:
        return frozenset((MESH, *ENTRANCES))


def version_of(found: Sequence[bytes]) -> str:
    """A version that the content alone decides, so that it means the same to every hub."""
    digest = blake2b(digest_size=8)
    for resource in found:
        digest.update(len(resource).to_bytes(8, "big"))
        digest.update(resource)
    return digest.hexdigest()


def _serialised(kind: Kind, message: Message) -> bytes:
    return Any(type_url=kind, value=message.SerializeToString(deterministic=True)).SerializeToString(deterministic=True)
