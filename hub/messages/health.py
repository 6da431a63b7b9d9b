"""Probes and what they say, between the wire and the domain."""

from suho.hub.v1 import registry_pb2 as pb

from hub.domain.admission import AdmissionError
from hub.domain.health import Health, Probe, ProbeKind, Verdict

_KIND = "PROBE_KIND_"
_VERDICT = "HEALTH_VERDICT_"


def probe_from(message: pb.Probe) -> Probe:
    """How to ask.

    Raises:
        AdmissionError: its kind is not set or unknown.
    """
    name = pb.ProbeKind.Name(message.kind) if message.kind in pb.ProbeKind.values() else str(message.kind)
    if name.removeprefix(_KIND) not in ProbeKind.__members__:
        known = ", ".join(ProbeKind)
        raise AdmissionError(f"probe kind {name} says nothing; leave the probe out, or set one of {known}")
    return Probe(ProbeKind[name.removeprefix(_KIND)], message.address_name, message.path)


def probe_to(probe: Probe) -> pb.Probe:
    """A probe on the wire."""
    return pb.Probe(kind=pb.ProbeKind.Value(_KIND + probe.kind), address_name=probe.address_name, path=probe.path)


def health_from(message: pb.Health) -> Health:
    """What a hub wrote; UNKNOWN where nothing (that is known here) stands."""
    known = message.verdict in pb.HealthVerdict.values() and message.verdict != pb.HEALTH_VERDICT_UNSPECIFIED
    verdict = Verdict[pb.HealthVerdict.Name(message.verdict).removeprefix(_VERDICT)] if known else Verdict.UNKNOWN
    return Health(verdict, message.last_error, message.since_unix_ms, message.held_until_unix_ms)


def health_to(health: Health) -> pb.Health:
    """A verdict on the wire."""
    return pb.Health(
        verdict=pb.HealthVerdict.Value(_VERDICT + health.verdict),
        last_error=health.last_error,
        since_unix_ms=health.since_unix_ms,
        held_until_unix_ms=health.held_until_unix_ms,
    )
