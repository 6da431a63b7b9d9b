"""A store that lives and dies with the hub."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from hub.domain.state import ConflictError, Delta, Entry, Key, News, Snapshot, key_of

# A follower that is further behind than this gets a snapshot again.
_HELD_DELTAS = 1_024


class MemoryStore:
    """Implements `Store` in memory.

    Args:
        first_revision: Where revisions begin. Give the time of start in unix µs, so that a restarted hub never repeats
            a revision that a watcher of its predecessor holds.
    """

    def __init__(self, first_revision: int = 0) -> None:
        self._origin = self._revision = first_revision
        self._entries: dict[Key, Delta] = {}
        self._deltas: deque[Delta] = deque(maxlen=_HELD_DELTAS)
        self._ears: set[asyncio.Event] = set()

    async def put(self, entry: Entry, expected_revision: int) -> int:
        return self._write(key_of(entry), entry, expected_revision)

    async def remove(self, key: Key, expected_revision: int) -> int:
        return self._write(key, None, expected_revision)

    async def follow(self) -> AsyncIterator[News]:
        ear = asyncio.Event()
        self._ears.add(ear)
        try:
            seen = self._revision
            yield Snapshot(seen, tuple(self._entries.values()), self._origin)
            while True:
                for news in self._after(seen):
                    yield news
                    seen = news.revision
                if seen == self._revision:
                    ear.clear()
                    await ear.wait()
        finally:
            self._ears.discard(ear)

    def _after(self, seen: int) -> list[Delta] | list[Snapshot]:
        missed = self._revision - seen
        if missed > len(self._deltas):
            return [Snapshot(self._revision, tuple(self._entries.values()), self._origin)]
        return [self._deltas[index] for index in range(-missed, 0)]

    def _write(self, key: Key, entry: Entry | None, expected_revision: int) -> int:
        actual = self._entries[key].revision if key in self._entries else 0
        if actual != expected_revision:
            raise ConflictError(f"{key.kind} {key.name} is at revision {actual}, not {expected_revision}")
        self._revision += 1
        delta = Delta(self._revision, key, entry)
        if entry is None:
            self._entries.pop(key, None)
        else:
            self._entries[key] = delta
        self._deltas.append(delta)
        for ear in self._ears:
            ear.set()
        return self._revision
