"""Batches for tests."""

import itertools
from collections.abc import Sequence

import numpy as np

from mesh.market import BEFORE_FIRST, Batch
from mesh.market.batch import ordinals


def batch_of(mids: Sequence[float], *, start_msc: int = 1_000, step_msc: int = 1, spread: float = 0.0) -> Batch:
    """One tick every `step_msc` (0: all share a millisecond) around each mid price."""
    count = len(mids)
    time_msc = start_msc + step_msc * np.arange(count, dtype=np.int64)
    prices = np.asarray(mids, dtype=np.float64)
    zeros = np.zeros(count)
    return Batch(
        server="twin-7",
        symbol="EURUSD",
        agent="agent",
        read_unix_ns=0,
        prev=BEFORE_FIRST,
        time_msc=time_msc,
        ordinal=ordinals(time_msc),
        bid=prices - spread / 2,
        ask=prices + spread / 2,
        last=zeros,
        volume_real=zeros,
        volume=zeros.astype(np.uint64),
        flags=zeros.astype(np.uint32),
    )


def cut(batch: Batch, at: Sequence[int]) -> list[Batch]:
    """The batch cut before each of these places."""
    edges = sorted({0, len(batch), *(place for place in at if 0 < place < len(batch))})
    return [batch.slice(start, stop) for start, stop in itertools.pairwise(edges)]
