"""What is odd about stored ticks: counts of their marks."""

from services.database.clickhouse.client import ClickHouse
from services.database.clickhouse.generations import corrections, newest
from services.database.domain.tick import MARKS, SymbolSummary, TickQuality

_OF = " WHERE ({server:String} = '' OR server = {server:String}) AND ({symbol:String} = '' OR symbol = {symbol:String})"
_BY_SYMBOL = " GROUP BY server, symbol ORDER BY server, symbol"

_SYMBOLS = (
    "SELECT server, symbol, count() AS ticks, min(time_msc) AS first_msc, max(time_msc) AS last_msc FROM ticks"
    + _OF
    + _BY_SYMBOL
)
_QUARANTINED = (
    "SELECT server, symbol, sum(count) AS quarantined FROM tick_quarantine FINAL"
    + _OF
    + " AND last_time_msc >= {from_msc:Int64} AND last_time_msc < {to_msc:Int64}"
    + _BY_SYMBOL
)
_MARKED = ", ".join(f"countIf(bitAnd(marks, {bit}) != 0) AS {name}" for name, bit in MARKS.items())
_MARKS = (
    f"SELECT count() AS ticks, {_MARKED} FROM ticks FINAL"
    " WHERE server = {server:String} AND symbol = {symbol:String}"
    " AND time_msc >= {from_msc:Int64} AND time_msc < {to_msc:Int64} AND %s"
    " SETTINGS do_not_merge_across_partitions_select_final = 1"
)


class StoredQuality:
    """Symbols of the ticks table, and the marks of their newest generation."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    async def symbols(self, server: str = "", symbol: str = "") -> list[SymbolSummary]:
        """Those that have ticks; empty names stand for any. Raises MeshError ENGINE_UNAVAILABLE."""
        rows = await self._clickhouse.rows(_SYMBOLS, server=server, symbol=symbol)
        return [SymbolSummary(**row) for row in rows]

    async def quality(self, server: str, symbol: str, from_msc: int, to_msc: int) -> list[TickQuality]:
        """Of each symbol that has ticks or refused ones; empty names stand for any.

        Raises:
            MeshError: ENGINE_UNAVAILABLE.
        """
        asked = {"from_msc": from_msc, "to_msc": to_msc}
        refused = {
            (row["server"], row["symbol"]): row["quarantined"]
            for row in await self._clickhouse.rows(_QUARANTINED, server=server, symbol=symbol, **asked)
        }
        known = {(summary.server, summary.symbol) for summary in await self.symbols(server, symbol)}
        found = []
        for names in sorted(known | set(refused)):
            corrected = await corrections(self._clickhouse, names[0], names[1], from_msc, to_msc)
            sql = _MARKS % newest(corrected)
            row = (await self._clickhouse.rows(sql, server=names[0], symbol=names[1], **asked))[0]
            ticks = row.pop("ticks")
            found.append(TickQuality(names[0], names[1], ticks, refused.get(names, 0), row))
        return found
