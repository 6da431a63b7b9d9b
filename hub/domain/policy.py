"""How calls to a service travel."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Retry:
    """Of idempotent methods only; attempts include the first."""

    max_attempts: int = 3
    base_backoff_ms: int = 25
    max_backoff_ms: int = 250
    retry_on: tuple[str, ...] = ("unavailable",)


@dataclass(frozen=True, slots=True)
class OutlierDetection:
    """When a client process takes an instance out that fails too many of its calls."""

    interval_ms: int
    base_ejection_ms: int
    max_ejection_percent: int
    failure_percent: int
    minimum_hosts: int
    request_volume: int


@dataclass(frozen=True, slots=True)
class Canary:
    """Instances of `version` get the calls that carry `header: value`, and no others."""

    header: str
    value: str
    version: str


@dataclass(frozen=True, slots=True)
class Policy:
    """One service's policy; the defaults are the policy of a service that has none."""

    service: str
    timeout_ms: int = 0
    retry: Retry = field(default_factory=Retry)
    # gRPC's own default, 1024, would refuse a burst that the callee takes easily.
    max_requests: int = 100_000
    outlier_detection: OutlierDetection | None = None
    canary: Canary | None = None
    reason: str = ""
    by: str = ""
    changed_unix_ms: int = 0
