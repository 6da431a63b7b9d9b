"""A store that lives and dies with the hub."""

from hub.domain.store import ConflictError, Record


class MemoryStore:
    """Implements `Store` in memory.

    Args:
        first_revision: Where revisions begin. Give the time of start in unix ms, so that a restarted hub never repeats
            a revision that a watcher of its predecessor holds.
    """

    def __init__(self, first_revision: int = 0) -> None:
        self._revision = first_revision
        self._records: dict[str, tuple[int, Record]] = {}

    async def revision(self) -> int:
        return self._revision

    async def put(self, record: Record, expected_revision: int) -> int:
        self._expect(record.instance.id, expected_revision)
        self._revision += 1
        self._records[record.instance.id] = (self._revision, record)
        return self._revision

    async def remove(self, instance_id: str, expected_revision: int) -> int:
        self._expect(instance_id, expected_revision)
        del self._records[instance_id]
        self._revision += 1
        return self._revision

    def _expect(self, instance_id: str, expected_revision: int) -> None:
        actual = self._records[instance_id][0] if instance_id in self._records else 0
        if actual != expected_revision:
            raise ConflictError(f"{instance_id} is at revision {actual}, not {expected_revision}")
