"""Questions about stored ticks."""

from dataclasses import replace

from mesh.market import TickId
from services.database.clickhouse.client import ClickHouse
from services.database.clickhouse.generations import corrections, newest
from services.database.clickhouse.last_ticks import LastTicks
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
# Read in the key's order, each row beside the two before it: memory does not grow with the ticks, as sets of identities
# would. An identity is one number, as tuples are slow to compare; points of any price and number fit Int128.
_ID_BITS = 32
_AUDIT = (
    "SELECT count() AS stored, countIf(NOT second) AS distinct, countIf(second AND NOT third) AS conflicting,"
    " sum(toInt128(round(bid * {scale:Float64}))) AS bid_points_sum,"
    " sum(toInt128(round(ask * {scale:Float64}))) AS ask_points_sum,"
    f" min(bitShiftLeft(toUInt128(time_msc), {_ID_BITS}) + ordinal) AS first,"
    f" max(bitShiftLeft(toUInt128(time_msc), {_ID_BITS}) + ordinal) AS last"
    " FROM (SELECT time_msc, ordinal, bid, ask,"
    " lagInFrame(time_msc, 1) OVER w = time_msc AND lagInFrame(ordinal, 1) OVER w = ordinal AS second,"
    " lagInFrame(time_msc, 2) OVER w = time_msc AND lagInFrame(ordinal, 2) OVER w = ordinal AS third"
    " FROM ticks FINAL WHERE server = {server:String} AND symbol = {symbol:String} AND %s"
    " WINDOW w AS (ORDER BY time_msc, ordinal ROWS BETWEEN 2 PRECEDING AND CURRENT ROW))"
    " SETTINGS do_not_merge_across_partitions_select_final = 1"
)
_LARGEST_SUM = 2**63 - 1


class StoredTicks:
    """Reads the ticks and tick_quarantine tables."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._last = LastTicks(clickhouse)

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
        """Everything of each symbol, exactly, of the newest generation (raw: of all); reads every tick."""
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
        sql = _AUDIT % newest(await corrections(self._clickhouse, stats.server, stats.symbol))
        audit = (await self._clickhouse.rows(sql, scale=float(10**digits), **names))[0]
        if max(abs(audit["bid_points_sum"]), abs(audit["ask_points_sum"])) > _LARGEST_SUM:
            return await self._audited(stats, digits - 1)
        first, last = (TickId(*divmod(audit.pop(end), 1 << _ID_BITS)) for end in ("first", "last"))
        if not audit["stored"]:
            return replace(stats, digits=digits)
        return replace(stats, digits=digits, first=first, last=last, **audit)

    async def last(self, server: str, symbol: str) -> Tick | None:
        """The newest stored tick; without values where refused ones stand behind it.

        Raises:
            MeshError: ENGINE_UNAVAILABLE.
        """
        return await self._last.get(server, symbol)
