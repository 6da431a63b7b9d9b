"""Bollinger mean reversion: buy below the lower band, sell above the upper one, leave at the middle.

The band of a tick is over the mid prices of the last `lookback` ticks, itself included, with the population's
standard deviation. Ticks without a price on both sides do not count.
"""

from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from mesh.market import Batch, TickId
from services.trading_engine.domain.order import Side
from services.trading_engine.domain.strategies.strategy import Decision

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Bands:
    """Columns of the ticks that have a band; `index` is their place in the batch."""

    batch: Batch
    index: npt.NDArray[np.int64]
    mid: Floats
    middle: Floats
    width: Floats

    def first(self, position: Decimal, start: int = 0) -> Decision | None:
        """See `Readings`."""
        here = int(np.searchsorted(self.index, start))
        mid, middle, width = self.mid[here:], self.middle[here:], self.width[here:]
        if position > 0:
            wanted = mid >= middle
        elif position < 0:
            wanted = mid <= middle
        else:
            wanted = np.abs(mid - middle) > width
        hits = np.flatnonzero(wanted)
        if len(hits) == 0:
            return None
        at = int(hits[0])
        buy = position < 0 if position else bool(mid[at] < middle[at])
        index = int(self.index[here + at])
        tick: TickId = self.batch.id_at(index)
        return Decision(index, tick, Side.BUY if buy else Side.SELL, closing=bool(position))


@dataclass(slots=True)
class Bollinger:
    """One symbol's bands."""

    lookback: int = 20
    deviation: float = 2.0
    _recent: Floats = field(default_factory=lambda: np.empty(0))

    def read(self, batch: Batch) -> Bands:
        """See `Strategy`."""
        priced = np.flatnonzero((batch.bid > 0) & (batch.ask > 0))
        fresh = (batch.bid[priced] + batch.ask[priced]) / 2
        mids = np.concatenate((self._recent, fresh))
        self._recent = mids[max(0, len(mids) - self.lookback + 1) :]
        count = max(0, len(mids) - self.lookback + 1)
        if count == 0:
            none = np.empty(0)
            return Bands(batch, priced[:0], none, none, none)
        # Each row is summed by itself. A running sum would be cheaper, but carries rounding from one tick to the
        # next, and with it the accident of where batches were cut.
        windows = np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(mids, self.lookback))
        return Bands(
            batch,
            priced[-count:],
            mids[-count:],
            windows.mean(axis=1),
            self.deviation * windows.std(axis=1),
        )

    def reset(self) -> None:
        """See `Strategy`."""
        self._recent = np.empty(0)
