"""How many ticks to ask a terminal for at once, so that an order that comes meanwhile waits no more than 5 ms.

A read can not be broken off. A page is as large as the reads before it say can be had in the time.
"""

LEAST_TICKS = 64
# Below what an order may wait: whose account it is has to be asked after the read, too.
READ_NS = 3_000_000
_GROWTH = 1.25


class PageSize:
    """`ticks` now, at most `most`; it shrinks at once and grows slowly."""

    def __init__(self, most: int) -> None:
        self.ticks = most
        self._most = most

    def measured(self, ticks: int, took_ns: int) -> None:
        """A read that asked for so many took so long."""
        if took_ns > READ_NS:
            self.ticks = max(LEAST_TICKS, min(self.ticks, ticks * READ_NS // took_ns))
        elif ticks >= self.ticks:
            fits = ticks * READ_NS // max(took_ns, 1)
            self.ticks = min(self._most, max(self.ticks, min(fits, int(self.ticks * _GROWTH) + 1)))
