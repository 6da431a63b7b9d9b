"""How long ticks were under way, in little space."""

import numpy as np
import numpy.typing as npt

from services.database.domain.tick import Latency

# Buckets grow by 2 %: so exact is a percentile. From a microsecond to a day and more.
_GROWTH = np.log(1.02)
_BUCKETS = 1400
_NS_PER_MS = 1e6


class Delays:
    """A histogram of delays, each counted as often as it had ticks."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BUCKETS, np.int64)

    def add(self, delays_ns: npt.NDArray[np.int64], ticks: npt.NDArray[np.int64]) -> None:
        """`ticks[i]` ticks took `delays_ns[i]`; less than a microsecond (clocks differ) counts as one."""
        places = np.log(np.maximum(delays_ns, 1000) / 1000) / _GROWTH
        np.add.at(self._counts, np.minimum(places.astype(np.int64), _BUCKETS - 1), ticks)

    def latency(self) -> Latency:
        """Percentiles, to 2 %."""
        total = int(self._counts.sum())
        if total == 0:
            return Latency()
        reached = np.cumsum(self._counts)
        places = [int(np.searchsorted(reached, share * total)) for share in (0.5, 0.99)]
        return Latency(*(float(np.exp((place + 0.5) * _GROWTH)) * 1000 / _NS_PER_MS for place in places))
