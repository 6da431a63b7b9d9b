"""What is wrong with a batch: broken structure ends the stream, bad values are quarantined."""

import math
import operator
from typing import Any

import numpy as np

from mesh.market import Batch

# UPPER_SNAKE reasons of a Quarantine.
NON_FINITE_PRICE = "NON_FINITE_PRICE"
NEGATIVE_PRICE = "NEGATIVE_PRICE"
INVALID_VOLUME = "INVALID_VOLUME"
TIME_NOT_ASCENDING = "TIME_NOT_ASCENDING"

# 2100-01-01: beyond it is no time but a wrong unit, and a cursor there would refuse every tick to come.
_END_OF_TIME_MSC = 4_102_444_800_000
_DAY_MSC = 86_400_000
_FEW = 16


def malformation(batch: Batch) -> str:
    """What breaks the contract, as a sentence; empty when nothing does."""
    for name in ("server", "symbol", "agent"):
        if not getattr(batch, name):
            return f"{name} is not set"
    if batch.prev.time_msc < 0:
        return "prev.time_msc is negative; before the first tick stands 0/0"
    oldest = newest = int(batch.time_msc[0])
    if len(batch) > 1:
        oldest, newest = int(batch.time_msc.min()), int(batch.time_msc.max())
    if oldest <= 0 or newest >= _END_OF_TIME_MSC:
        return "time_msc must be milliseconds since 1970, above 0 and before 2100"
    if oldest // _DAY_MSC != newest // _DAY_MSC and _month(oldest) != _month(newest):
        return "it spans two UTC months; cut it where the month changes"
    return ""


def flaw(batch: Batch) -> str:
    """Why the batch's values can not be stored; empty when they can. Crossed and zero quotes can."""
    if not (len(batch) <= _FEW and _few_are_good(batch)) and not _are_good(batch):
        return _bad_value(batch)
    return "" if _ascends(batch) else TIME_NOT_ASCENDING


def _few_are_good(batch: Batch) -> bool:
    """Cheaper than numpy for so few. A sum is NaN or infinite if any value is, or if they are huge."""
    values = [*batch.bid.tolist(), *batch.ask.tolist(), *batch.last.tolist(), *batch.volume_real.tolist()]
    return bool(sum(values) < math.inf and min(values) >= 0)


def _are_good(batch: Batch) -> bool:
    values = np.concatenate((batch.bid, batch.ask, batch.last, batch.volume_real))
    return bool(0 <= values.min() <= values.max() < np.inf)  # NaN is neither


def _bad_value(batch: Batch) -> str:
    prices = np.concatenate((batch.bid, batch.ask, batch.last))
    if not np.isfinite(prices).all():
        return NON_FINITE_PRICE
    return NEGATIVE_PRICE if (prices < 0).any() else INVALID_VOLUME


def _ascends(batch: Batch) -> bool:
    """Every tick is after the one before it, the first after `prev`."""
    if batch.first_id <= batch.prev:
        return False
    if len(batch) <= _FEW:
        ids = list(zip(batch.time_msc.tolist(), batch.ordinal.tolist(), strict=True))
        return all(map(operator.lt, ids, ids[1:]))
    step: Any = np.diff(batch.time_msc)
    later = step > 0
    return bool(np.all(later | ((step == 0) & (batch.ordinal[1:] > batch.ordinal[:-1]))))


def _month(time_msc: int) -> int:
    return int(np.datetime64(time_msc, "ms").astype("datetime64[M]").astype(np.int64))
