"""A stretch of one symbol's ticks as columns."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from mesh.market.tick import TickId

_DAY_MS = 86_400_000

# Little-endian everywhere: these are the bytes on the wire.
COLUMNS: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {
        "time_msc": np.dtype("<i8"),
        "ordinal": np.dtype("<u4"),
        "bid": np.dtype("<f8"),
        "ask": np.dtype("<f8"),
        "last": np.dtype("<f8"),
        "volume_real": np.dtype("<f8"),
        "volume": np.dtype("<u8"),
        "flags": np.dtype("<u4"),
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Consecutive ticks of one (server, symbol); every column has the same length, at least 1.

    `prev` is the identity of the tick before the first; `read_unix_ns` when the agent read the newest; `generation`
    is above 0 in corrections.
    """

    server: str
    symbol: str
    agent: str
    read_unix_ns: int
    prev: TickId
    time_msc: npt.NDArray[np.int64]
    ordinal: npt.NDArray[np.uint32]
    bid: npt.NDArray[np.float64]
    ask: npt.NDArray[np.float64]
    last: npt.NDArray[np.float64]
    volume_real: npt.NDArray[np.float64]
    volume: npt.NDArray[np.uint64]
    flags: npt.NDArray[np.uint32]
    generation: int = 0

    def __len__(self) -> int:
        return len(self.time_msc)

    def id_at(self, index: int) -> TickId:
        return TickId(int(self.time_msc[index]), int(self.ordinal[index]))

    @property
    def first_id(self) -> TickId:
        return self.id_at(0)

    @property
    def last_id(self) -> TickId:
        return self.id_at(-1)

    def columns(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in COLUMNS}

    def slice(self, start: int, stop: int) -> "Batch":
        """Ticks `start` to `stop` (exclusive); `prev` follows."""
        prev = self.prev if start == 0 else self.id_at(start - 1)
        return replace(self, prev=prev, **{name: column[start:stop] for name, column in self.columns().items()})

    def index_after(self, tick: TickId) -> int:
        """How many ticks here are not after `tick`."""
        return index_after(self.time_msc, self.ordinal, tick)

    def after(self, tick: TickId) -> "Batch | None":
        """The ticks after `tick`; None when there are none."""
        start = self.index_after(tick)
        return None if start == len(self) else self.slice(start, len(self))

    def chunks(self, size: int) -> "Iterator[Batch]":
        """Consecutive pieces of at most `size` ticks."""
        for start in range(0, len(self), size):
            yield self.slice(start, min(start + size, len(self)))

    def by_month(self) -> "Iterator[Batch]":
        """Pieces of which none spans a UTC month."""
        months = self.time_msc.astype("datetime64[ms]").astype("datetime64[M]")
        cuts = np.flatnonzero(months[1:] != months[:-1]) + 1
        edges = [0, *cuts.tolist(), len(self)]
        for start, stop in itertools.pairwise(edges):
            yield self.slice(start, stop)

    @property
    def month(self) -> int:
        """Months since 1970 of the first tick."""
        return _month(int(self.time_msc[0]) // _DAY_MS)

    @property
    def last_month(self) -> int:
        """Months since 1970 of the last tick."""
        return _month(int(self.time_msc[-1]) // _DAY_MS)

    @staticmethod
    def join(batches: "Sequence[Batch]") -> "Batch":
        """One batch of several that follow on each other; the newest reading time stands for all."""
        head = batches[0]
        if len(batches) == 1:
            return head
        merged: dict[str, Any] = {name: np.concatenate([getattr(b, name) for b in batches]) for name in COLUMNS}
        return replace(head, agent=batches[-1].agent, read_unix_ns=batches[-1].read_unix_ns, **merged)


@lru_cache(maxsize=4096)
def _month(day: int) -> int:
    """Months since 1970, of days since 1970. Remembered: batches of one tick ask for it ten thousand times a second."""
    return int(np.datetime64(day, "D").astype("datetime64[M]").astype(np.int64))


def index_after(time_msc: npt.NDArray[np.int64], ordinal: npt.NDArray[np.uint32], tick: TickId) -> int:
    """How many of the ticks, which ascend, are not after `tick`."""
    at = int(np.searchsorted(time_msc, tick.time_msc, side="left"))
    same = int(np.searchsorted(time_msc, tick.time_msc, side="right"))
    return at + int(np.searchsorted(ordinal[at:same], tick.ordinal, side="right"))


def ordinals(time_msc: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
    """Each tick's place among those that share its millisecond; `time_msc` ascends and begins a millisecond."""
    starts = np.r_[True, time_msc[1:] != time_msc[:-1]]
    index = np.arange(len(time_msc))
    return np.asarray(index - np.maximum.accumulate(np.where(starts, index, 0)), dtype=np.uint32)
