"""Who is registered where: counts and indexes over the catalog, kept change by change."""

from collections import Counter
from collections.abc import Set
from dataclasses import dataclass, field

from hub.domain.admission import is_routable
from hub.domain.instance import Instance
from hub.domain.status import Status

_NOBODY: frozenset[str] = frozenset()


@dataclass(slots=True)
class Census:
    """Every registered instance, by owner and by the gRPC services it offers."""

    total: int = 0
    expired: int = 0
    _known: dict[str, Instance] = field(default_factory=dict)
    _owned: dict[str, set[str]] = field(default_factory=dict)
    _offers: dict[str, Counter[str]] = field(default_factory=dict)
    _fell_silent: dict[str, float] = field(default_factory=dict)

    @property
    def unexpired(self) -> int:
        """How many are believed to live."""
        return self.total - self.expired

    @property
    def owners(self) -> list[str]:
        """Every hub that owns a record."""
        return list(self._owned)

    def owned_by(self, hub_id: str) -> Set[str]:
        """Ids of the instances whose lease that hub holds."""
        return self._owned.get(hub_id, _NOBODY)

    def put(self, instance: Instance, now: float) -> None:
        """An instance as it is from now on."""
        before = self._known.get(instance.id)
        if before is not None:
            self._count(before, -1)
        self._known[instance.id] = instance
        self._count(instance, 1)
        if before is not None and before.hub != instance.hub:
            self._disown(before)
        self._owned.setdefault(instance.hub, set()).add(instance.id)
        if instance.status is Status.EXPIRED and instance.doubted:
            self._fell_silent.setdefault(instance.id, now)
        else:
            self._fell_silent.pop(instance.id, None)

    def remove(self, instance_id: str) -> None:
        """An instance that is gone."""
        before = self._known.pop(instance_id, None)
        if before is not None:
            self._count(before, -1)
            self._disown(before)
            self._fell_silent.pop(instance_id, None)

    def offered_elsewhere(self, instance: Instance) -> tuple[str, str] | None:
        """A gRPC service of this instance that a living one of another service offers, with that service's name."""
        for name in instance.grpc_services:
            for service in self._offers.get(name, ()):
                if service != instance.service:
                    return name, service
        return None

    def silent_since(self, then: float) -> int:
        """How many expired in silence since, and are still expired."""
        return sum(when > then for when in self._fell_silent.values())

    def _count(self, instance: Instance, one: int) -> None:
        self.total += one
        if instance.status is Status.EXPIRED:
            self.expired += one
            return
        for name in filter(is_routable, instance.grpc_services):
            offers = self._offers.setdefault(name, Counter())
            offers[instance.service] += one
            if not offers[instance.service]:
                del offers[instance.service]
            if not offers:
                del self._offers[name]

    def _disown(self, instance: Instance) -> None:
        owned = self._owned[instance.hub]
        owned.discard(instance.id)
        if not owned:
            del self._owned[instance.hub]
