"""Which agent streams a symbol (design section 5, "Identity"): a lease, changed only by compare-and-set.

A lease names the agent and the bridge that took it for it. It is free when it was released, or when that bridge is
no longer alive. A bridge here is one life of a bridge's process.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

from services.data_bridge.domain.progress import SymbolKey


class Lease(NamedTuple):
    """Who streams a symbol, as the store has it at `revision`; empty names: nobody."""

    agent: str
    bridge: str
    revision: int


NOBODY = Lease("", "", 0)


class Write(NamedTuple):
    """The lease that a bridge wants, in place of the one at revision `expected`."""

    agent: str
    bridge: str
    expected: int


class LeaseMovedError(Exception):
    """The store refused a write: the lease is not at the expected revision any more."""


class Leases(Protocol):
    """The store of leases, as far as it was heard."""

    @property
    def valid(self) -> bool:
        """Whether this bridge is known to be alive: until then nobody takes a lease that it has."""

    async def confirmed(self) -> None:
        """Wait until it is valid."""

    @property
    def alive(self) -> Collection[str]:
        """The bridges that are alive."""

    def lease(self, key: SymbolKey) -> Lease: ...

    async def write(self, key: SymbolKey, write: Write) -> Lease:
        """Raises LeaseMovedError, and LogUnavailableError when it is not known whether it was written."""


class Contest:
    """The agents that have one symbol open at `bridge`, and its lease."""

    def __init__(self, bridge: str, lease: Lease) -> None:
        self.lease = lease
        self._bridge = bridge
        # In the order of their turn; true: it opened the symbol here later than where the lease says.
        self._agents: dict[str, bool] = {}

    @property
    def streaming(self) -> str:
        """The agent that streams through this bridge; empty: none."""
        return self.lease.agent if self.lease.bridge == self._bridge else ""

    @property
    def waiting(self) -> Sequence[str]:
        return [agent for agent in self._agents if agent != self.streaming]

    def opened(self, agent: str) -> None:
        self._agents[agent] = True

    def closed(self, agent: str) -> None:
        self._agents.pop(agent, None)

    def heard(self, lease: Lease) -> None:
        """The store says so; whoever streams elsewhere, though it has the symbol open here too, is last in turn."""
        self.lease = lease
        if lease.bridge == self._bridge:
            self._agents.update({lease.agent: False} if lease.agent in self._agents else {})
        elif self._agents.get(lease.agent) is False:
            self._agents[lease.agent] = self._agents.pop(lease.agent)

    def wanted(self, alive: Collection[str]) -> Write | None:
        """What this bridge is to write; None: nothing."""
        lease = self.lease
        if lease.bridge == self._bridge:
            if lease.agent in self._agents:
                return None
            agent = next(iter(self._agents), "")
            return Write(agent, self._bridge if agent else "", lease.revision)
        if lease.bridge not in alive:
            agent = next(iter(self._agents), "")
        else:  # its own lease an agent takes along at once
            agent = lease.agent if self._agents.get(lease.agent) else ""
        return Write(agent, self._bridge, lease.revision) if agent else None
