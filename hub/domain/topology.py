"""What discovery hands out: which service offers which gRPC service, and where its live instances are."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hub.domain.admission import is_routable
from hub.domain.catalog import Change
from hub.domain.instance import GRPC_ADDRESS, Address, Instance
from hub.domain.status import Status

ENTRANCES: Mapping[str, str] = {
    "agent-signals": "suho.trading.v1.AgentLinkService",
    "agent-ticks": "suho.market.v1.BridgeService",
}
"""Where agents come in from outside, and the gRPC service that stands behind each entrance."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one instance can be called."""

    host: str
    port: int
    zone: str
    weight: int


@dataclass(frozen=True, slots=True)
class Topology:
    """The mesh at one revision of the registry."""

    revision: int = 0
    offers: Mapping[str, str] = field(default_factory=dict)
    """gRPC service name → service."""
    endpoints: Mapping[str, tuple[Endpoint, ...]] = field(default_factory=dict)
    """Service, or entrance → where to call it."""
    callable_ids: frozenset[str] = frozenset()
    """The instances behind the endpoints."""

    @property
    def services(self) -> frozenset[str]:
        """Every service that calls are routed to."""
        return frozenset(self.offers.values())


def topology(revision: int, instances: Iterable[Instance], before: Topology) -> Topology:
    """The mesh as these instances make it.

    What was offered stays offered when the last instance leaves: its clients then hear "no endpoint" instead of "no
    route", and are back sooner when it returns.
    """
    instances = list(instances)
    offers = dict(before.offers)
    offers.update(
        (name, instance.service)
        for instance in instances
        if instance.status is not Status.EXPIRED
        for name in instance.grpc_services
        if is_routable(name)
    )
    callees = _callees(instances)
    endpoints = {
        service: tuple(_endpoint(instance, address.host, address.port) for instance, address in found)
        for service, found in callees.items()
    }
    for entrance, grpc_service in ENTRANCES.items():
        endpoints[entrance] = tuple(
            _endpoint(instance, address.published_host or address.host, address.published_port or address.port)
            for instance, address in callees.get(offers.get(grpc_service, ""), [])
        )
    ids = frozenset(instance.id for found in callees.values() for instance, _ in found)
    return Topology(revision, offers, endpoints, ids)


def withdraws(published: Topology, change: Change) -> bool:
    """Whether a change takes an instance away that clients may be calling: such news does not wait."""
    return change.instance.id in published.callable_ids and (change.removed or not _is_callable(change.instance))


def _callees(instances: list[Instance]) -> dict[str, list[tuple[Instance, Address]]]:
    callees: dict[str, list[tuple[Instance, Address]]] = {}
    kept: dict[str, list[tuple[Instance, Address]]] = {}
    for instance in instances:
        address = instance.address(GRPC_ADDRESS)
        if address is not None and _is_callable(instance):
            chosen = callees if instance.status is Status.UP else kept
            chosen.setdefault(instance.service, []).append((instance, address))
    return kept | callees


def _is_callable(instance: Instance) -> bool:
    return instance.status is Status.UP or instance.kept_endpoint


def _endpoint(instance: Instance, host: str, port: int) -> Endpoint:
    return Endpoint(host, port, instance.zone, instance.weight)
