"""The engine's clock and the permission to execute, both on the PC's clock since it was started.

The wall clock may be set at any moment; this one only runs, and goes on while the PC sleeps.
"""

from collections import deque
from dataclasses import dataclass

_SAMPLES = 16
# What two clocks may drift apart while that many samples are taken.
_DRIFT_NS = 20_000_000


@dataclass(frozen=True, slots=True)
class _Sample:
    round_trip_ns: int
    offset_ns: int

    def contradicts(self, other: "_Sample") -> bool:
        """No offset fits both: each is off by half its round trip at most."""
        apart = abs(self.offset_ns - other.offset_ns)
        return apart > (self.round_trip_ns + other.round_trip_ns) // 2 + _DRIFT_NS


class ServerClock:
    """The engine's time, from the fastest of the last round trips: it is right to half of that."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque(maxlen=_SAMPLES)

    def measure(self, sent_ns: int, received_ns: int, engine_unix_ns: int) -> None:
        """A probe left and its answer came at these times of the PC; the engine read its clock in between."""
        sample = _Sample(received_ns - sent_ns, engine_unix_ns - (sent_ns + received_ns) // 2)
        if any(sample.contradicts(earlier) for earlier in self._samples):
            self._samples.clear()  # the engine's clock was set
        self._samples.append(sample)

    def forget(self) -> None:
        """Another engine answers from now on."""
        self._samples.clear()

    def unix_ns(self, boot_ns: int) -> int | None:
        """The engine's time at `boot_ns`; None before the first measurement."""
        if not self._samples:
            return None
        return boot_ns + self._fastest().offset_ns

    def latest_unix_ns(self, boot_ns: int) -> int | None:
        """The engine's time at `boot_ns` at the latest: what is not over by this is not over there."""
        if not self._samples:
            return None
        fastest = self._fastest()
        return boot_ns + fastest.offset_ns + (fastest.round_trip_ns + 1) // 2

    def _fastest(self) -> _Sample:
        return min(self._samples, key=lambda sample: sample.round_trip_ns)


class Lease:
    """May this agent execute? Only until the engine's last word on it runs out."""

    def __init__(self) -> None:
        self.until_ns = 0
        self._given_up = False

    def renew(self, from_ns: int, valid_for_ms: int) -> None:
        """Granted at `from_ns`; a shorter grant replaces a longer one only if it ends later."""
        if self._given_up:
            return
        self.until_ns = max(self.until_ns, from_ns + valid_for_ms * 1_000_000)

    def give_up(self) -> None:
        """It may not any more, whatever was and is granted."""
        self._given_up, self.until_ns = True, 0

    def holds(self, boot_ns: int) -> bool:
        return boot_ns < self.until_ns
