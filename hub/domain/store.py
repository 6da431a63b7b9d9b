"""Where instances are kept, as the registry needs it."""

from dataclasses import dataclass
from typing import Protocol

from hub.domain.instance import Instance


class ConflictError(Exception):
    """The record is no longer at the expected revision: another hub wrote it."""


@dataclass(frozen=True, slots=True)
class Record:
    """What hubs share of a lease. Heartbeats stay with the owner: only what changes hands is written."""

    instance: Instance
    token: str
    owner: str


class Store(Protocol):
    """Records by instance id, written by compare-and-set; every write raises the one revision of the store."""

    async def revision(self) -> int:
        """The revision of the newest write."""
        ...

    async def put(self, record: Record, expected_revision: int) -> int:
        """Write, if the id's last write has the expected revision (0: it has none); give the new revision.

        Raises:
            ConflictError: it has not.
        """
        ...

    async def remove(self, instance_id: str, expected_revision: int) -> int:
        """Remove, under the same condition; give the new revision.

        Raises:
            ConflictError: it has not that revision.
        """
        ...
