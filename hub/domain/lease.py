"""The rules of one lease: who may hold an instance id, and what keeps it.

Times are seconds of a monotonic clock that the caller gives.
"""

from dataclasses import dataclass, replace

from hub.domain.instance import Instance
from hub.domain.status import Status


class IdTakenError(Exception):
    """Another living process holds this instance id."""


class NotHolderError(Exception):
    """This stream no longer holds the lease: it ran out, or the session was taken up on another stream."""


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """How long an instance is believed to live. All in seconds."""

    heartbeat_s: float = 5.0
    ttl_s: float = 15.0
    grace_s: float = 3.0


@dataclass(frozen=True, slots=True)
class Lease:
    """One instance id held by one process through one stream."""

    instance: Instance
    token: str
    stream: int
    reported: Status
    reported_reason: str
    heard_at: float
    broken_at: float | None = None
    expired_at: float | None = None
    expired_silent: bool = False

    @property
    def living(self) -> bool:
        """Whether its process is known to be there: the stream stands and it has not been silent too long."""
        return self.broken_at is None and self.expired_at is None


def take(held: Lease | None, instance: Instance, token: str, stream: int, now: float) -> Lease:
    """Take an instance id, or take it up again with the same token.

    While the holder's stream stands, another token is refused. Once it broke, the id is free: the system closes a dead
    process's connections, and its successor is up before the grace is over.

    Raises:
        IdTakenError: a living process with another token holds it.
    """
    if held is not None and held.living and held.token != token:
        raise IdTakenError(
            f"instance id {instance.id!r} is held by a living process (pid {held.instance.process_id} of service "
            f"{held.instance.service!r}); stop it, or choose another id"
        )
    return Lease(instance, token, stream, instance.status, instance.status_reason, heard_at=now)


def hear(lease: Lease, now: float) -> Lease:
    """A sign of life; it revives a lease that had expired in silence while its stream stood."""
    if lease.expired_at is None:
        return replace(lease, heard_at=now)
    instance = replace(lease.instance, status=lease.reported, status_reason=lease.reported_reason, kept_endpoint=False)
    return replace(lease, instance=instance, heard_at=now, expired_at=None, expired_silent=False)


def report(lease: Lease, status: Status, reason: str, now: float) -> Lease:
    """The instance says its status, which is a sign of life too."""
    heard = hear(lease, now)
    instance = replace(heard.instance, status=status, status_reason=reason)
    return replace(heard, instance=instance, reported=status, reported_reason=reason)


def broken(lease: Lease, now: float) -> Lease:
    """Its stream ended without a farewell: the grace begins."""
    return replace(lease, broken_at=now)


def expired(lease: Lease, now: float, reason: str, *, silent: bool, kept_endpoint: bool = False) -> Lease:
    """The lease ran out."""
    instance = replace(lease.instance, status=Status.EXPIRED, status_reason=reason, kept_endpoint=kept_endpoint)
    return replace(lease, instance=instance, expired_at=now, expired_silent=silent)
