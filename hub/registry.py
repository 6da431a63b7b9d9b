"""Applies the rules to what happens: sessions come and go, leases run out, and every change gets a revision."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count

from hub.domain import lease as rules
from hub.domain.admission import AdmissionError, admit, admit_status, conflicting_offer
from hub.domain.catalog import Catalog, Change
from hub.domain.expiry import SelfPreservation, forgotten, sweep
from hub.domain.instance import Instance
from hub.domain.lease import Lease, LeaseTerms, NotHolderError
from hub.domain.state import Key, Record, Store
from hub.domain.status import Status
from hub.streams import Bell
from mesh.clock import unix_ms
from mesh.log import get_logger

log = get_logger(__name__)

__all__ = ["AdmissionError", "Holder", "OfferTakenError", "Registry", "RegistryFullError", "RegistryLimits"]


class RegistryFullError(Exception):
    """The registry is full."""


class OfferTakenError(Exception):
    """Another service already offers that gRPC service: calls could not be routed."""


@dataclass(frozen=True, slots=True)
class RegistryLimits:
    """Bounds of what is kept."""

    max_instances: int = 5_000
    history: int = 8_192
    remember_expired_s: float = 300.0
    sweep_interval_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Holder:
    """A stream's hold on an instance id."""

    instance_id: str
    stream: int


class Registry:
    """Every instance of the mesh. Its catalog answers questions; its bell rings at every change."""

    def __init__(
        self,
        hub_id: str,
        store: Store,
        catalog: Catalog,
        bell: Bell,
        terms: LeaseTerms,
        doubt: SelfPreservation,
        limits: RegistryLimits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.hub_id = hub_id
        self.catalog = catalog
        self.terms = terms
        self._store = store
        self._bell = bell
        self._doubt = doubt
        self._limits = limits
        self._clock = clock
        self._leases: dict[str, Lease] = {}
        self._streams = count(1)
        self._swept_at = clock()

    async def register(self, instance: Instance, token: str) -> Holder:
        """Register, or take a session up again.

        Raises:
            AdmissionError: the registration is wrong.
            IdTakenError: a living process holds the id.
            OfferTakenError: another service offers one of its gRPC services.
            RegistryFullError: the registry is full.
        """
        admit(instance, token)
        self._refuse_conflict(instance)
        held = self._leases.get(instance.id)
        if held is None and len(self._leases) >= self._limits.max_instances:
            raise RegistryFullError(f"the registry holds {len(self._leases)} instances, its limit")
        same_process = held is not None and held.token == token
        since = held.instance.registered_unix_ms if held and same_process else unix_ms()
        instance = replace(instance, registered_unix_ms=since)
        lease = rules.take(held, instance, token, next(self._streams), self._clock())
        await self._keep(lease)
        return Holder(instance.id, lease.stream)

    async def hear(self, holder: Holder) -> int:
        """A heartbeat; gives the registry's revision.

        Raises:
            NotHolderError: the lease ran out and is forgotten, or the session was taken up on another stream.
        """
        await self._keep(rules.hear(self._held(holder), self._clock()))
        return self.catalog.revision

    async def report(self, holder: Holder, status: Status, reason: str) -> int:
        """The instance's own word on its status; gives the registry's revision.

        Raises:
            AdmissionError: it is not the instance's to say.
            NotHolderError: see `hear`.
        """
        admit_status(status)
        await self._keep(rules.report(self._held(holder), status, reason, self._clock()))
        return self.catalog.revision

    async def deregister(self, holder: Holder, reason: str) -> None:
        """Leave at once.

        Raises:
            NotHolderError: see `hear`.
        """
        lease = self._held(holder)
        log.info("left", instance=lease.instance.id, reason=reason)
        await self._drop(lease)

    def broken(self, holder: Holder) -> None:
        """The stream ended without a farewell; its grace begins, unless the session stands on another stream."""
        lease = self._leases.get(holder.instance_id)
        if lease is not None and lease.stream == holder.stream:
            self._leases[holder.instance_id] = rules.broken(lease, self._clock())

    async def sweep(self) -> None:
        """End the leases that ran out. Time in which this hub itself slept is not held against anybody."""
        now = self._clock()
        slept = now - self._swept_at - 2 * self._limits.sweep_interval_s
        self._swept_at = now
        if slept > 0:
            log.warning("this hub slept; leases are prolonged", seconds=round(slept, 3))
            self._leases = {key: _prolonged(lease, slept) for key, lease in self._leases.items()}
        leases = list(self._leases.values())
        for lease in sweep(leases, now, self.terms, self._doubt):
            log.warning("expired", instance=lease.instance.id, reason=lease.instance.status_reason)
            await self._keep(lease)
        for lease in forgotten(leases, now, self._limits.remember_expired_s):
            await self._drop(lease)

    async def keep_sweeping(self, own: Holder) -> None:
        """Sweep for ever; the hub itself lives as long as it does this."""
        while True:
            await asyncio.sleep(self._limits.sweep_interval_s)
            await self.hear(own)
            await self.sweep()

    def _refuse_conflict(self, instance: Instance) -> None:
        living = (lease.instance for lease in self._leases.values() if lease.living)
        if conflict := conflicting_offer(instance, living):
            name, service = conflict
            raise OfferTakenError(f"service {service!r} already offers {name}, and calls are routed by that name")

    def _held(self, holder: Holder) -> Lease:
        lease = self._leases.get(holder.instance_id)
        if lease is None or lease.stream != holder.stream:
            raise NotHolderError(f"this stream no longer holds {holder.instance_id!r}; another one registered it since")
        return lease

    async def _keep(self, lease: Lease) -> None:
        known = self.catalog.get(lease.instance.id)
        if known is None or replace(lease.instance, revision=known.revision) != known:
            record = Record(lease.instance, lease.token.encode(), self.hub_id)
            revision = await self._store.put(record, known.revision if known else 0)
            lease = replace(lease, instance=replace(lease.instance, revision=revision))
            self._apply(Change(revision, lease.instance, removed=False))
        else:
            lease = replace(lease, instance=known)
        self._leases[lease.instance.id] = lease

    async def _drop(self, lease: Lease) -> None:
        revision = await self._store.remove(Key("instance", lease.instance.id), lease.instance.revision)
        del self._leases[lease.instance.id]
        self._apply(Change(revision, lease.instance, removed=True))

    def _apply(self, change: Change) -> None:
        self.catalog.apply(change.revision, [change])
        self._bell.ring()


def _prolonged(lease: Lease, seconds: float) -> Lease:
    broken_at = None if lease.broken_at is None else lease.broken_at + seconds
    return replace(lease, heard_at=lease.heard_at + seconds, broken_at=broken_at)
