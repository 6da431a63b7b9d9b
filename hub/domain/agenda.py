"""What is due when, by key."""

import heapq


class Agenda:
    """Each key has one time; times are seconds of a monotonic clock that the caller gives."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def put(self, key: str, at: float) -> None:
        """Due at this time, and no other."""
        self._at[key] = at
        heapq.heappush(self._heap, (at, key))
        if len(self._heap) > 2 * len(self._at) + 64:
            self._heap = [(at, key) for key, at in self._at.items()]
            heapq.heapify(self._heap)

    def drop(self, key: str) -> None:
        """Not due any more."""
        self._at.pop(key, None)

    def next_at(self) -> float | None:
        """When the next one is due."""
        while self._heap:
            at, key = self._heap[0]
            if self._at.get(key) == at:
                return at
            heapq.heappop(self._heap)
        return None

    def take(self, now: float) -> str | None:
        """The one that has been due for longest, which is not on the agenda any more then."""
        at = self.next_at()
        if at is None or at > now:
            return None
        _, key = heapq.heappop(self._heap)
        del self._at[key]
        return key
