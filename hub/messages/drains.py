"""People's orders between the wire and the domain."""

from typing import cast

from suho.hub.v1 import registry_pb2 as pb

from hub.domain.admission import AdmissionError
from hub.domain.drain import Drain, Target, TargetKind
from hub.messages.statuses import status_from, status_to


def target_from(message: pb.DrainTarget) -> Target:
    """What an order is about.

    Raises:
        AdmissionError: nothing is named.
    """
    kind = message.WhichOneof("kind")
    name = getattr(message, kind) if kind else ""
    if not name:
        raise AdmissionError("name an instance, a service or a zone")
    return Target(cast(TargetKind, kind), name)


def target_to(target: Target) -> pb.DrainTarget:
    """A target on the wire."""
    return pb.DrainTarget(**{target.kind: target.name})


def drain_from(message: pb.Drain) -> Drain:
    """An order as a hub wrote it.

    Raises:
        AdmissionError: target or status is missing or unknown.
    """
    return Drain(
        target_from(message.target), status_from(message.status), message.reason, message.by, message.since_unix_ms
    )


def drain_to(drain: Drain, revision: int = 0) -> pb.Drain:
    """An order on the wire, with the store's revision where it is known."""
    return pb.Drain(
        target=target_to(drain.target),
        status=status_to(drain.status),
        reason=drain.reason,
        by=drain.by,
        since_unix_ms=drain.since_unix_ms,
        revision=revision,
    )
