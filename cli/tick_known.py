"""Which of a file's ticks are stored already."""

from typing import Any

import numpy as np
import numpy.typing as npt

from cli.tick_parquet import Columns
from mesh.market.digest import tick_hashes


class Known:
    """Ticks that are stored: of each identity one value, which an import never replaces."""

    def __init__(self) -> None:
        self._places = np.zeros(0, np.int64)
        self._hashes = np.zeros(0, np.uint64)
        self.same = 0
        self.different = 0

    def learn(
        self, time_msc: npt.NDArray[np.int64], ordinal: npt.NDArray[np.uint32], hashes: npt.NDArray[np.uint64]
    ) -> None:
        self._places, first = np.unique(_places(time_msc, ordinal), return_index=True)
        self._hashes = hashes[first]

    def missing(self, columns: Columns) -> dict[str, npt.NDArray[Any]]:
        """Those of `columns` that are not stored; the others are counted."""
        places = _places(columns["time_msc"], columns["ordinal"])
        at = np.minimum(np.searchsorted(self._places, places), max(len(self._places) - 1, 0))
        held = self._places[at] == places if len(self._places) else np.zeros(len(places), np.bool_)
        same = int((self._hashes[at[held]] == tick_hashes(columns)[held]).sum())
        self.same += same
        self.different += int(held.sum()) - same
        return {name: column[~held] for name, column in columns.items()}


def _places(time_msc: npt.NDArray[np.int64], ordinal: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
    """Identities as one number each: no millisecond holds a million ticks."""
    return time_msc * (1 << 20) + ordinal
