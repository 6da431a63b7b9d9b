"""Which leases run out in a sweep, and self-preservation: many falling silent at once is rather the hub's own trouble.

Only silence is doubted. A broken stream after its grace is a fact, and so is a farewell.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from hub.domain.lease import Lease, LeaseTerms, expired
from hub.domain.status import Status


@dataclass(frozen=True, slots=True)
class SelfPreservation:
    """When silence is doubted, and how slowly it is then believed."""

    from_instances: int = 10
    from_expiries: int = 3
    max_share: float = 0.15


def sweep(leases: Collection[Lease], now: float, terms: LeaseTerms, doubt: SelfPreservation) -> list[Lease]:
    """The leases that run out now, as they are afterwards."""
    held = [lease for lease in leases if lease.expired_at is None]
    gone = [lease for lease in leases if _is_endpoint_or_held(lease) and _grace_is_over(lease, now, terms)]
    silent = sorted(
        (lease for lease in held if lease.broken_at is None and now - lease.heard_at >= terms.ttl_s),
        key=lambda lease: lease.heard_at,
    )
    after = [_after_grace(lease, now, terms) for lease in gone]
    wave = [lease for lease in leases if _expired_in_this_wave(lease, now, terms)]
    if len(held) + len(wave) < doubt.from_instances or len(silent) + len(wave) < doubt.from_expiries:
        return after + [_after_silence(lease, now, terms) for lease in silent]
    allowed = max(1, int((len(held) + len(wave)) * doubt.max_share))
    left = [lease for lease in held if not _grace_is_over(lease, now, terms)]
    return after + list(_keep_last_endpoints(silent[:allowed], left, now, terms))


def forgotten(leases: Iterable[Lease], now: float, remember_s: float) -> list[Lease]:
    """Expired leases that nobody needs to see any more. While the stream stands, the process may still revive it."""
    return [
        lease
        for lease in leases
        if lease.expired_at is not None and lease.broken_at is not None and now - lease.expired_at >= remember_s
    ]


def _keep_last_endpoints(expiring: list[Lease], held: list[Lease], now: float, terms: LeaseTerms) -> Iterator[Lease]:
    endpoints = Counter(lease.instance.service for lease in held if lease.instance.status is Status.UP)
    for lease in expiring:
        was_endpoint = lease.instance.status is Status.UP
        endpoints[lease.instance.service] -= was_endpoint
        is_last = was_endpoint and endpoints[lease.instance.service] == 0
        yield _after_silence(lease, now, terms, kept_endpoint=is_last)


def _is_endpoint_or_held(lease: Lease) -> bool:
    return lease.expired_at is None or lease.instance.kept_endpoint


def _grace_is_over(lease: Lease, now: float, terms: LeaseTerms) -> bool:
    return lease.broken_at is not None and now - lease.broken_at >= terms.grace_s


def _expired_in_this_wave(lease: Lease, now: float, terms: LeaseTerms) -> bool:
    """Counted with the silent of now, else the first 15 % of a wave would lift the protection from the rest."""
    return lease.expired_silent and lease.expired_at is not None and now - lease.expired_at < terms.ttl_s


def _after_grace(lease: Lease, now: float, terms: LeaseTerms) -> Lease:
    reason = f"its connection broke and it did not come back within {terms.grace_s:g} s"
    return expired(lease, now, reason, silent=False)


def _after_silence(lease: Lease, now: float, terms: LeaseTerms, *, kept_endpoint: bool = False) -> Lease:
    reason = f"silent for {now - lease.heard_at:.0f} s; a lease lasts {terms.ttl_s:g} s"
    return expired(lease, now, reason, silent=True, kept_endpoint=kept_endpoint)
