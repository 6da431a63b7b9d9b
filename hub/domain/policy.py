"""How calls to a service travel."""

import re
from dataclasses import dataclass, field
from functools import lru_cache

from hub.domain.admission import MAX_TEXT, SERVICE_NAME, AdmissionError

MAX_ATTEMPTS = 5
"""gRPC's clients make no more."""

_RETRY_ON = ("cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable")
_HEADER = re.compile(r"[a-z0-9][a-z0-9_.-]{0,127}")
_HEADER_VALUE = re.compile(r"[!-~]([ -~]{0,254}[!-~])?")
_OF_GRPC_ITSELF = ("content-type", "host", "te", "user-agent")
_HOUR_MS = 3_600_000


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


@lru_cache(maxsize=16_384)
def default_policy(service: str) -> Policy:
    """The policy of a service that has none; the same object each time."""
    return Policy(service)


def admit_policy(policy: Policy) -> None:
    """Check a policy.

    Raises:
        AdmissionError: naming the field, and what it may be.
    """
    if not SERVICE_NAME.fullmatch(policy.service):
        raise AdmissionError(f"service {policy.service[:128]!r}: 1-63 lower-case letters, digits, '-'; a letter first")
    _within("timeout_ms", policy.timeout_ms, 0, _HOUR_MS)
    _within("max_requests", policy.max_requests, 1, 1_000_000)
    for what, text in (("reason", policy.reason), ("by", policy.by)):
        if len(text) > MAX_TEXT:
            raise AdmissionError(f"{what} is longer than {MAX_TEXT} characters")
    _retry(policy.retry)
    if policy.outlier_detection is not None:
        _outlier_detection(policy.outlier_detection)
    if policy.canary is not None:
        _canary(policy.canary)


def _retry(retry: Retry) -> None:
    _within("retry.max_attempts", retry.max_attempts, 1, MAX_ATTEMPTS)
    _within("retry.base_backoff_ms", retry.base_backoff_ms, 1, 60_000)
    _within("retry.max_backoff_ms", retry.max_backoff_ms, retry.base_backoff_ms, 600_000)
    for name in retry.retry_on:
        if name not in _RETRY_ON:
            raise AdmissionError(f"retry.retry_on: {name[:64]!r} is none of {', '.join(_RETRY_ON)}")
    if len(set(retry.retry_on)) != len(retry.retry_on):
        raise AdmissionError("retry.retry_on lists a status twice")


def _outlier_detection(outlier: OutlierDetection) -> None:
    _within("outlier_detection.interval_ms", outlier.interval_ms, 100, _HOUR_MS)
    _within("outlier_detection.base_ejection_ms", outlier.base_ejection_ms, 100, _HOUR_MS)
    _within("outlier_detection.max_ejection_percent", outlier.max_ejection_percent, 1, 100)
    _within("outlier_detection.failure_percent", outlier.failure_percent, 1, 100)
    _within("outlier_detection.minimum_hosts", outlier.minimum_hosts, 1, 10_000)
    _within("outlier_detection.request_volume", outlier.request_volume, 1, 1_000_000)


def _canary(canary: Canary) -> None:
    header = canary.header
    if not _HEADER.fullmatch(header) or header.endswith("-bin"):
        raise AdmissionError(
            f"canary.header {header[:64]!r}: 1-128 lower-case letters, digits, '-', '_', '.'; not ending in -bin"
        )
    if header.startswith("grpc-") or header in _OF_GRPC_ITSELF:
        raise AdmissionError(f"canary.header {header!r} is gRPC's own; choose another, like x-canary")
    if not _HEADER_VALUE.fullmatch(canary.value):
        raise AdmissionError("canary.value: 1-256 printable ASCII characters, no space at its ends")
    if not 0 < len(canary.version) <= MAX_TEXT:
        raise AdmissionError(f"canary.version: 1-{MAX_TEXT} characters, as its instances register it")


def _within(what: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise AdmissionError(f"{what} {value} is not within {least} to {most}")
