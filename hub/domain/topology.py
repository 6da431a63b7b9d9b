"""What discovery hands out: which service offers which gRPC methods, and where its instances can be called."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import islice
from types import MappingProxyType

from hub.domain.admission import is_routable
from hub.domain.catalog import Change
from hub.domain.instance import GRPC_ADDRESS, Instance, Method
from hub.domain.policy import Policy, default_policy
from hub.domain.status import Status

ENTRANCES: Mapping[str, str] = {
    "agent-signals": "suho.trading.v1.AgentLinkService",
    "agent-ticks": "suho.market.v1.BridgeService",
    "agent-records": "suho.database.v1.ReferenceService",
}
"""Where agents come in from outside, and the gRPC service that stands behind each entrance."""

MAX_METHODS = 512
"""Of a service; what is beyond is called without deadline and retry, so that routes stay bounded."""

_REMEMBERED = 256
"""How many services that nobody offers any more are remembered."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An IP literal and a port."""

    ip: str
    port: int


@dataclass(frozen=True, slots=True)
class Callee:
    """One instance as its callers see it."""

    up: bool
    version: str
    zone: str
    weight: int
    inside: Endpoint
    outside: Endpoint | None
    """Where clients from outside reach it; None while its name is not resolved."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What can be called at a service."""

    grpc_services: tuple[str, ...] = ()
    methods: tuple[Method, ...] = ()
    """The unary ones."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service as its callers see it. What does not change from one topology to the next stays the same object."""

    living: bool
    offer: Offer
    """Of the last that lived, where none does: clients then hear "no endpoint" instead of "no route"."""
    callees: tuple[Callee, ...]
    """The ones that are UP or, where none is, the doubted ones; ordered by instance id."""


@dataclass(frozen=True, slots=True)
class Topology:
    """The mesh at one revision of the registry."""

    revision: int = 0
    services: Mapping[str, Service] = field(default_factory=dict)
    owners: Mapping[str, str] = field(default_factory=dict)
    """gRPC service → the service that calls to it are routed to."""
    policies: Mapping[str, Policy] = field(default_factory=dict)

    def policy(self, service: str) -> Policy:
        """The policy in force for a service."""
        return self.policies.get(service) or default_policy(service)


class Surveyor:
    """Draws topologies change by change: a publication costs what changed, not what there is."""

    def __init__(self) -> None:
        self._members: dict[str, _Members] = {}
        self._service_of: dict[str, str] = {}
        self._services: dict[str, Service] = {}
        self._offering: dict[str, set[str]] = {}
        self._owners: Mapping[str, str] = {}
        self._changed: set[str] = set()

    def take(self, change: Change) -> bool:
        """Take a change in; True where it takes an endpoint away that clients may be calling: that does not wait."""
        instance = change.instance
        before = self._service_of.pop(instance.id, instance.service)
        moved = before != instance.service and self._set(before, instance.id, None)
        if change.removed:
            return self._set(instance.service, instance.id, None)
        self._service_of[instance.id] = instance.service
        return self._set(instance.service, instance.id, instance) or moved

    def begin_anew(self, instances: Iterable[Instance]) -> None:
        """Forget who was there; what was offered is remembered."""
        self._changed |= self._members.keys()
        self._members.clear()
        self._service_of.clear()
        for instance in instances:
            self.take(Change(instance.revision, instance, removed=False))

    def topology(self, revision: int, policies: Mapping[str, Policy]) -> Topology:
        """The mesh as it is now."""
        disputed: set[str] = set()
        for name in sorted(self._changed):
            before = self._services.pop(name, None)
            disputed |= self._keep(name, before, self._drawn(name, before))
        self._changed.clear()
        disputed |= self._forget()
        if disputed:
            owners = dict(self._owners)
            for grpc_service in disputed:
                self._decide(grpc_service, owners)
            self._owners = MappingProxyType(owners)
        return Topology(revision, MappingProxyType(self._services.copy()), self._owners, policies)

    def _keep(self, name: str, before: Service | None, service: Service | None) -> set[str]:
        """Put a service in the place of what it was; gives the gRPC services whose owner that may change."""
        if service is not None:
            self._services[name] = service
            if before is not None and before.offer is service.offer and before.living is service.living:
                return set()
        was, now = ({*it.offer.grpc_services} if it is not None else set[str]() for it in (before, service))
        for grpc_service in was - now:
            self._offering[grpc_service].discard(name)
        for grpc_service in now - was:
            self._offering.setdefault(grpc_service, set()).add(name)
        return was | now

    def _decide(self, grpc_service: str, owners: dict[str, str]) -> None:
        """The living go before the remembered; should two offer the same, every hub chooses the same."""
        if offering := self._offering[grpc_service]:
            owners[grpc_service] = min(offering, key=lambda name: (not self._services[name].living, name))
        else:
            del self._offering[grpc_service]
            owners.pop(grpc_service, None)

    def _set(self, service: str, instance_id: str, instance: Instance | None) -> bool:
        self._changed.add(service)
        return self._members.setdefault(service, _Members()).set(instance_id, instance)

    def _drawn(self, name: str, before: Service | None) -> Service:
        members = self._members.get(name)
        if members is not None and not members.instances:
            del self._members[name]
        if members is None or not members.living:
            callees = members.chosen() if members is not None else ()
            return Service(False, before.offer if before is not None else Offer(), callees)
        offer = members.offer()
        return Service(True, before.offer if before is not None and before.offer == offer else offer, members.chosen())

    def _forget(self) -> set[str]:
        # A service moves to the end whenever it changes: first come those that went longest ago.
        too_many = len(self._services) - len(self._members) - _REMEMBERED
        gone = (name for name in self._services if name not in self._members)
        disputed: set[str] = set()
        for name in list(islice(gone, max(0, too_many))):
            disputed |= self._keep(name, self._services.pop(name), None)
        return disputed


