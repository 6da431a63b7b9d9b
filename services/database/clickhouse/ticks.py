"""Questions about stored ticks."""

from dataclasses import replace

from mesh.market import TickId
from services.database.clickhouse.client import ClickHouse
from services.database.domain.tick import Tick, TickStats

# No broker quotes more decimals.
_MOST_DIGITS = 10

_OF = " WHERE ({server:String} = '' OR server = {server:String}) AND ({symbol:String} = '' OR symbol = {symbol:String})"
_PER_SYMBOL = " GROUP BY server, symbol ORDER BY server, symbol"

_COUNTS = "SELECT server, symbol, count() AS raw FROM ticks" + _OF + _PER_SYMBOL

_QUARANTINED = "SELECT server, symbol, sum(count) AS quarantined FROM tick_quarantine FINAL" + _OF + _PER_SYMBOL

# A double that was read from d decimals or fewer is the nearest one to round(x * 10^d) / 10^d, exactly.
_EXACT = ", ".join(
    f"min(bid = round(bid * 1e{digits}) / 1e{digits} AND ask = round(ask * 1e{digits}) / 1e{digits})"
    for digits in range(_MOST_DIGITS + 1)
)
_DIGITS = f"SELECT server, symbol, indexOf([{_EXACT}], 1) - 1 AS digits FROM ticks" + _OF + _PER_SYMBOL

# Rows with the same identity and values collapse under FINAL, others do not: the sorting key holds the values too.
_AUDIT = (
    "SELECT count() AS stored, uniqExact(time_msc, ordinal) AS distinct,"
    " sum(toInt64(round(bid * {scale:Float64}))) AS bid_points_sum,"
    " sum(toInt64(round(ask * {scale:Float64}))) AS ask_points_sum,"
    " min((time_msc, ordinal)) AS first, max((time_msc, ordinal)) AS last"
    " FROM ticks FINAL WHERE server = {server:String} AND symbol = {symbol:String}"
)
_CONFLICTING = (
    "SELECT count() AS conflicting FROM (SELECT 1 FROM ticks FINAL"
    " WHERE server = {server:String} AND symbol = {symbol:String}"
    " GROUP BY time_msc, ordinal HAVING count() > 1)"
)

_LAST = (
    "SELECT server, symbol, time_msc, ordinal, bid, ask, last, volume, volume_real, flags FROM ticks"
    " WHERE server = {server:String} AND symbol = {symbol:String} ORDER BY time_msc DESC, ordinal DESC LIMIT 1"
)


class StoredTicks:
    """Reads the ticks and tick_quarantine tables."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    async def counts(self, server: str, symbol: str) -> list[TickStats]:
        """Only raw and quarantined of each symbol; empty names stand for any. Cheap."""
        found: dict[tuple[str, str], TickStats] = {}
        for row in await self._clickhouse.rows(_COUNTS, server=server, symbol=symbol):
            key = (row["server"], row["symbol"])
            found[key] = TickStats(*key, raw=row["raw"])
        for row in await self._clickhouse.rows(_QUARANTINED, server=server, symbol=symbol):
            key = (row["server"], row["symbol"])
            found[key] = replace(found.get(key, TickStats(*key)), quarantined=row["quarantined"])
        return [found[key] for key in sorted(found)]

    async def audit(self, server: str, symbol: str) -> list[TickStats]:
        """Everything of each symbol, exactly; reads every tick."""
        digits = {
            (row["server"], row["symbol"]): row["digits"] if row["digits"] >= 0 else _MOST_DIGITS
            for row in await self._clickhouse.rows(_DIGITS, server=server, symbol=symbol)
        }
        audited = [
            await self._audited(stats, digits.get((stats.server, stats.symbol), _MOST_DIGITS)) if stats.raw else stats
            for stats in await self.counts(server, symbol)
        ]
        # Counted once more: while ticks come in, the rows must not be those of before.
        later = {(stats.server, stats.symbol): stats.raw for stats in await self.counts(server, symbol)}
        return [replace(stats, raw=later[stats.server, stats.symbol]) for stats in audited]

    async def _audited(self, stats: TickStats, digits: int) -> TickStats:
        names = {"server": stats.server, "symbol": stats.symbol}
        audit = (await self._clickhouse.rows(_AUDIT, scale=float(10**digits), **names))[0]
        # Equal counts leave no room for a conflict: the costly question is asked only when they differ.
        conflicting = 0
        if audit["stored"] != audit["distinct"]:
            conflicting = (await self._clickhouse.rows(_CONFLICTING, **names))[0]["conflicting"]
        first, last = TickId(*audit.pop("first")), TickId(*audit.pop("last"))
        return replace(stats, digits=digits, conflicting=conflicting, first=first, last=last, **audit)

    async def last(self, server: str, symbol: str) -> Tick | None:
        """The newest stored tick."""
        found = await self._clickhouse.rows(_LAST, server=server, symbol=symbol)
        if not found:
            return None
        row = found[0]
        return Tick(
            server=row["server"],
            symbol=row["symbol"],
            id=TickId(row["time_msc"], row["ordinal"]),
            bid=row["bid"],
            ask=row["ask"],
            last=row["last"],
            volume=row["volume"],
            volume_real=row["volume_real"],
            flags=row["flags"],
        )
