"""Who may take an instance id, at whichever hub, and the lease that comes of it."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count

from hub.domain.health import Health
from hub.domain.instance import Instance
from hub.domain.lease import Hold, Lease, LeaseTerms, digest_of, taken
from hub.domain.peers import Peers
from hub.domain.state import Record, StoreAwayError
from hub.leases import Leases
from hub.store.replica import Replica
from mesh.clock import unix_ms


class NotRegisteredError(Exception):
    """Nobody is registered under that id."""


class RegistryFullError(Exception):
    """The registry is full."""


class OfferTakenError(Exception):
    """Another service already offers that gRPC service: calls could not be routed."""


class Claims:
    """Takes leases for this hub.

    Args:
        max_instances: How many instances the registry holds, at all hubs together.
    """

    def __init__(
        self,
        hub_id: str,
        leases: Leases,
        replica: Replica,
        peers: Peers,
        terms: LeaseTerms,
        max_instances: int,
        clock: Callable[[], float],
    ) -> None:
        self._hub_id = hub_id
        self._leases = leases
        self._replica = replica
        self._peers = peers
        self._terms = terms
        self._max_instances = max_instances
        self._clock = clock
        self._streams = count(1)

    async def claim(self, instance: Instance, token: str, hold: Hold) -> tuple[Lease, Lease | None]:
        """A lease on this id, not yet written, and the one that it replaces with this hub.

        Raises:
            IdTakenError, OfferTakenError, RegistryFullError.
        """
        digest = digest_of(token)
        await self._refuse_another(instance.id, digest)
        self._refuse_conflict(instance)
        before = self._leases.get(instance.id)
        return self._take(instance, digest, hold), before

    def is_known(self, lease: Lease) -> bool:
        """Whether the store knows the process behind a lease, if not yet all that it says now."""
        found = self._replica.record(lease.instance_id)
        wanted = lease.wanted
        return found is not None and wanted is not None and found[1].token_digest == wanted.token_digest

    def of_process(self, instance_id: str, token: str) -> Lease:
        """The lease of the process that has this token; a new one where another hub holds it, not yet written.

        Raises:
            NotRegisteredError: nobody has that id.
            IdTakenError: another process has it.
            StoreAwayError: this hub does not know, and can not ask.
        """
        digest = digest_of(token)
        lease = self._leases.get(instance_id)
        found = self._replica.record(instance_id)
        record = lease.wanted if lease is not None else found[1] if found else None
        if record is None:
            if lease is None and not self._peers.attached:
                raise StoreAwayError(f"this hub does not know {instance_id[:128]!r}, and has lost its store")
            raise NotRegisteredError(f"no instance {instance_id[:128]!r} is registered; register (again)")
        if record.token_digest != digest:
            raise taken(record)
        return lease or self._take(record.instance, digest, Hold.CALLS)

    async def _refuse_another(self, instance_id: str, digest: bytes) -> None:
        """Two living processes are never one instance."""
        asked: tuple[int, Record] | None = None
        while True:
            held, found = self._leases.get(instance_id), self._replica.record(instance_id)
            if held is not None and held.wanted is not None:
                if held.living and held.wanted.token_digest != digest:
                    raise taken(held.wanted)
                return
            # Others may have come while a hub was asked.
            if found is None or found is asked or self._is_free(found[1], digest):
                return
            if await self._peers.stream_stands(found[1].owner, instance_id):
                raise taken(found[1])
            asked = found

    def _is_free(self, record: Record, digest: bytes) -> bool:
        free = record.token_digest == digest or record.owner == self._hub_id or record.expiry is not None
        return free or not self._peers.attached or self._peers.is_gone(record.owner)

    def _refuse_conflict(self, instance: Instance) -> None:
        census = self._leases.census
        if conflict := census.offered_elsewhere(instance):
            name, service = conflict
            raise OfferTakenError(f"service {service!r} already offers {name}, and calls are routed by that name")
        if census.total >= self._max_instances and self._replica.catalog.get(instance.id) is None:
            raise RegistryFullError(f"the registry holds {census.total} instances, its limit")

    def _take(self, instance: Instance, digest: bytes, hold: Hold) -> Lease:
        """A lease on what the store holds of this id, if anything; a known process keeps its health and its date."""
        held = self._leases.get(instance.id)
        revision, written = self._replica.record(instance.id) or (0, None)
        if held is not None:
            revision, written = held.revision, held.written
        known = held.wanted if held is not None and held.wanted is not None else written
        health, since = Health(), unix_ms()
        if known is not None and known.token_digest == digest:
            health, since = known.health, known.instance.registered_unix_ms
        now = self._clock()
        lease = Lease(instance.id, written, hold, next(self._streams), now, now + self._terms.ttl_s, written, revision)
        lease.want(Record(replace(instance, registered_unix_ms=since), digest, self._hub_id, health))
        self._leases.hold(lease)
        return lease
