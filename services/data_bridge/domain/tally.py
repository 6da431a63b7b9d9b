"""How many ticks of a symbol were seen up to which one, for comparison with what its agent counted."""

from bisect import bisect_left, bisect_right
from operator import itemgetter

from mesh.market import BEFORE_FIRST, TickId
from services.data_bridge.domain.terminal import SymbolCount

# Places are kept from the last count on; if counts stay away the older of them are forgotten.
_MOST_PLACES = 512
_MOST_COUNTS = 64


class Tally:
    """Sees ticks from where it was restarted. A count that ends inside a batch gets the benefit of the doubt."""

    def __init__(self) -> None:
        # The ticks seen up to (and with) each identity, ascending.
        self._places: list[tuple[TickId, int]] = [(BEFORE_FIRST, 0)]
        self._counts: list[SymbolCount] = []

    def restart(self, at: TickId) -> None:
        """What was seen before does not reach to `at`."""
        self._places = [(at, 0)]
        self._counts = []

    def saw(self, last: TickId, ticks: int) -> None:
        """The next `ticks`, up to `last`."""
        self._places.append((last, self._places[-1][1] + ticks))
        if len(self._places) > _MOST_PLACES:
            del self._places[1 : _MOST_PLACES // 2]

    def count(self, count: SymbolCount) -> None:
        """What the agent counted; of ticks, perhaps, that are still to come."""
        self._counts = [*self._counts, count][-_MOST_COUNTS:]

    def differences(self) -> list[tuple[SymbolCount, int]]:
        """The counts that can be compared by now and differ: by how many ticks more the agent counted."""
        if not self._counts:
            return []
        newest = self._places[-1][0]
        due = [count for count in self._counts if count.until <= newest]
        self._counts = [count for count in self._counts if count.until > newest]
        found = [(count, self._compare(count)) for count in due]
        return [(count, difference) for count, difference in found if difference]

    def _compare(self, count: SymbolCount) -> int:
        if count.after < self._places[0][0]:
            return 0  # it begins with ticks that others saw
        first, begun = self._around(count.after)
        least, most = self._around(count.until)
        del self._places[: max(bisect_right(self._places, count.until, key=itemgetter(0)) - 1, 0)]
        return max(count.count - (most - first), 0) or min(count.count - (least - begun), 0)

    def _around(self, tick: TickId) -> tuple[int, int]:
        """How many were seen up to `tick`: at least, at most. Equal where a batch ended there."""
        below = bisect_right(self._places, tick, key=itemgetter(0)) - 1
        above = bisect_left(self._places, tick, key=itemgetter(0))
        return self._places[below][1], self._places[min(above, len(self._places) - 1)][1]
