"""Which tick of a (server, symbol): design section 5."""

from typing import NamedTuple

# TICK_FLAG_BID … TICK_FLAG_SELL; live terminals set undocumented higher bits.
FLAG_MASK = 0x7E


class TickId(NamedTuple):
    """Server time in milliseconds, and the place among the ticks that share it. Ordered by both."""

    time_msc: int
    ordinal: int


BEFORE_FIRST = TickId(0, 0)
