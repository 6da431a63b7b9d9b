"""The leases that this hub holds, kept in step with the store that all hubs share."""

import asyncio
from collections.abc import Iterable, Iterator
from itertools import islice
from weakref import WeakValueDictionary

from hub.domain.catalog import CompactedError
from hub.domain.census import Census
from hub.domain.lease import Hold, Lease, LeaseTerms, NotHolderError
from hub.domain.peers import Peers
from hub.domain.state import ConflictError, Key, Record, StoreAwayError
from hub.store.replica import Replica
from mesh.log import get_logger

log = get_logger(__name__)

# Writes under way at once: a hub that comes back to its store has a lease for each of its instances to write.
_WRITES = 64
_NEWS_WITHIN_S = 1.0
_LOOK_S = 0.005


class Leases:
    """Every lease of this hub by instance id, and the census of all hubs' instances."""

    def __init__(self, hub_id: str, replica: Replica, peers: Peers, terms: LeaseTerms) -> None:
        self.census = Census()
        self._hub_id = hub_id
        self._replica = replica
        self._peers = peers
        self._terms = terms
        self._held: dict[str, Lease] = {}
        self._seen: int | None = None
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._room = asyncio.Semaphore(_WRITES)

    def __iter__(self) -> Iterator[Lease]:
        return iter(self._held.values())

    def __len__(self) -> int:
        return len(self._held)

    def get(self, instance_id: str) -> Lease | None:
        """The lease on that id, if this hub holds it."""
        return self._held.get(instance_id)

    def hold(self, lease: Lease) -> None:
        """Hold this lease, in place of any other on its id."""
        self._held[lease.instance_id] = lease

    def let_go(self, lease: Lease) -> None:
        """Hold it no more; whatever the store says of it stays."""
        if self._held.get(lease.instance_id) is lease:
            del self._held[lease.instance_id]

    def broke(self, lease: Lease, now: float) -> None:
        """Its stream ended. What this hub was yet to take over stays its owner's: the process may be back there."""
        if lease.written is not None and lease.written.owner != self._hub_id:
            self.let_go(lease)
        else:
            lease.broke(now, self._terms)

    def put_back(self, lease: Lease, before: Lease | None) -> None:
        """Hold what was held before this lease, if that still stands in its place."""
        if self._held.get(lease.instance_id) is lease:
            self.let_go(lease)
            if before is not None:
                self.hold(before)

    def catch_up(self, now: float) -> None:
        """Learn what the store said since: leases that other hubs took, records that are this hub's to look after."""
        catalog = self._replica.catalog
        if self._seen == catalog.revision:
            return
        try:
            if self._seen is None:
                self._look_through(now, expired_at=float("-inf"))
            else:
                for change in catalog.changes_after(self._seen):
                    if change.removed:
                        self.census.remove(change.instance.id)
                        self._removed(change.instance.id, change.revision)
                    else:
                        self.census.put(change.instance, now)
                        self._changed(change.instance.id, now)
        except CompactedError:
            self._look_through(now, expired_at=now)
        self._seen = catalog.revision

    async def write(self, lease: Lease) -> None:
        """Have the store hold what the lease wants it to.

        Raises:
            NotHolderError: the lease is not this hub's any more.
            StoreAwayError: the store does not answer; the lease goes on wanting.
        """
        async with self._locks.setdefault(lease.instance_id, asyncio.Lock()), self._room:
            while not lease.in_force:
                if self._held.get(lease.instance_id) is not lease:
                    raise NotHolderError(f"the lease on {lease.instance_id!r} was taken up elsewhere")
                if not self._peers.attached:
                    raise StoreAwayError("this hub has lost its store")
                await self._write_once(lease)
            if lease.wanted is None:
                self.let_go(lease)

    async def write_all(self, leases: Iterable[Lease]) -> None:
        """Write them side by side; what can not be written now is for the next time."""
        away = False

        async def write(lease: Lease) -> None:
            nonlocal away
            try:
                await self.write(lease)
            except StoreAwayError:
                away = True
            except NotHolderError as error:
                log.info("a lease went to another hub", instance=lease.instance_id, because=str(error))

        waiting = iter(leases)
        while not away and (some := list(islice(waiting, _WRITES))):
            async with asyncio.TaskGroup() as tasks:
                for lease in some:
                    tasks.create_task(write(lease), name="write a lease")

    async def _write_once(self, lease: Lease) -> None:
        wanted, expected, revision = lease.wanted, lease.revision, 0
        try:
            if wanted is None:
                await self._replica.remove(Key("instance", lease.instance_id), expected)
            else:
                revision = await self._replica.put(wanted, expected)
        except ConflictError:
            await self._look_again(lease, expected)
        else:
            lease.learn(revision, wanted)

    async def _look_again(self, lease: Lease, expected: int) -> None:
        """Somebody wrote in between: another hub, which has it now; or this one, without having heard that it did."""
        revision, record = await self._newer(lease.instance_id, expected)
        if record is not None and revision and self._is_taken(lease, record):
            self.let_go(lease)
            raise NotHolderError(f"hub {record.owner!r} took the lease on {lease.instance_id!r}")
        if record is None and lease.wanted is not None:
            self.let_go(lease)
            raise NotHolderError(f"{lease.instance_id!r} left through another hub")
        lease.learn(revision, record)

    async def _newer(self, instance_id: str, expected: int) -> tuple[int, Record | None]:
        """What stands in the store in place of the expected revision, of which this hub is about to hear."""
        try:
            async with asyncio.timeout(_NEWS_WITHIN_S):
                while True:
                    found = self._replica.record(instance_id) or (0, None)
                    if found[0] != expected:
                        return found
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            raise StoreAwayError("the store has news that this hub does not hear of") from None

    def _look_through(self, now: float, expired_at: float) -> None:
        """Everything anew: at the start, or when too much happened to be told one by one."""
        self.census = Census()
        for instance in self._replica.catalog.instances():
            self.census.put(instance, expired_at)
            self._changed(instance.id, now)
        for lease in list(self._held.values()):
            if self._replica.record(lease.instance_id) is None:
                self._removed(lease.instance_id, self._replica.catalog.revision)

    def _changed(self, instance_id: str, now: float) -> None:
        found, lease = self._replica.record(instance_id), self._held.get(instance_id)
        if found is None:
            return  # what removed it is told later
        revision, record = found
        if lease is None:
            # Of a process of this hub before, or a write whose answer was lost.
            if record.owner == self._hub_id:
                self.hold(found_lease(instance_id, revision, record, now, self._terms))
        elif revision > lease.revision:
            if self._is_taken(lease, record):
                self.let_go(lease)
            else:
                lease.learn(revision, record)

    def _is_taken(self, lease: Lease, record: Record) -> bool:
        """Whether another hub has it; not where that only missed the process, which has come to this hub meanwhile."""
        came = lease.living and lease.written is not None and lease.written.owner == record.owner
        return record.owner != self._hub_id and not (came and record.expiry is not None)

    def _removed(self, instance_id: str, revision: int) -> None:
        """It left through another hub, or was forgotten there."""
        lease = self._held.get(instance_id)
        if lease is not None and 0 < lease.revision < revision:
            self.let_go(lease)


def found_lease(instance_id: str, revision: int, record: Record, now: float, terms: LeaseTerms) -> Lease:
    """A lease on what stands in the store, with a full term and grace for its process to come back in."""
    lease = Lease(instance_id, record, Hold.FOUND, 0, now, now, record, revision)
    lease.freshen(now, terms)
    lease.expired_at = now if record.expiry is not None else None
    return lease
