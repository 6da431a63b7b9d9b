"""Ends the leases that ran out, and those of hubs that are gone."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from hub.domain.expiry import Protection, SelfPreservation, Silence, believed
from hub.domain.lease import Hold, Lease, LeaseTerms
from hub.domain.peers import Peers
from hub.leases import Leases, found_lease
from hub.store.replica import Replica
from mesh.clock import unix_ms
from mesh.log import get_logger

log = get_logger(__name__)

# From this share on there is no room for those who are known to be gone.
_NEARLY_FULL = 0.9
# Sessions that break one after the other end together.
_TOGETHER_S = 0.02


class Sweeper:
    """Looks through the leases of this hub, and the records of hubs that are gone.

    Args:
        remember_s: How long expired instances are still listed, unless the living need the room.
        max_instances: How many instances the registry holds.
        interval_s: How often `sweep` is called: what is beyond twice that, this hub slept.
    """

    def __init__(
        self,
        hub_id: str,
        leases: Leases,
        replica: Replica,
        peers: Peers,
        terms: LeaseTerms,
        doubt: SelfPreservation,
        remember_s: float,
        max_instances: int,
        interval_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._hub_id = hub_id
        self._leases = leases
        self._replica = replica
        self._peers = peers
        self._terms = terms
        self._doubt = doubt
        self._remember_s = remember_s
        self._room_for = _NEARLY_FULL * max_instances
        self._interval_s = interval_s
        self._clock = clock
        self._swept_at = clock()
        self._attachment = peers.attached_since
        self.silent = 0
        """Leases that are silent or about to be, so that other hubs know before the first one is believed."""
        self.protection = Protection()

    async def sweep(self) -> None:
        """Write what waits to be written, then end what ran out; nothing while the store is away."""
        now = self._clock()
        slept_s = now - self._swept_at - 2 * self._interval_s
        self._leases.catch_up(now)
        if self._peers.attached:
            self._prolong(now, slept_s)
            await self._leases.write_all([lease for lease in self._leases if not lease.in_force])
            await self._expire(now)
            await self._forget(now)
        # From its end: a sweep that waited for the store was no sleep.
        self._swept_at = self._clock()

    @property
    def next_grace_s(self) -> float:
        """How long until a broken session's grace is over; of one that breaks now, if no other's is before."""
        if not self._in_step:
            return self._interval_s
        now = self._clock()
        ends = (lease.until for lease in self._leases if lease.hold is Hold.BROKEN and lease.is_due(math.inf))
        return max(_TOGETHER_S, min(ends, default=now + self._terms.grace_s) - now)

    async def end_broken(self) -> None:
        """Between two sweeps: end what broke, in the moment in which its grace is over."""
        now = self._clock()
        slept = now - self._swept_at > 2 * self._interval_s
        if self._in_step and not slept:
            self._leases.catch_up(now)
            await self._end([lease for lease in self._leases if lease.hold is Hold.BROKEN and lease.is_due(now)], now)
            self._swept_at += self._clock() - now

    @property
    def _in_step(self) -> bool:
        """Whether the store is there, and was at the last sweep."""
        return self._peers.attached and self._attachment == self._peers.attached_since

    def _prolong(self, now: float, slept_s: float) -> None:
        """Time in which this hub heard nobody, or could tell nobody, is not held against anybody."""
        if self._attachment != self._peers.attached_since:
            log.info("the store is back; every lease has a fresh term")
            self._attachment = self._peers.attached_since
        elif slept_s > 0:
            log.warning("this hub slept; every lease has a fresh term", seconds=round(slept_s, 3))
        else:
            return
        for lease in self._leases:
            lease.freshen(now, self._terms)

    async def _expire(self, now: float) -> None:
        due = [lease for lease in self._leases if lease.is_due(now)]
        broken = [lease for lease in due if lease.hold is Hold.BROKEN]
        own = [lease for lease in due if lease.hold is not Hold.BROKEN]
        orphans = [
            lease
            for hub_id, since in self._gone()
            if now - since >= self._terms.ttl_s + self._terms.grace_s
            for lease in self._orphans(hub_id, since)
            if lease.expired_at is None
        ]
        soon = now + self._terms.ttl_s / 3
        self.silent = sum(lease.is_due(soon) for lease in self._leases if lease.hold is not Hold.BROKEN)
        silent = sorted([*own, *orphans], key=lambda lease: (lease.until, lease.instance_id))
        silence = Silence(
            self._leases.census.unexpired,
            len(self._leases) + len(orphans),
            self._peers.silent_elsewhere,
            self._leases.census.silent_since(now - self._terms.ttl_s),
        )
        expiring = [*broken, *believed(silent, silence, self._doubt)]
        await self._end(expiring, now)
        self._note(silent, len(silent) + len(broken) - len(expiring), silence)

    async def _end(self, expiring: Sequence[Lease], now: float) -> None:
        for lease in expiring:
            if self._leases.get(lease.instance_id) is None:
                self._leases.hold(lease)
            lease.expire(now, unix_ms(), self._terms)
        await self._leases.write_all(expiring)
        for lease in expiring:
            if lease.in_force and lease.wanted is not None and lease.wanted.expiry is not None:
                log.warning("expired", instance=lease.instance_id, reason=lease.wanted.expiry.reason)
            elif lease.written is not None and lease.written.owner != self._hub_id:
                self._leases.let_go(lease)  # an orphan still, that is judged anew

    def _note(self, silent: Sequence[Lease], waiting: int, silence: Silence) -> None:
        before = self.protection
        protecting = silence.is_doubted(len(silent), self._doubt)
        since = 0 if not protecting else before.since_unix_ms or unix_ms()
        self.protection = Protection(protecting, since, waiting, silence.wave + len(silent) - waiting)

    async def _forget(self, now: float) -> None:
        """What expired long ago. While its stream stands, the process may still revive it."""
        crowded = self._leases.census.total >= self._room_for
        old = [
            lease
            for lease in self._leases
            if lease.expired_at is not None
            and lease.hold is not Hold.STREAM
            and (now - lease.expired_at >= self._remember_s or (crowded and lease.hold is Hold.BROKEN))
        ]
        for hub_id, since in self._gone():
            if now - since >= self._remember_s:
                orphans = [lease for lease in self._orphans(hub_id, since) if lease.expired_at is not None]
                for lease in orphans:
                    self._leases.hold(lease)
                old += orphans
        for lease in old:
            lease.want(None)
        await self._leases.write_all(old)

    def _gone(self) -> Iterator[tuple[str, float]]:
        for hub_id in self._leases.census.owners:
            since = self._peers.gone_since(hub_id)
            if since is not None and hub_id != self._hub_id:
                yield hub_id, since

    def _orphans(self, hub_id: str, since: float) -> Iterator[Lease]:
        """Leases of a hub that is gone, as this hub would hold them: whoever writes one first has it."""
        for instance_id in sorted(self._leases.census.owned_by(hub_id)):
            found = self._replica.record(instance_id)
            if found is not None and found[1].owner == hub_id and self._leases.get(instance_id) is None:
                revision, record = found
                lease = found_lease(instance_id, revision, record, since, self._terms)
                lease.wanted = replace(record, owner=self._hub_id)
                yield lease
