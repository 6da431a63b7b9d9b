"""One symbol's way to one subscriber: each tick once, in order, from the store, from the log, or live.

The cursor is the identity of the last tick that the subscriber got. What comes live is taken while it continues the
cursor. A subscriber that is behind reads the log after its cursor and, where the log begins later, the store.
"""

from dataclasses import dataclass
from enum import Enum, auto

from mesh.market import BEFORE_FIRST, TickId
from services.data_bridge.domain.progress import Standing, compare

# A tick that was heard is in the log by then, or will not be: compare-and-set refused it.
_MOST_LOOKS = 20
_LAST_ORDINAL = 2**32 - 1


class Source(Enum):
    """Where the next ticks come from."""

    LIVE = auto()
    LOG = auto()
    STORE = auto()


def just_before(time_msc: int) -> TickId:
    """The cursor of who wants the ticks from `time_msc` on."""
    return max(BEFORE_FIRST, TickId(time_msc - 1, _LAST_ORDINAL))


@dataclass(slots=True)
class Following:
    """Give it what comes, and hand on what stands NEXT, or the part after the cursor before where it OVERLAPS."""

    cursor: TickId
    source: Source = Source.LIVE
    # The newest that came live and was not taken.
    _heard: TickId = BEFORE_FIRST
    # Where the log begins, behind the cursor; the store is asked for what lies between.
    _hole: TickId = BEFORE_FIRST
    # How often the log's end was reached without what was heard.
    _looks: int = 0

    def keeps(self, last: TickId) -> bool:
        """Whether a live message is to be kept for `live`. Not while the log is far from read."""
        if self.source is Source.LIVE or self._looks:
            return True
        self._heard = max(self._heard, last)
        return False

    def dropped(self, last: TickId) -> None:
        """A live message that was kept is gone."""
        self._fall_behind(last)
        self._looks = 0

    def live(self, prev: TickId, last: TickId, trusted: bool = True) -> Standing:
        """A live message, which may come twice, overlap, or be one that the log refused.

        One that is not `trusted` is looked for in the log.
        """
        standing = compare(prev, last, self.cursor)
        if standing is Standing.AHEAD or (standing is not Standing.OLD and not trusted):
            self._fall_behind(last)
            return Standing.AHEAD
        return self._taken(standing, last)

    def logged(self, prev: TickId, last: TickId) -> Standing:
        """A message of the log, read after the cursor. AHEAD: it begins later; the store is to be asked."""
        standing = compare(prev, last, self.cursor)
        if standing is Standing.AHEAD:
            self.source, self._hole = Source.STORE, prev
        return self._taken(standing, last)

    def log_ended(self) -> bool:
        """Nothing more is in the log; whether this was the end of being behind."""
        self._looks += 1
        if self.cursor < self._heard and self._looks < _MOST_LOOKS:
            return False
        self.source, self._heard, self._looks = Source.LIVE, BEFORE_FIRST, 0
        return True

    def stored(self, last: TickId) -> None:
        """Ticks of the store, read after the cursor, up to `last`."""
        self.cursor = last

    def store_ended(self) -> None:
        """The store has no more: what the log begins behind is nowhere any more."""
        self.cursor = max(self.cursor, self._hole)
        self._hole = BEFORE_FIRST
        self.source = Source.LOG

    def _taken(self, standing: Standing, last: TickId) -> Standing:
        if standing in (Standing.NEXT, Standing.OVERLAPS):
            self.cursor = last
        return standing

    def _fall_behind(self, last: TickId) -> None:
        self._heard = max(self._heard, last)
        if self.source is Source.LIVE:
            self.source = Source.LOG
