"""Bars of stored ticks: time bars out of bars_m1, others through the builder, a day at a time."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mesh.market.bars import (
    BAR_COLUMNS,
    DAY_MS,
    FIXED_MS,
    MONTH,
    WEEK,
    WEEK_MS,
    WEEK_OFFSET_MS,
    BarBuilder,
    Bars,
    Cut,
    TimeCut,
)
from services.database.clickhouse.client import ClickHouse
from services.database.clickhouse.history import TickHistory
from services.database.domain.span import END_MSC, Span

_PAGE = 20_000
_ROW: np.dtype[Any] = np.dtype(list(BAR_COLUMNS.items()))
# No bar is longer.
_LONGEST_MS = 31 * DAY_MS

_BUCKETS = {
    **{name: f"intDiv(open_msc, {size}) * {size}" for name, size in FIXED_MS.items()},
    WEEK: f"intDiv(open_msc + {WEEK_OFFSET_MS}, {WEEK_MS}) * {WEEK_MS} - {WEEK_OFFSET_MS}",
    MONTH: "toInt64(toUnixTimestamp(toDateTime("
    "toStartOfMonth(fromUnixTimestamp64Milli(open_msc, 'UTC')), 'UTC'))) * 1000",
}
_OF = " WHERE server = {server:String} AND symbol = {symbol:String} AND ticks > 0"
_BARS = (
    "SELECT toInt64(%(bucket)s) AS bucket, max(m.close_msc), argMin(m.open, m.open_msc), max(m.high), min(m.low),"
    " argMax(m.close, m.open_msc), sum(m.ticks), sum(m.volume), if(isInfinite(min(m.spread_min)), 0,"
    " min(m.spread_min)), if(isInfinite(argMax(m.spread_close, m.open_msc)), 0, argMax(m.spread_close, m.open_msc))"
    f" FROM bars_m1 AS m FINAL{_OF} AND open_msc >= {{from_msc:Int64}} AND open_msc < {{last_msc:Int64}}"
    " GROUP BY bucket HAVING bucket >= {from_msc:Int64} AND bucket < {to_msc:Int64}"
    " ORDER BY bucket %(order)s LIMIT {limit:UInt64}"
)
_NEWEST = f"SELECT max(open_msc) AS open_msc FROM bars_m1 FINAL{_OF}"
_DAYS = (
    f"SELECT DISTINCT intDiv(open_msc, {DAY_MS}) * {DAY_MS} AS day FROM bars_m1 FINAL{_OF}"
    f" AND open_msc >= {{from_msc:Int64}} AND open_msc < {{to_msc:Int64}} ORDER BY day"
)

Settle = Callable[[str, str], Awaitable[None]]


@dataclass(frozen=True, slots=True, eq=False)
class _Quotes:
    """A page of ticks, for the builder."""

    time_msc: Any
    bid: Any
    ask: Any
    last: Any
    volume_real: Any
    volume: Any


class StoredBars:
    """Reads bars, late ticks included.

    Args:
        settle: Brings bars_m1 up to date for a (server, symbol).
    """

    def __init__(self, clickhouse: ClickHouse, history: TickHistory, settle: Settle) -> None:
        self._clickhouse = clickhouse
        self._history = history
        self._settle = settle

    async def read(self, span: Span, cut: Cut) -> AsyncIterator[Bars]:
        """Pages of the bars that open in the span's range, in order; `span.limit` negative: the last so many.

        Raises:
            MeshError: ENGINE_UNAVAILABLE.
        """
        await self._settle(span.server, span.symbol)
        newest = await self._clickhouse.rows(_NEWEST, server=span.server, symbol=span.symbol)
        pages = self._time_bars(span, cut) if isinstance(cut, TimeCut) else self._built(span, cut)
        async for page in pages:
            yield replace(page, last_closed=page.last_closed or _ended(page, cut, newest[0]["open_msc"]))

    async def _time_bars(self, span: Span, cut: TimeCut) -> AsyncIterator[Bars]:
        if span.limit < 0:
            found = await self._page(span, cut, "DESC", -span.limit)
            if len(found):
                yield _bars(found[::-1])
            return
        left = span.limit
        while True:
            size = min(_PAGE, left or _PAGE)
            rows = await self._page(span, cut, "ASC", size)
            if len(rows):
                yield _bars(rows)
            if len(rows) < size or left == size:
                return
            span = replace(span, from_msc=int(rows["open_msc"][-1]) + 1)
            left -= size if left else 0

    async def _page(self, span: Span, cut: TimeCut, order: str, limit: int) -> Any:
        return await self._clickhouse.records(
            _BARS % {"bucket": _BUCKETS[cut.timeframe], "order": order},
            _ROW,
            server=span.server,
            symbol=span.symbol,
            from_msc=span.from_msc,
            to_msc=span.to_msc,
            last_msc=min(span.to_msc, END_MSC - _LONGEST_MS) + _LONGEST_MS,
            limit=limit,
        )

    async def _built(self, span: Span, cut: Cut) -> AsyncIterator[Bars]:
        """Day by day, each of which begins anew; from the last one when the last bars are asked for."""
        days = await self._days(span)
        left = abs(span.limit)
        if span.limit >= 0:
            for day in days:
                bars = await self._day(span, cut, day)
                bars = bars.slice(0, left or len(bars))
                if len(bars):
                    yield replace(bars, last_closed=bars.last_closed or day != days[-1])
                left -= len(bars) if left else 0
                if span.limit and not left:
                    return
            return
        parts: list[Bars] = []
        while days and left:
            bars = await self._day(span, cut, days.pop())
            parts.insert(0, bars.slice(max(len(bars) - left, 0), len(bars)))
            left -= len(parts[0])
        for part in parts:
            if len(part):
                yield replace(part, last_closed=part.last_closed or part is not parts[-1])

    async def _days(self, span: Span) -> list[int]:
        rows = await self._clickhouse.rows(
            _DAYS,
            server=span.server,
            symbol=span.symbol,
            from_msc=span.from_msc // DAY_MS * DAY_MS,
            to_msc=min(span.to_msc, END_MSC - DAY_MS) + DAY_MS,
        )
        return [row["day"] for row in rows if row["day"] < span.to_msc]

    async def _day(self, span: Span, cut: Cut, day: int) -> Bars:
        """Its bars that open in the span's range."""
        builder = BarBuilder(cut)
        parts: list[Bars] = []
        forming = Bars.empty()
        whole = Span(span.server, span.symbol, from_msc=day, to_msc=day + DAY_MS)
        async for page in self._history.newest(whole):
            touched = builder.add(_Quotes(**{name: page[name] for name in _Quotes.__slots__}))
            if len(touched):
                parts.append(touched.slice(0, touched.closed))
                forming = touched.slice(touched.closed, len(touched))
        bars = Bars.join([*parts, forming])
        start, stop = np.searchsorted(bars.open_msc, [span.from_msc, span.to_msc]).tolist()
        return bars.slice(start, stop)


def _bars(rows: Any) -> Bars:
    columns: Any = {name: np.ascontiguousarray(rows[name]) for name in BAR_COLUMNS}
    return Bars(**columns)


def _ended(bars: Bars, cut: Cut, newest_msc: int) -> bool:
    """Whether a tick came after the last bar's time, in the minute `newest_msc` or before it."""
    last = int(bars.open_msc[-1])
    if isinstance(cut, TimeCut):
        return int(cut.opened(np.array([newest_msc]))[0]) > last
    return newest_msc // DAY_MS > last // DAY_MS
