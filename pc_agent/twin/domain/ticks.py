"""Ticks as a terminal stores and hands them out: records of 60 bytes, ordered by time."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pc_agent.twin.constants import TICK_FLAG_ASK, TICK_FLAG_BID

TICK_DTYPE = np.dtype(
    [
        ("time", "<i8"),
        ("bid", "<f8"),
        ("ask", "<f8"),
        ("last", "<f8"),
        ("volume", "<u8"),
        ("time_msc", "<i8"),
        ("flags", "<u4"),
        ("volume_real", "<f8"),
    ]
)

Ticks = NDArray[np.void]  # one dimension, TICK_DTYPE


@dataclass(frozen=True)
class ParsedTicks:
    """A whole file: its ticks in order and the most decimals any of its prices has."""

    ticks: Ticks
    digits: int


def quotes_to_ticks(time_msc: NDArray[np.int64], bid: NDArray[np.float64], ask: NDArray[np.float64]) -> Ticks:
    """Records of these columns; the flags say which side changed, both where neither did."""
    ticks = np.zeros(len(time_msc), TICK_DTYPE)
    ticks["time"] = time_msc // 1000
    ticks["time_msc"] = time_msc
    ticks["bid"], ticks["ask"] = bid, ask
    ticks["flags"] = TICK_FLAG_BID | TICK_FLAG_ASK
    bid_moved, ask_moved = bid[1:] != bid[:-1], ask[1:] != ask[:-1]
    flags = ticks["flags"][1:]
    flags[bid_moved & ~ask_moved] = TICK_FLAG_BID
    flags[ask_moved & ~bid_moved] = TICK_FLAG_ASK
    return ticks


# Bisection reads twenty records; numpy's searchsorted would first copy the whole strided column.


def first_at(ticks: Ticks, time_msc: int, hi: int | None = None) -> int:
    """Index of the first tick at or after `time_msc`."""
    return bisect_left(ticks["time_msc"], time_msc, 0, len(ticks) if hi is None else hi)


def first_after(ticks: Ticks, time_msc: int, lo: int = 0) -> int:
    """Index of the first tick after `time_msc`."""
    return bisect_right(ticks["time_msc"], time_msc, lo)
