"""Reading a terminal's ticks so that none is missed and none comes twice.

A terminal is asked in whole seconds and answers with at most so many ticks: ask from the cursor's second for more
than was seen of it, drop what was seen, and ask for more still while a full page brings nothing new. A page begins
with a second, hence with a millisecond: ordinals come out the same however often it is read.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mesh.market import TickId
from mesh.market.batch import COLUMNS, index_after, ordinals
from mesh.market.tick import FLAG_MASK

# Two full messages of a lane.
PAGE_TICKS = 4_000
# What the log and the store can hold: after 1970, before 2100. A tick of another time is refused.
FIRST_MSC, END_MSC = 1, 4_102_444_800_000

Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Anchor:
    """What the terminal's history holds at the place from which reading began; `present` False: no such tick."""

    present: bool
    bid: float
    ask: float


@dataclass(frozen=True, slots=True, eq=False)
class Progress:
    """What one page brought: `columns` of the new ticks (None: none), and whether another read may bring more.

    `refused`: ticks among the new ones whose time is impossible.
    """

    columns: Columns | None
    more: bool
    refused: int = 0


class TickCursor:
    """Reads one symbol on from `after`.

    The caller reads `count` ticks from second `from_s` on, hands them to `accept`, and again.
    """

    def __init__(self, after: TickId, page_ticks: int = PAGE_TICKS) -> None:
        self.after = after
        # New ones that a read is to bring; may be changed between two.
        self.page_ticks = page_ticks
        self.anchor: Anchor | None = None
        self._origin = after
        self._seen = 0  # ticks of the cursor's second, which come again
        self._growth = 1  # of the page, while it brings nothing new

    @property
    def count(self) -> int:
        return self.page_ticks * self._growth + 2 * self._seen

    @property
    def from_s(self) -> int:
        """Never 0: terminals take it for a default; never beyond what is a date."""
        return min(max(1, self.after.time_msc // 1000), END_MSC // 1000)

    def accept(self, page: npt.NDArray[Any], limit: int) -> Progress:
        """Take at most `limit` new ticks from what the terminal answered (its own record layout, time ascending)."""
        if self._is_seen(page):
            return Progress(None, False)
        full = len(page) >= self.count
        places = np.flatnonzero((page["time_msc"] >= FIRST_MSC) & (page["time_msc"] < END_MSC))
        columns = columns_of(page if len(places) == len(page) else page[places])
        self._note_anchor(columns)
        start = index_after(columns["time_msc"], columns["ordinal"], self.after)
        stop = min(start + limit, len(places))
        if start == stop:
            if full and start == len(places):
                self._growth *= 2
            return Progress(None, full and limit > 0)
        refused = int(places[stop - 1]) + 1 - stop - (int(places[start - 1]) + 1 - start if start else 0)
        self.after = TickId(int(columns["time_msc"][stop - 1]), int(columns["ordinal"][stop - 1]))
        second = self.after.time_msc // 1000 * 1000
        self._seen = stop - int(np.searchsorted(columns["time_msc"], second))
        self._growth = 1
        more = full or stop < len(places)
        return Progress({name: column[start:stop] for name, column in columns.items()}, more, refused)

    def _is_seen(self, page: npt.NDArray[Any]) -> bool:
        """No more than the ticks of the cursor's second that were seen: what most looks at a quiet symbol bring."""
        if self.anchor is None or len(page) > self._seen:
            return False
        return not len(page) or int(page["time_msc"].max()) <= self.after.time_msc

    def _note_anchor(self, columns: Columns) -> None:
        if self.anchor is not None:
            return
        index = index_after(columns["time_msc"], columns["ordinal"], self._origin)
        at = index - 1
        if at >= 0 and (columns["time_msc"][at], columns["ordinal"][at]) == self._origin:
            self.anchor = Anchor(True, float(columns["bid"][at]), float(columns["ask"][at]))
        elif index < len(columns["time_msc"]):  # history goes on behind the place: it is not merely still loading
            self.anchor = Anchor(False, 0.0, 0.0)


def columns_of(page: npt.NDArray[Any]) -> Columns:
    """The contract's columns of a page that begins with a second; flags reduced to the documented ones."""
    time_msc = page["time_msc"]
    if np.any(time_msc[1:] < time_msc[:-1]):
        page = page[np.argsort(time_msc, kind="stable")]
        time_msc = page["time_msc"]
    given: Columns = {
        "time_msc": time_msc,
        "ordinal": ordinals(time_msc) if len(page) else np.empty(0, np.uint32),
        "flags": page["flags"] & np.uint32(FLAG_MASK),
        **{name: page[name] for name in ("bid", "ask", "last", "volume_real", "volume")},
    }
    return {name: np.ascontiguousarray(given[name], dtype=dtype) for name, dtype in COLUMNS.items()}