class _Members:
    """The instances of one service."""

    def __init__(self) -> None:
        self.instances: dict[str, Instance] = {}
        self._callees: dict[str, Callee] = {}
        self._offers: Counter[Offer] = Counter()

    @property
    def living(self) -> bool:
        return bool(self._offers)

    def set(self, instance_id: str, instance: Instance | None) -> bool:
        """Put an instance in, or out; True where that takes an endpoint away."""
        before = self.instances.pop(instance_id, None)
        if instance is not None:
            self.instances[instance_id] = instance
        if not _offer_alike(before, instance):
            self._count(before, -1)
            self._count(instance, 1)
        was, now = self._callees.pop(instance_id, None), _callee(instance)
        if now is not None:
            self._callees[instance_id] = now
        return was is not None and (
            now is None or (was.up and not now.up) or (was.inside, was.outside) != (now.inside, now.outside)
        )

    def chosen(self) -> tuple[Callee, ...]:
        """By instance id."""
        ordered = [self._callees[instance_id] for instance_id in sorted(self._callees)]
        return tuple(callee for callee in ordered if callee.up) or tuple(ordered)

    def offer(self) -> Offer:
        """What any of the living offers. A method may be called twice if all that list it say so."""
        idempotent: dict[str, bool] = {}
        for offer in self._offers:
            for method in offer.methods:
                idempotent[method.path] = method.idempotent and idempotent.get(method.path, True)
        return Offer(
            tuple(sorted({name for offer in self._offers for name in offer.grpc_services})),
            tuple(Method(path, idempotent[path]) for path in sorted(idempotent)[:MAX_METHODS]),
        )

    def _count(self, instance: Instance | None, one: int) -> None:
        if instance is None or instance.status is Status.EXPIRED:
            return
        offer = Offer(tuple(filter(is_routable, instance.grpc_services)), instance.methods)
        self._offers[offer] += one
        if not self._offers[offer]:
            del self._offers[offer]


def _offer_alike(before: Instance | None, now: Instance | None) -> bool:
    return (
        before is not None
        and now is not None
        and (before.status is Status.EXPIRED) is (now.status is Status.EXPIRED)
        and before.grpc_services == now.grpc_services
        and before.methods == now.methods
    )


def _callee(instance: Instance | None) -> Callee | None:
    if instance is None or not (instance.status is Status.UP or instance.doubted):
        return None
    address = instance.address(GRPC_ADDRESS)
    if address is None:
        return None
    ip = address.ip or _literal(address.host)
    published_ip = address.published_ip or (_literal(address.published_host) if address.published_host else ip)
    if not ip:
        return None
    outside = Endpoint(published_ip, address.published_port or address.port) if published_ip else None
    up = instance.status is Status.UP
    return Callee(up, instance.version, instance.zone, instance.weight, Endpoint(ip, address.port), outside)


def _literal(host: str) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        return ""
