"""Events of the health history between the wire and the domain."""

from suho.hub.v1 import registry_pb2 as pb

from hub.domain.history import HealthEvent
from hub.messages.statuses import status_from, status_to


def event_to(event: HealthEvent) -> pb.HealthEvent:
    """An event on the wire, and as it is kept."""
    return pb.HealthEvent(
        unix_ms=event.unix_ms,
        hub=event.hub,
        status=status_to(event.status),
        reason=event.reason,
        probes=event.probes,
        failed=event.failed,
        slowest_ms=event.slowest_ms,
        last_error=event.last_error,
    )


def event_from(message: pb.HealthEvent, instance_id: str, key: str) -> HealthEvent:
    """An event as it was kept.

    Raises:
        AdmissionError: its status is unknown here: another version of the hub wrote it.
    """
    return HealthEvent(
        key,
        instance_id,
        message.unix_ms,
        message.hub,
        status_from(message.status),
        message.reason,
        message.probes,
        message.failed,
        message.slowest_ms,
        message.last_error,
    )
