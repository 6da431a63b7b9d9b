"""What probes say of an instance."""

from dataclasses import dataclass
from enum import StrEnum


class ProbeKind(StrEnum):
    """How to ask whether something works."""

    NONE = "NONE"
    GRPC = "GRPC"
    TCP = "TCP"
    HTTP = "HTTP"
    POSTGRES = "POSTGRES"
    CLICKHOUSE = "CLICKHOUSE"
    REDIS = "REDIS"
    NATS = "NATS"
    KAFKA = "KAFKA"


@dataclass(frozen=True, slots=True)
class Probe:
    """What to ask, at which of the instance's addresses (empty: the first), and what for (HTTP path, gRPC service)."""

    kind: ProbeKind
    address_name: str = ""
    path: str = ""


class Verdict(StrEnum):
    """What the probes of late amount to."""

    UNKNOWN = "UNKNOWN"
    PASSING = "PASSING"
    FAILING = "FAILING"
    FLAPPING = "FLAPPING"


@dataclass(frozen=True, slots=True)
class Health:
    """The verdict, since when it stands, and the newest failure; FLAPPING holds until `held_until_unix_ms`."""

    verdict: Verdict = Verdict.UNKNOWN
    last_error: str = ""
    since_unix_ms: int = 0
    held_until_unix_ms: int = 0
