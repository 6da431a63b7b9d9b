"""The tick export of an MT5 terminal: tab-separated, broker server time, a field empty where it did not change."""

from collections.abc import Sequence

import numpy as np

from pc_agent.twin.domain.columns import Column, Decimals, carried, clock_ms, days, decimals, require
from pc_agent.twin.domain.ticks import TICK_DTYPE, ParsedTicks

EXPORT_COLUMNS = (b"<DATE>", b"<TIME>", b"<BID>", b"<ASK>", b"<LAST>", b"<VOLUME>", b"<FLAGS>")
_DAY_MS = 86_400_000


def export_ticks(columns: Sequence[Column]) -> ParsedTicks:
    """Ticks of these columns. An empty BID, ASK or LAST is that of the line above; an empty VOLUME is none.

    Raises:
        MalformedRowError: naming row and what was expected there.
    """
    date, time, bid, ask, last, volume, flags = columns
    expected = "<DATE> as YYYY.MM.DD"
    require(date.end - date.start == len("YYYY.MM.DD"), expected)
    day = days(date, expected, b".")
    time_msc = day * _DAY_MS + clock_ms(time, "<TIME> as HH:MM:SS[.fraction]")
    bids, asks = (_side(side) for side in (bid, ask))
    lasts = decimals(carried(last), "<LAST> as a decimal number or nothing", empty_is_zero=True)
    volumes = decimals(volume, "<VOLUME> as a decimal number or nothing", empty_is_zero=True)
    bits = decimals(flags, "<FLAGS> as a whole number")
    require((bits.places == 0) & (bits.mantissa < 2**32), "<FLAGS> as a whole number")
    ticks = np.zeros(len(time_msc), TICK_DTYPE)
    ticks["time"], ticks["time_msc"] = time_msc // 1000, time_msc
    ticks["bid"], ticks["ask"], ticks["last"] = bids.floats(), asks.floats(), lasts.floats()
    ticks["volume"], ticks["volume_real"] = volumes.floor(), volumes.floats()
    ticks["flags"] = bits.mantissa
    return ParsedTicks(ticks, int(max(side.places.max() for side in (bids, asks, lasts))))


def _side(column: Column) -> Decimals:
    known = carried(column)
    require(known.end > known.start, "<BID> and <ASK> both in the first line")
    side = decimals(known, "<BID> and <ASK> as decimal numbers or nothing")
    require(side.mantissa > 0, "<BID> and <ASK> above zero")
    return side
