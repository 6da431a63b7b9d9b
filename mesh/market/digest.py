"""What a stretch of ticks amounts to: equal in the agent, in the log and in ClickHouse (docs/protocol.md, "Digest").

Each tick is hashed by its columns in DIGEST_COLUMNS' order; a digest is their number and the sum of their hashes
modulo 2^64, so the order in which they come and how they are cut does not matter, a tick that comes twice does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

DIGEST_COLUMNS = ("time_msc", "ordinal", "bid", "ask", "last", "volume_real", "volume", "flags")
# splitmix64's second multiplier (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
MULTIPLIER = 0x94D049BB133111EB
SHIFT = 32


@dataclass(frozen=True, slots=True)
class Digest:
    """Of the server times [from_msc, to_msc)."""

    from_msc: int
    to_msc: int
    count: int
    hash: int


def tick_hashes(columns: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.uint64]:
    """Each tick's hash: for each column h = (h xor its 64 bits) * MULTIPLIER, then h = h xor (h >> SHIFT)."""
    hashes = np.zeros(len(columns["time_msc"]), np.uint64)
    for name in DIGEST_COLUMNS:
        hashes = (hashes ^ _bits(columns[name])) * np.uint64(MULTIPLIER)
        hashes ^= hashes >> np.uint64(SHIFT)
    return hashes


def digests(columns: Mapping[str, npt.NDArray[Any]], from_msc: int, to_msc: int, bucket_ms: int) -> list[Digest]:
    """One digest for each bucket of [from_msc, to_msc), empty ones too; ticks outside are left out."""
    buckets = -(-(to_msc - from_msc) // bucket_ms)
    inside = (columns["time_msc"] >= from_msc) & (columns["time_msc"] < to_msc)
    kept = {name: columns[name][inside] for name in DIGEST_COLUMNS}
    places = (kept["time_msc"] - from_msc) // bucket_ms
    counts = np.bincount(places, minlength=buckets)
    sums = np.zeros(buckets, np.uint64)
    np.add.at(sums, places, tick_hashes(kept))
    edges = [*range(from_msc, to_msc, bucket_ms), to_msc]
    return [Digest(edges[place], edges[place + 1], int(counts[place]), int(sums[place])) for place in range(buckets)]


def add(one: Digest, other: Digest) -> Digest:
    """Two parts of the same range."""
    return replace(one, count=one.count + other.count, hash=(one.hash + other.hash) % 2**64)


def _bits(column: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """The values as 64 bits: floats as they are stored (with -0.0 as 0.0), numbers widened."""
    if column.dtype.kind == "f":
        return (column.astype("<f8") + 0.0).view(np.uint64)
    return column.astype(np.uint64)
