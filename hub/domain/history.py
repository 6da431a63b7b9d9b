"""What became of instances: changes of status, and spans of probes."""

from dataclasses import dataclass, replace
from typing import Protocol

from hub.domain.status import Status

KEPT_S = 24 * 3600
KEPT_OF_ONE = 400
"""Events of one instance: a day of spans of ten minutes, and some 250 changes."""


class HistoryAwayError(Exception):
    """What is kept can not be read now."""


@dataclass(frozen=True, slots=True)
class HealthEvent:
    """A change of status, or a span of probes that ends here.

    `key` names the event in the whole mesh: told twice, by whichever hubs, it is kept once.
    """

    key: str
    instance_id: str
    unix_ms: int
    hub: str
    status: Status
    reason: str
    probes: int = 0
    failed: int = 0
    slowest_ms: float = 0.0
    last_error: str = ""


class History(Protocol):
    """A day of events by instance; it may lose some, and never stands in anybody's way."""

    def note(self, event: HealthEvent) -> None:
        """Keep it, soon."""
        ...

    async def read(self, instance_id: str, since_unix_ms: int) -> list[HealthEvent]:
        """Events of one instance from a time on, oldest first.

        Raises:
            HistoryAwayError: it can not be read now.
        """
        ...


@dataclass(slots=True)
class Span:
    """Probes of one instance since a time (monotonic seconds)."""

    began_at: float
    probes: int = 0
    failed: int = 0
    slowest_ms: float = 0.0
    last_error: str = ""

    def add(self, error: str, took_ms: float) -> None:
        """One more probe; no error: it passed."""
        self.probes += 1
        self.slowest_ms = max(self.slowest_ms, took_ms)
        if error:
            self.failed += 1
            self.last_error = error

    def told_by(self, event: HealthEvent) -> HealthEvent:
        """The event that ends this span."""
        return replace(
            event, probes=self.probes, failed=self.failed, slowest_ms=self.slowest_ms, last_error=self.last_error
        )
