"""The engine's clock and the permission to execute, both on the PC's monotonic clock.

The PC's wall clock may be set at any moment; the monotonic one only runs.
"""

from collections import deque
from dataclasses import dataclass

_SAMPLES = 16


@dataclass(frozen=True, slots=True)
class _Sample:
    round_trip_ns: int
    offset_ns: int


class ServerClock:
    """The engine's time, from the fastest of the last round trips."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque(maxlen=_SAMPLES)

    def measure(self, sent_ns: int, received_ns: int, engine_unix_ns: int) -> None:
        """A probe left and its answer came at these monotonic times; the engine read its clock in between."""
        middle = (sent_ns + received_ns) // 2
        self._samples.append(_Sample(received_ns - sent_ns, engine_unix_ns - middle))

    def forget(self) -> None:
        """Another engine answers from now on."""
        self._samples.clear()

    def unix_ns(self, monotonic_ns: int) -> int | None:
        """The engine's time at `monotonic_ns`; None before the first measurement."""
        if not self._samples:
            return None
        return monotonic_ns + self._offset_ns()

    def monotonic_ns(self, unix_ns: int) -> int | None:
        """When the engine's clock will show `unix_ns`."""
        if not self._samples:
            return None
        return unix_ns - self._offset_ns()

    def ahead_ns(self, monotonic_ns: int) -> int:
        """What the engine's clock shows more than the monotonic one; 0 before the first measurement."""
        now = self.unix_ns(monotonic_ns)
        return 0 if now is None else now - monotonic_ns

    def _offset_ns(self) -> int:
        return min(self._samples, key=lambda sample: sample.round_trip_ns).offset_ns


class Lease:
    """May this agent execute? Only until the engine's last word on it runs out."""

    def __init__(self) -> None:
        self.until_ns = 0

    def renew(self, from_ns: int, valid_for_ms: int) -> None:
        """Granted at monotonic `from_ns`; a shorter grant replaces a longer one only if it ends later."""
        self.until_ns = max(self.until_ns, from_ns + valid_for_ms * 1_000_000)

    def holds(self, monotonic_ns: int) -> bool:
        return monotonic_ns < self.until_ns
