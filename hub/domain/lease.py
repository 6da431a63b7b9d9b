"""The rules of one lease: who may hold an instance id, and what keeps it.

Times are seconds of a monotonic clock that the caller gives. A lease lives with one hub, its owner; what other hubs
are to know of it is the record that it wants the store to hold.
"""

from dataclasses import dataclass, replace
from enum import Enum, auto
from hashlib import blake2b

from hub.domain.health import Health
from hub.domain.instance import Instance
from hub.domain.state import Expiry, Record
from hub.domain.status import Status


class IdTakenError(Exception):
    """Another living process holds this instance id."""


class NotHolderError(Exception):
    """The lease is not the caller's (any more): it was forgotten, or taken up elsewhere."""


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """How long an instance is believed to live. All in seconds."""

    heartbeat_s: float = 5.0
    ttl_s: float = 15.0
    grace_s: float = 3.0


class Hold(Enum):
    """What a lease hangs on."""

    STREAM = auto()
    """A session's open stream."""
    BROKEN = auto()
    """Its stream ended without a farewell: the grace runs."""
    CALLS = auto()
    """A client that renews by calls."""
    FOUND = auto()
    """It stood in the store when its hub came, or its hub is gone; its process has not spoken since."""


@dataclass(slots=True)
class Lease:
    """One instance id held by one process with this hub."""

    instance_id: str
    wanted: Record | None
    """What the store is to hold; None: nothing."""
    hold: Hold
    stream: int
    heard_at: float
    until: float
    written: Record | None = None
    """What this hub last knew the store to hold, and its revision there."""
    revision: int = 0
    expired_at: float | None = None

    @property
    def living(self) -> bool:
        """Whether its process is known to be there: nobody else may take its id."""
        return self.hold in (Hold.STREAM, Hold.CALLS) and self.expired_at is None and self.wanted is not None

    @property
    def in_force(self) -> bool:
        """Whether the store holds what it is to hold."""
        return self.wanted is self.written

    def want(self, wanted: Record | None) -> None:
        """Have the store hold this."""
        self.wanted = self.written if wanted == self.written else wanted

    def learn(self, revision: int, written: Record | None) -> None:
        """What the store holds now, which what is wanted is measured by."""
        self.revision, self.written = revision, written
        self.want(self.wanted)

    def hear(self, now: float, terms: LeaseTerms) -> None:
        """A sign of life; it revives a lease that had expired in silence while its stream stood."""
        self.heard_at = now
        self.until = now + terms.ttl_s
        if self.expired_at is not None:
            self.expired_at = None
            if self.wanted is not None:
                self.want(replace(self.wanted, expiry=None))

    def report(self, status: Status, reason: str) -> None:
        """The instance says its status."""
        if self.wanted is not None:
            instance = replace(self.wanted.instance, status=status, status_reason=reason)
            self.want(replace(self.wanted, instance=instance))

    def judge(self, health: Health) -> None:
        """Its probes say something new."""
        if self.wanted is not None:
            self.want(replace(self.wanted, health=health))

    def move(self, instance: Instance) -> None:
        """Its host names resolve to other IPs than they did."""
        if self.wanted is not None:
            moved = replace(self.wanted.instance, addresses=instance.addresses)
            self.want(replace(self.wanted, instance=moved))

    def broke(self, now: float, terms: LeaseTerms) -> None:
        """Its stream ended without a farewell: the grace begins."""
        self.hold = Hold.BROKEN
        self.until = now + terms.grace_s

    def freshen(self, now: float, terms: LeaseTerms) -> None:
        """A full term and grace from now: its silence was not its own doing. An end not yet written is taken back."""
        self.until = now + terms.ttl_s + terms.grace_s
        unwritten = self.expired_at is not None and self.written is not None and self.written.expiry is None
        if unwritten and self.wanted is not None:
            self.expired_at = None
            self.want(replace(self.wanted, expiry=None))

    def is_due(self, now: float) -> bool:
        """Whether it has run out. One that expired in silence runs out again, as a fact, when its stream breaks."""
        if now < self.until or self.wanted is None:
            return False
        expiry = self.wanted.expiry
        return expiry is None or (expiry.silent and self.hold is Hold.BROKEN)

    def expire(self, now: float, unix_ms: int, terms: LeaseTerms) -> None:
        """It ran out."""
        if self.wanted is not None:
            self.expired_at = now if self.expired_at is None else self.expired_at
            expiry = Expiry(self._why(now, terms), self.hold is not Hold.BROKEN, unix_ms)
            self.want(replace(self.wanted, expiry=expiry))

    def _why(self, now: float, terms: LeaseTerms) -> str:
        if self.hold is Hold.BROKEN:
            return f"its connection broke and it did not come back within {terms.grace_s:g} s"
        if self.hold is Hold.FOUND:
            return f"its hub went and it came back to no hub within {terms.ttl_s + terms.grace_s:g} s"
        return f"silent for {now - self.heard_at:.0f} s; a lease lasts {terms.ttl_s:g} s"


def digest_of(token: str) -> bytes:
    """What hubs share of a token: enough to know it again."""
    return blake2b(token.encode(), digest_size=16).digest()


def taken(record: Record) -> IdTakenError:
    """The refusal of another process, naming the holder."""
    held = record.instance
    return IdTakenError(
        f"instance id {held.id!r} is held by a living process (pid {held.process_id} of service {held.service!r}, "
        f"with hub {record.owner!r}); stop it, or choose another id"
    )
