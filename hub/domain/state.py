"""What hubs share, and the store that they share it through."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

from hub.domain.configuration import Configuration
from hub.domain.drain import Drain
from hub.domain.health import Health
from hub.domain.instance import Instance
from hub.domain.policy import Policy


class ConflictError(Exception):
    """The entry is no longer at the expected revision: another hub wrote it."""


class StoreAwayError(Exception):
    """The store does not answer; whether the write happened is not known."""


@dataclass(frozen=True, slots=True)
class Expiry:
    """A lease that ran out. Silent: nobody knows that the process is gone, it was only not heard."""

    reason: str
    silent: bool
    unix_ms: int


@dataclass(frozen=True, slots=True)
class Record:
    """What hubs share of a lease. Heartbeats and streams are only its owner's concern."""

    instance: Instance
    """As it registered; the status is its own word."""
    token_digest: bytes
    owner: str
    """The hub that holds the lease."""
    health: Health = field(default_factory=Health)
    expiry: Expiry | None = None


Entry = Record | Drain | Policy | Configuration
Kind = Literal["instance", "drain", "policy", "config"]


@dataclass(frozen=True, slots=True)
class Key:
    """What an entry is found under; the name of a drain is `<target kind>/<target name>`, of a configuration
    `<service>` or `<service>/<instance>`."""

    kind: Kind
    name: str


def key_of(entry: Entry) -> Key:
    """The key of an entry."""
    match entry:
        case Record():
            return Key("instance", entry.instance.id)
        case Drain():
            return Key("drain", f"{entry.target.kind}/{entry.target.name}")
        case Policy():
            return Key("policy", entry.service)
        case Configuration():
            return Key("config", str(entry.target))


@dataclass(frozen=True, slots=True)
class Delta:
    """One write; without an entry the key was removed."""

    revision: int
    key: Key
    entry: Entry | None


@dataclass(frozen=True, slots=True)
class Progress:
    """The revision moved on, and nothing else that can be read here."""

    revision: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All there is at a revision: what it does not hold has been removed."""

    revision: int
    entries: tuple[Delta, ...]
    origin: int = 0
    """Which life of the store this is. In another one than before, nothing was removed: its data was lost."""


News = Snapshot | Delta | Progress


class Store(Protocol):
    """Entries by key, written by compare-and-set.

    Every write raises the one revision of the store, also across a loss of all its data: revisions that anybody holds
    never come again.
    """

    async def put(self, entry: Entry, expected_revision: int) -> int:
        """Write, if the key's last write has the expected revision (0: the key is not there); give the new revision.

        Raises:
            ConflictError: it has not.
            StoreAwayError: nobody answers.
        """
        ...

    async def remove(self, key: Key, expected_revision: int) -> int:
        """Remove, under the same condition; give the new revision. With 0, what is not there is marked as removed: who
        still knows it from before a loss of the data hears so.

        Raises:
            ConflictError: it has not that revision.
            StoreAwayError: nobody answers.
        """
        ...

    def follow(self) -> AsyncIterator[News]:
        """Everybody's writes in the order of revisions: a snapshot first, and again whenever one was missed."""
        ...
