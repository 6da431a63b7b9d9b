"""Which hubs are there, and whether this one still has its store.

Times are seconds of this hub's monotonic clock: the clocks of two machines are never compared.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PresenceTerms:
    """Without an answer of the store for `detached_s` this hub is detached; another, not heard for `gone_s`, is gone,
    and after `forget_s` it is not spoken of any more. All in seconds.
    """

    detached_s: float = 5.0
    gone_s: float = 10.0
    forget_s: float = 3_600.0


@dataclass(frozen=True, slots=True)
class Beat:
    """What a hub says every second: who it is, how long its process runs, how many leases are silent or nearly so."""

    hub_id: str
    process: str
    uptime_ms: int
    silent: int = 0
    leaving: bool = False


class Peers(Protocol):
    """The other hubs, as the registry needs to know them."""

    @property
    def attached(self) -> bool:
        """Whether the store answers. A detached hub writes nothing and expires nobody."""
        ...

    @property
    def attached_since(self) -> float:
        """When the store answered anew after it had not; each attachment has a time of its own."""
        ...

    @property
    def silent_elsewhere(self) -> int:
        """How many leases of the other hubs are silent or nearly so, by their word."""
        ...

    def stands_for(self) -> float:
        """For how many seconds this hub has been attached, or detached."""
        ...

    def heard(self) -> Mapping[str, float]:
        """Every other hub that was heard, with the seconds since."""
        ...

    def gone_since(self, hub_id: str) -> float | None:
        """Since when that hub is taken to be gone; None where it is not."""
        ...

    def is_gone(self, hub_id: str) -> bool:
        """Whether that hub is taken to be gone."""
        ...

    async def stream_stands(self, hub_id: str, instance_id: str) -> bool:
        """Whether the instance's process is there, by that hub's word; one that is there and says nothing says yes."""
        ...


class Alone:
    """A hub without others; its store is its own memory."""

    attached = True
    silent_elsewhere = 0

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.attached_since = clock()

    def stands_for(self) -> float:
        return self._clock() - self.attached_since

    def heard(self) -> Mapping[str, float]:
        return {}

    def gone_since(self, hub_id: str) -> float | None:
        return None

    def is_gone(self, hub_id: str) -> bool:
        return False

    async def stream_stands(self, hub_id: str, instance_id: str) -> bool:
        return False


@dataclass(slots=True)
class _Peer:
    heard_at: float
    silent: int
    left_at: float | None = None


class PeerTable:
    """Who was heard when.

    Args:
        now: When this hub's process began to listen; its store has just answered.
    """

    def __init__(self, hub_id: str, process: str, terms: PresenceTerms, now: float) -> None:
        self.hub_id = hub_id
        self.process = process
        self._terms = terms
        self._started_at = now
        self._answered_at = now
        self.attached_since = now
        self._peers: dict[str, _Peer] = {}

    def answered(self, now: float) -> None:
        """The store's leader answered."""
        if not self.is_attached(now):
            self.attached_since = now
        self._answered_at = now

    def is_attached(self, now: float) -> bool:
        """Whether the store answered lately."""
        return now - self._answered_at <= self._terms.detached_s

    def stands_for(self, now: float) -> float:
        """For how long this hub has been attached, or detached."""
        return now - (self.attached_since if self.is_attached(now) else self._answered_at + self._terms.detached_s)

    def beat(self, now: float, silent: int = 0, *, leaving: bool = False) -> Beat:
        """What to say of this hub."""
        return Beat(self.hub_id, self.process, round((now - self._started_at) * 1000), silent, leaving)

    def hear(self, beat: Beat, now: float) -> bool:
        """Take another hub's word in; False when it is an older process under this hub's own id: this one must go."""
        if beat.hub_id == self.hub_id:
            mine = self.beat(now)
            older = (mine.uptime_ms, mine.process) > (beat.uptime_ms, beat.process)
            return older or beat.leaving or beat.process == self.process
        self._peers[beat.hub_id] = _Peer(now, beat.silent, now if beat.leaving else None)
        for hub_id in [one for one, peer in self._peers.items() if now - peer.heard_at > self._terms.forget_s]:
            del self._peers[hub_id]
        return True

    def heard(self, now: float) -> dict[str, float]:
        """Every other hub that did not take its leave, with the seconds since it was heard."""
        # Metrics are read from another thread: a copy.
        return {
            hub_id: now - peer.heard_at
            for hub_id, peer in list(self._peers.items())
            if peer.left_at is None and now - peer.heard_at <= self._terms.forget_s
        }

    def silent_elsewhere(self, now: float) -> int:
        """How many leases the living others say are silent."""
        return sum(peer.silent for hub_id, peer in self._peers.items() if self.gone_since(hub_id, now) is None)

    def gone_since(self, hub_id: str, now: float) -> float | None:
        """Since when that hub is gone. What this hub could not hear, being detached, does not count."""
        if hub_id == self.hub_id or not self.is_attached(now):
            return None
        peer = self._peers.get(hub_id)
        if peer is not None and peer.left_at is not None:
            return max(peer.left_at, self.attached_since)
        since = max(peer.heard_at if peer else self._started_at, self.attached_since) + self._terms.gone_s
        return since if now >= since else None
