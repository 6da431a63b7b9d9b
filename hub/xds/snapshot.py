"""One published topology as resources, each built and serialised once for all streams that ask for it."""

from collections.abc import Sequence
from hashlib import blake2b

from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from hub.domain.topology import ENTRANCES, Callee, Topology
from hub.domain.withdrawal import nearest
from hub.xds.clusters import cluster
from hub.xds.endpoints import called, endpoints
from hub.xds.kinds import Kind
from hub.xds.memo import Memo
from hub.xds.names import MESH, is_canary, service_of
from hub.xds.routes import configuration, fragment, listener
from hub.xds.view import View

# Methods with routes of their own, of all services that one client calls; of more, none has: it is to declare whom it
# calls, or its routes outgrow gRPC's messages.
_MAX_EXACT = 8_192
# Service names that are compared with one that does not exist, and of how many such that is done for one snapshot:
# each takes milliseconds, in which nobody else is answered.
_COMPARED = 500
_SUGGESTED = 32


class Resource:
    """A serialised `Any`. Its digest stands for its content: it means the same to every hub."""

    __slots__ = ("data", "digest")

    def __init__(self, kind: Kind, message: Message) -> None:
        value = message.SerializeToString(deterministic=True)
        self.data = Any(type_url=kind, value=value).SerializeToString(deterministic=True)
        self.digest = blake2b(self.data, digest_size=8).digest()


class Snapshot:
    """The mesh at one revision, in the words of xDS. What did not change since the one before is not made again."""

    def __init__(self, topology: Topology | None = None, before: "Snapshot | None" = None) -> None:
        self.topology = topology or Topology()
        self._memo: Memo = before._memo if before is not None else Memo()
        self._suggestions: dict[str, str] = {}

    def resource(self, kind: Kind, name: str, view: View) -> Resource | None:
        """A resource as clients of that view see it; None when there is none of that name."""
        match kind:
            case Kind.LISTENER:
                return self._listener(name)
            case Kind.ROUTES:
                return self._routes(name, view)
            case Kind.CLUSTER:
                return self._cluster(name)
            case Kind.ENDPOINTS:
                return self._endpoints(name, view.zone)

    def missing(self, kind: Kind, name: str) -> str:
        """Why there is no such resource, for people."""
        service = service_of(name)
        shown = name[:64]
        if service is None or kind in (Kind.CLUSTER, Kind.ENDPOINTS):
            return f"{shown!r} can be no service's name: those have lower-case letters, digits and '-'"
        if service in self.topology.services:
            return f"service {shown} is registered, but nothing of it speaks gRPC"
        if service not in self._suggestions and len(self._suggestions) < _SUGGESTED:
            self._suggestions[service] = self._nearest(service)
        return f"no service named {shown}{self._suggestions.get(service, '')}"

    def _nearest(self, service: str) -> str:
        """The end of a sentence about a service that is not there."""
        alike = [name for name in self.topology.services if abs(len(name) - len(service)) <= 4 and self.serves(name)]
        return nearest(service, alike[:_COMPARED] or list(self.topology.services)[:_COMPARED])

    def serves(self, service: str) -> bool:
        """Whether that is a service that is called by gRPC, or was."""
        found = self.topology.services.get(service)
        return found is not None and bool(found.callees or found.offer.grpc_services)

    def routed(self, dependencies: frozenset[str]) -> frozenset[str]:
        """The services that the mesh's routes lead such a client to."""
        services = frozenset(self.topology.owners.values())
        return services & dependencies if dependencies else services

    def has_endpoints(self, cluster_name: str) -> bool:
        """Whether a cluster can be called."""
        return bool(self._callees(service_of(cluster_name) or ""))

    def _listener(self, name: str) -> Resource | None:
        if not (name == MESH or name in ENTRANCES or self.serves(name)):
            return None
        return self._memo.made((Kind.LISTENER, name), (), lambda: Resource(Kind.LISTENER, listener(name)))

    def _cluster(self, name: str) -> Resource | None:
        # Whether or not its service is registered: routes led there, and it may yet come (back).
        service = service_of(name)
        if service is None:
            return None
        policy, entrance = self.topology.policy(service), service in ENTRANCES
        return self._memo.made(
            (Kind.CLUSTER, name),
            (policy,),
            lambda: Resource(Kind.CLUSTER, cluster(name, policy, one_connection=entrance)),
        )

    def _endpoints(self, name: str, zone: str) -> Resource | None:
        service = service_of(name)
        if service is None:
            return None
        callees, canary = self._callees(service), self.topology.policy(service).canary
        in_zone = zone if any(callee.zone == zone for callee in callees) else ""

        def made() -> Resource:
            chosen = called(callees, canary, by_canary=is_canary(name))
            return Resource(Kind.ENDPOINTS, endpoints(name, chosen, in_zone, outside=service in ENTRANCES))

        return self._memo.made((Kind.ENDPOINTS, name, in_zone), (callees, canary), made)

    def _routes(self, name: str, view: View) -> Resource | None:
        if name == MESH:
            routed = sorted(self.routed(view.dependencies))
            exact = sum(len(self.topology.services[service].offer.methods) for service in routed) <= _MAX_EXACT
            fragments = tuple(self._fragment(service, view.prolong_ms, exact=exact) for service in routed)
        elif name in ENTRANCES or self.serves(name):
            fragments = (self._own_fragment(name, view.prolong_ms),)
        else:
            return None
        return self._memo.made(
            (Kind.ROUTES, name, view), fragments, lambda: Resource(Kind.ROUTES, configuration(name, fragments))
        )

    def _fragment(self, service: str, prolong_ms: int, *, exact: bool) -> bytes:
        """The routes to a service among all, by the gRPC services that are its own."""
        offer, policy, owners = (
            self.topology.services[service].offer,
            self.topology.policy(service),
            self.topology.owners,
        )
        owned = [name for name in offer.grpc_services if owners[name] == service]
        whole = len(owned) == len(offer.grpc_services)

        def made() -> bytes:
            methods = [method for method in offer.methods if exact and method.path.partition("/")[0] in owned]
            return fragment(service, [f"/{name}/" for name in owned], methods, policy, prolong_ms)

        return self._memo.made(
            ("among all", service, prolong_ms, exact), (offer, policy, None if whole else tuple(owned)), made
        )

    def _own_fragment(self, service: str, prolong_ms: int) -> bytes:
        """The routes of a service's own listener, or of an entrance: all calls go there."""
        found, policy = self.topology.services.get(service), self.topology.policy(service)
        methods = found.offer.methods if found is not None and service not in ENTRANCES else ()
        return self._memo.made(
            ("its own", service, prolong_ms),
            (methods, policy),
            lambda: fragment(service, ["/"], methods, policy, prolong_ms),
        )

    def _callees(self, service: str) -> tuple[Callee, ...]:
        if service in ENTRANCES:
            service = self.topology.owners.get(ENTRANCES[service], "")
        found = self.topology.services.get(service)
        return found.callees if found is not None else ()


def version_of(found: Sequence[Resource]) -> str:
    """A version that the content alone decides."""
    digest = blake2b(digest_size=8)
    for resource in found:
        digest.update(resource.digest)
    return digest.hexdigest()
