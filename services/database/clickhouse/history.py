"""Stored ticks of a range, a page at a time: neither engine nor service ever holds more than one."""

from collections.abc import AsyncIterator
from typing import Any

import numpy as np

from mesh.market import TickId
from mesh.market.batch import COLUMNS
from services.database.clickhouse.client import ClickHouse
from services.database.clickhouse.generations import corrections, newest
from services.database.domain.span import Columns, Span

_PAGE = 50_000

_ROW: np.dtype[Any] = np.dtype([*COLUMNS.items(), ("generation", "<u4"), ("utc_msc", "<i8"), ("marks", "<u4")])
_NONE = np.zeros(0, _ROW)
_NAMES = ", ".join(_ROW.names or ())

_WITHIN = (
    " FROM ticks FINAL WHERE server = {server:String} AND symbol = {symbol:String}"
    " AND time_msc >= {from_msc:Int64} AND time_msc < {to_msc:Int64}"
)
# An identity is in one month: months need not be merged with each other. An identity with two values stays whole.
_PAGE_SQL = (
    f"SELECT {_NAMES}{_WITHIN} AND (time_msc, ordinal) > ({{after_msc:Int64}}, {{after_ordinal:UInt32}}) AND "
    "%s ORDER BY time_msc, ordinal LIMIT {limit:UInt64} WITH TIES"
    " SETTINGS do_not_merge_across_partitions_select_final = 1"
)
# How far back so many rows lie, doubles counted; read backwards, so that it costs no more than those rows.
_FLOOR_SQL = (
    "SELECT min(time_msc) AS floor, count() AS rows FROM (SELECT time_msc FROM ticks"
    " WHERE server = {server:String} AND symbol = {symbol:String} AND %s ORDER BY time_msc DESC LIMIT {rows:UInt64})"
)
_GENERATIONS = f"SELECT DISTINCT generation{_WITHIN} ORDER BY generation"


class TickHistory:
    """Reads ranges of the ticks table, deduplicated."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    async def newest(self, span: Span) -> AsyncIterator[Columns]:
        """Pages of the generation that stands when this begins, in order.

        Raises:
            MeshError: ENGINE_UNAVAILABLE.
        """
        corrected = await corrections(self._clickhouse, span.server, span.symbol, span.from_msc, span.to_msc)
        async for page in self._pages(span, newest(corrected)):
            yield page

    async def last(self, server: str, symbol: str, count: int) -> Columns:
        """The newest `count` ticks, in order, of the generation that stands; fewer when there are fewer.

        Raises:
            MeshError: ENGINE_UNAVAILABLE.
        """
        condition = newest(await corrections(self._clickhouse, server, symbol))
        rows = 2 * count
        while True:
            floor = await self._clickhouse.rows(_FLOOR_SQL % condition, server=server, symbol=symbol, rows=rows)
            span = Span(server, symbol, from_msc=floor[0]["floor"])
            pages = [page async for page in self._pages(span, condition)]
            found = {name: np.concatenate([_NONE[name], *(page[name] for page in pages)]) for name in _ROW.names or ()}
            if len(found["time_msc"]) >= count or floor[0]["rows"] < rows:
                return {name: column[-count:] for name, column in found.items()}
            rows *= 8

    async def all_generations(self, span: Span) -> AsyncIterator[Columns]:
        """Pages of every generation, one generation after the other, each in order.

        Raises:
            MeshError: ENGINE_UNAVAILABLE.
        """
        names = {"server": span.server, "symbol": span.symbol}
        found = await self._clickhouse.rows(_GENERATIONS, from_msc=span.from_msc, to_msc=span.to_msc, **names)
        for row in found:
            async for page in self._pages(span, f"generation = {row['generation']}"):
                yield page

    async def _pages(self, span: Span, condition: str) -> AsyncIterator[Columns]:
        after, left = span.after, span.limit
        while True:
            size = min(_PAGE, left or _PAGE)
            rows = await self._clickhouse.records(
                _PAGE_SQL % condition,
                _ROW,
                server=span.server,
                symbol=span.symbol,
                from_msc=max(span.from_msc, after.time_msc),
                to_msc=span.to_msc,
                after_msc=after.time_msc,
                after_ordinal=after.ordinal,
                limit=size,
            )
            if len(rows):
                yield {name: np.ascontiguousarray(rows[name]) for name in _ROW.names or ()}
            if len(rows) < size or left == size:
                return
            after = TickId(int(rows["time_msc"][-1]), int(rows["ordinal"][-1]))
            left -= size if left else 0
