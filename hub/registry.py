"""Applies the rules to what happens: sessions come and go, leases run out, and every change gets a revision."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from hub.claims import Claims, NotRegisteredError, OfferTakenError, RegistryFullError
from hub.domain.admission import AdmissionError, admit, admit_status
from hub.domain.catalog import Catalog
from hub.domain.expiry import Protection, SelfPreservation
from hub.domain.health import Health
from hub.domain.instance import Instance
from hub.domain.lease import Hold, IdTakenError, Lease, LeaseTerms, NotHolderError, digest_of
from hub.domain.peers import Peers
from hub.domain.state import ConflictError, StoreAwayError
from hub.domain.status import Status
from hub.leases import Leases
from hub.store.replica import Replica
from hub.sweeper import Sweeper
from mesh.log import get_logger
from mesh.waiting import obey_cancellation

log = get_logger(__name__)

__all__ = ["AdmissionError", "Holder", "NotRegisteredError", "OfferTakenError", "Registry", "RegistryFullError"]


# An instance with the IPs of its addresses; the second is the one that it was, if any.
Place = Callable[[Instance, Instance | None], Awaitable[Instance]]

# Two hubs may reach for one id at the same moment; a third time in a row is another matter.
_ATTEMPTS = 3
# A hub that stops is not kept by a store that does not answer: its sessions are waiting to hear of it.
_FAREWELL_S = 0.5


@dataclass(frozen=True, slots=True)
class RegistryLimits:
    """Bounds of what is kept."""

    max_instances: int = 20_000
    remember_expired_s: float = 300.0
    sweep_interval_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Holder:
    """A stream's hold on an instance id."""

    instance_id: str
    stream: int


