"""How long something took, over many times."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True)
class Spread:
    """Milliseconds; by nearest rank, so that each is one that happened."""

    p50_ms: float
    p99_ms: float
    samples: int


def spread(took_ns: Sequence[int]) -> Spread:
    """Of at least one sample, in nanoseconds."""
    ordered = sorted(took_ns)
    p50, p99 = (ordered[ceil(share * len(ordered)) - 1] / 1e6 for share in (0.5, 0.99))
    return Spread(p50, p99, len(ordered))
