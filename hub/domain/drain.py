"""A person's order that takes instances out of service."""

from dataclasses import dataclass
from typing import Literal

from hub.domain.status import Status

TargetKind = Literal["instance", "service", "zone"]


@dataclass(frozen=True, slots=True)
class Target:
    """What an order is about."""

    kind: TargetKind
    name: str


@dataclass(frozen=True, slots=True)
class Drain:
    """In force until it is taken back, for instances that come later too. `status` is DRAINING or OUT_OF_SERVICE."""

    target: Target
    status: Status
    reason: str
    by: str
    since_unix_ms: int