class Registry:
    """This hub's leases on instances of the mesh, and the rules by which all hubs keep theirs."""

    def __init__(
        self,
        hub_id: str,
        replica: Replica,
        peers: Peers,
        terms: LeaseTerms,
        doubt: SelfPreservation,
        limits: RegistryLimits,
        place: Place,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.hub_id = hub_id
        self.replica = replica
        self.peers = peers
        self.terms = terms
        self._limits = limits
        self._place = place
        self._clock = clock
        self._leases = Leases(hub_id, replica, peers, terms)
        self._sweeper = Sweeper(
            hub_id,
            self._leases,
            replica,
            peers,
            terms,
            doubt,
            limits.remember_expired_s,
            limits.max_instances,
            limits.sweep_interval_s,
            clock,
        )
        self._claims = Claims(hub_id, self._leases, replica, peers, terms, limits.max_instances, clock)

    @property
    def catalog(self) -> Catalog:
        """What all hubs know."""
        return self.replica.catalog

    @property
    def protection(self) -> Protection:
        """How self-preservation stands."""
        return self._sweeper.protection

    @property
    def silent(self) -> int:
        """Leases of this hub that are silent, as the other hubs should know."""
        return self._sweeper.silent

    @property
    def held(self) -> int:
        """How many leases this hub holds."""
        return len(self._leases)

    def stands(self, instance_id: str) -> bool:
        """Whether the process behind this id is known to be there, with this hub."""
        lease = self._leases.get(instance_id)
        return lease is not None and lease.living

    def has(self, instance_id: str) -> bool:
        """Whether this hub holds the lease on that id."""
        self._catch_up()
        return self._leases.get(instance_id) is not None

    def holds(self, holder: Holder) -> bool:
        """Whether the lease is (still) this stream's."""
        self._catch_up()
        lease = self._leases.get(holder.instance_id)
        return lease is not None and lease.stream == holder.stream

    def in_force(self, holder: Holder) -> bool:
        """Whether the mesh knows all that this stream said."""
        self._catch_up()
        lease = self._leases.get(holder.instance_id)
        return lease is not None and lease.stream == holder.stream and lease.in_force

    async def register(self, instance: Instance, token: str, hold: Hold = Hold.STREAM) -> Holder:
        """Register, or take a registration up again, from another hub too.

        Raises:
            AdmissionError: the registration is wrong.
            IdTakenError: a living process holds the id.
            OfferTakenError: another service offers one of its gRPC services.
            RegistryFullError: the registry is full.
            StoreAwayError: nobody new can come while the store is away.
            ConflictError: other hubs registered the id at the same time, again and again.
        """
        admit(instance, token)
        instance = await self._place(instance, self.catalog.get(instance.id))
        for _ in range(_ATTEMPTS):
            self._catch_up()
            lease, before = await self._claims.claim(instance, token, hold)
            try:
                await self._leases.write(lease)
            except StoreAwayError:
                if not self._claims.is_known(lease):
                    self._leases.put_back(lease, before)
                    raise
            except NotHolderError:
                if self._leases.get(instance.id) is not None:
                    raise  # it registered again meanwhile, on another stream
                continue
            except asyncio.CancelledError:
                self._leases.broke(lease, self._clock())  # its stream ended before it had begun
                raise
            return Holder(instance.id, lease.stream)
        raise ConflictError(f"other hubs wrote {instance.id!r} at the same time")

    async def hear(self, holder: Holder) -> int:
        """A heartbeat; gives the registry's revision.

        Raises:
            NotHolderError: the lease ran out and is forgotten, or the registration was taken up elsewhere.
        """
        await self._heard(self._lease_of(holder))
        return self.catalog.revision

    async def report(self, holder: Holder, status: Status, reason: str) -> int:
        """The instance's own word on its status; gives the registry's revision.

        Raises:
            AdmissionError: it is not the instance's to say.
            NotHolderError: see `hear`.
            StoreAwayError: the mesh will know when the store answers again.
        """
        admit_status(status, reason)
        lease = self._lease_of(holder)
        lease.hear(self._clock(), self.terms)
        lease.report(status, reason)
        await self._leases.write(lease)
        return self.catalog.revision

    async def deregister(self, holder: Holder, reason: str) -> None:
        """Leave at once.

        Raises:
            NotHolderError: see `hear`.
        """
        await self._drop(self._lease_of(holder), reason)

    def broken(self, holder: Holder) -> None:
        """The stream ended without a farewell; its grace begins, unless the session stands on another stream."""
        lease = self._leases.get(holder.instance_id)
        if lease is not None and lease.stream == holder.stream and lease.wanted is not None:
            self._leases.broke(lease, self._clock())

    async def renew(self, instance_id: str, token: str, status: Status | None = None, reason: str = "") -> None:
        """A sign of life by a call, with the instance's word on itself where it has one; any hub takes it.

        Raises:
            AdmissionError: the status is not the instance's to say.
            NotRegisteredError: nobody has that id.
            IdTakenError: another process has it.
            StoreAwayError: this hub does not know, and can not ask.
            NotHolderError: another hub took it at the same time.
        """
        if status is not None:
            admit_status(status, reason)
        lease = self._of_process(instance_id, token)
        if lease.hold is not Hold.STREAM:
            lease.hold = Hold.CALLS
        lease.hear(self._clock(), self.terms)
        if status is not None:
            lease.report(status, reason)
        await self._written(lease)

    async def leave(self, instance_id: str, token: str, reason: str) -> None:
        """Leave at once, by a call; who is not registered has left.

        Raises:
            IdTakenError: another process has the id.
            StoreAwayError: it will be known when the store answers; ask again to be sure.
        """
        try:
            lease = self._of_process(instance_id, token)
        except NotRegisteredError:
            return
        await self._drop(lease, reason)
        if not lease.in_force:
            raise StoreAwayError("the store does not answer")

    async def judge(self, instance_id: str, health: Health) -> None:
        """What the probes say; of concern only while this hub holds the lease."""
        self._catch_up()
        lease = self._leases.get(instance_id)
        if lease is not None:
            lease.judge(health)
            await self._leases.write_all([lease])

    async def look_up(self, instance_id: str) -> None:
        """Look its host names up again; of concern only while this hub holds the lease."""
        self._catch_up()
        lease = self._leases.get(instance_id)
        if lease is None or lease.wanted is None:
            return
        known = lease.wanted.instance
        placed = await self._place(known, known)
        if placed.addresses != known.addresses and lease.wanted is not None and lease.wanted.instance is known:
            lease.move(placed)
            await self._leases.write_all([lease])

    async def sweep(self) -> None:
        """End the leases that ran out."""
        await self._sweeper.sweep()

    async def register_itself(self, own: Instance, token: str) -> None:
        """Be registered like any other; where that can not be now, it is tried again with every sweep."""
        held = self._leases.get(own.id)
        try:
            if held is not None and held.wanted is not None and held.wanted.token_digest == digest_of(token):
                await self._heard(held)
            else:
                await self.register(own, token)
        except (
            StoreAwayError,
            ConflictError,
            NotHolderError,
            IdTakenError,
            OfferTakenError,
            RegistryFullError,
        ) as error:
            log.warning("this hub is not registered itself", because=str(error))

    async def leave_itself(self, own_id: str, token: str) -> None:
        """This hub stops."""
        try:
            async with asyncio.timeout(_FAREWELL_S):
                await self.leave(own_id, token, "stopped")
        except (StoreAwayError, NotHolderError, IdTakenError, TimeoutError) as error:
            log.warning("this hub could not take its leave", because=str(error) or "the store takes its time")

    async def keep_sweeping(self, own: Instance, token: str) -> None:
        """Sweep for ever; the hub itself lives as long as it does this."""
        while True:
            obey_cancellation()
            await self._between_sweeps()
            await self.register_itself(own, token)
            await self.sweep()

    async def _between_sweeps(self) -> None:
        until = self._clock() + self._limits.sweep_interval_s
        while (left := until - self._clock()) > 0:
            await asyncio.sleep(min(left, self._sweeper.next_grace_s))
            await self._sweeper.end_broken()

    def _catch_up(self) -> None:
        self._leases.catch_up(self._clock())

    def _lease_of(self, holder: Holder) -> Lease:
        self._catch_up()
        lease = self._leases.get(holder.instance_id)
        if lease is None or lease.stream != holder.stream:
            raise NotHolderError(f"this stream no longer holds {holder.instance_id!r}; it was taken up elsewhere")
        return lease

    def _of_process(self, instance_id: str, token: str) -> Lease:
        self._catch_up()
        return self._claims.of_process(instance_id, token)

    async def _heard(self, lease: Lease) -> None:
        revived = lease.expired_at is not None
        lease.hear(self._clock(), self.terms)
        if revived:
            await self._written(lease)

    async def _drop(self, lease: Lease, reason: str) -> None:
        log.info("left", instance=lease.instance_id, reason=reason[:1_024])
        lease.want(None)
        await self._written(lease)

    async def _written(self, lease: Lease) -> None:
        """Write; where the store is away, the next sweeps will."""
        try:
            await self._leases.write(lease)
        except StoreAwayError as error:
            log.info("to be written when the store answers", instance=lease.instance_id, because=str(error))
