"""Made-up ticks."""

from typing import Any

import numpy as np

from mesh.market import BEFORE_FIRST, Batch, TickId
from mesh.market.batch import ordinals
from services.data_bridge import wire
from services.data_bridge.domain import judgement
from services.data_bridge.domain.progress import Arrival

# 2026-03-02
START_MSC = 1_772_409_600_000


def history(count: int, start_msc: int = START_MSC, prev: TickId = BEFORE_FIRST, **columns: Any) -> Batch:
    """`count` ticks of EURUSD, two to a millisecond."""
    time_msc = start_msc + np.arange(count) // 2
    given: dict[str, Any] = {
        "time_msc": time_msc,
        "ordinal": ordinals(time_msc),
        "bid": np.full(count, 1.1),
        "ask": np.full(count, 1.2),
        "last": np.zeros(count),
        "volume_real": np.zeros(count),
        "volume": np.zeros(count, np.uint64),
        "flags": np.full(count, 6, np.uint32),
        **columns,
    }
    return Batch("twin-1", "EURUSD", "pc-1", 1, prev, **given)


def arrival(batch: Batch) -> Arrival:
    return Arrival(batch, wire.payload(batch), judgement.flaw(batch))


def identities(*batches: Batch) -> list[TickId]:
    return [batch.id_at(index) for batch in batches for index in range(len(batch))]
