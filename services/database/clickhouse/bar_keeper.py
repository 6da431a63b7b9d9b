"""Keeps bars_m1 equal to the ticks: minutes whose ticks changed are computed again, from the ticks table.

It has no cursor: at its start days whose bars do not hold as many ticks as the ticks table are computed again, and so
is every corrected range whose bars are older than the correction.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

from mesh.clock import unix_ms
from mesh.errors import MeshError
from mesh.log import get_logger
from mesh.market.bars import DAY_MS, MINUTE_MS
from services.database.clickhouse.client import FAILED, ClickHouse, answering
from services.database.clickhouse.generations import corrections, newest
from services.database.domain.generations import CorrectedRange
from services.database.domain.stale import StaleTimes, Stretch, together

log = get_logger(__name__)

_FAILED: tuple[type[Exception], ...] = (*FAILED, MeshError)
# What is computed in one insert, which may touch a hundred months at most.
_LONGEST_MS = 366 * DAY_MS
_MOST_TOGETHER = 40
# No server's clock is further ahead.
_AHEAD_MS = 366 * DAY_MS
# Ranges that are stored meanwhile are computed together.
_GATHER_S = 0.5
_RETRY_S = 2.0
# Between a correction's row being handed over and being seen by whoever computes bars.
_MARGIN_NS = 60_000_000_000

_OF = " server = {server:String} AND symbol = {symbol:String}"
_PRICE = "if(bid > 0, bid, last)"
_SPREAD = "if(bid > 0 AND ask > 0, ask - bid, inf)"
# A tick's place within its minute as one number: tuples are ten times slower to compare.
_PLACE = f"(bitShiftLeft(toUInt64(modulo(time_msc, {MINUTE_MS})), 32) + ordinal)"
_PRICED = f" FROM ticks FINAL WHERE {_PRICE} > 0 AND "
_ONCE = " SETTINGS do_not_merge_across_partitions_select_final = 1"

# Whoever takes its version later sees no fewer ticks; one clock gives it to all.
_VERSION = "SELECT toUInt64(toUnixTimestamp64Nano(now64(9))) AS version"
_COMPUTE = (
    "INSERT INTO bars_m1 SELECT server, symbol,"
    f" intDiv(time_msc, {MINUTE_MS}) * {MINUTE_MS} AS minute, max(time_msc),"
    f" argMin({_PRICE}, {_PLACE}), max({_PRICE}), min({_PRICE}), argMax({_PRICE}, {_PLACE}), count(),"
    " sum(if(volume_real > 0, volume_real, toFloat64(volume))),"
    f" min({_SPREAD}), argMax({_SPREAD}, {_PLACE}), {{version:UInt64}}{_PRICED}(%s)"
    f" GROUP BY server, symbol, minute{_ONCE}"
)
_EMPTY = (
    "INSERT INTO bars_m1 (server, symbol, open_msc, version) SELECT server, symbol, open_msc, {version:UInt64}"
    " FROM bars_m1 FINAL WHERE ticks > 0 AND version < {version:UInt64} AND (%s)"
)
# One stretch of many; names are in arrays, so that any of them is safe.
_STRETCH = (
    "(server = {servers:Array(String)}[%(place)d] AND symbol = {symbols:Array(String)}[%(place)d]"
    " AND %(time)s >= %(from_msc)d AND %(time)s < %(to_msc)d AND %(also)s)"
)

_SYMBOLS = (
    "SELECT server, symbol, min(time_msc) AS first_msc, max(time_msc) AS last_msc FROM ticks GROUP BY server, symbol"
)
_DAYS = (
    f"SELECT intDiv(time_msc, {DAY_MS}) AS day, count() AS ticks{_PRICED}{_OF}"
    f" AND time_msc >= {{from_msc:Int64}} AND time_msc < {{to_msc:Int64}} AND %s GROUP BY day{_ONCE}"
)
_BAR_DAYS = f"SELECT intDiv(open_msc, {DAY_MS}) AS day, sum(ticks) AS ticks FROM bars_m1 FINAL WHERE{_OF} GROUP BY day"
_CORRECTIONS = (
    "SELECT server, symbol, from_msc, to_msc, max(stored_unix_ns) AS stored_unix_ns FROM tick_corrections"
    " GROUP BY server, symbol, from_msc, to_msc"
)
_CORRECTED = (
    "SELECT DISTINCT server, symbol, generation, from_msc, to_msc FROM tick_corrections"
    " WHERE (server, symbol) IN arrayZip({servers:Array(String)}, {symbols:Array(String)})"
)
_OLDEST = (
    f"SELECT min(version) AS version FROM bars_m1 FINAL WHERE{_OF}"
    " AND open_msc >= {from_msc:Int64} AND open_msc < {to_msc:Int64} AND ticks > 0"
)


class BarKeeper:
    """Writes the bars_m1 table."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._stale = StaleTimes()
        self._told = asyncio.Event()
        self._computing = asyncio.Lock()
        self._doubted = True

    def stored(self, server: str, symbol: str, from_msc: int, to_msc: int) -> None:
        """What stands in [from_msc, to_msc) changed; never blocks."""
        to_msc = max(from_msc, min(to_msc, unix_ms() + _AHEAD_MS))  # a correction may be of all that is to come
        self._stale.add(server, symbol, from_msc // MINUTE_MS * MINUTE_MS, -(-to_msc // MINUTE_MS) * MINUTE_MS)
        self._told.set()

    def doubt(self) -> None:
        """Another instance may have stored ticks and not have computed their bars: look again."""
        self._doubted = True
        self._told.set()

    async def run(self) -> None:
        """Compute what is stale, for ever; while ClickHouse is away, it waits."""
        while True:
            try:
                await self._look_if_doubted()
                await self._told.wait()
                self._told.clear()
                symbols = list(self._stale.symbols())
                for start in range(0, len(symbols), _MOST_TOGETHER):
                    await self._settle(symbols[start : start + _MOST_TOGETHER])
                await asyncio.sleep(_GATHER_S)
            except _FAILED as error:
                log.warning("bars wait", symbols=len(self._stale), because=str(error) or type(error).__name__)
                self._told.set()
                await asyncio.sleep(_RETRY_S)

    async def _look_if_doubted(self) -> None:
        doubted, self._doubted = self._doubted, False
        try:
            if doubted:
                await self._look()
        except BaseException:
            self._doubted = True
            raise

    async def _look(self) -> None:
        """Find what is stale, by comparing bars with ticks; it reads all of them."""
        for row in await self._clickhouse.rows(_CORRECTIONS):
            stored_ns = row.pop("stored_unix_ns")
            if (await self._clickhouse.rows(_OLDEST, **row))[0]["version"] < stored_ns + _MARGIN_NS:
                self.stored(**row)
        for row in await self._clickhouse.rows(_SYMBOLS):
            await self._look_at(**row)

    async def _look_at(self, server: str, symbol: str, first_msc: int, last_msc: int) -> None:
        """Days before the first tick are left alone: their ticks were let go, their bars are to stay."""
        condition = newest(await corrections(self._clickhouse, server, symbol))
        asked = {"from_msc": first_msc, "to_msc": last_msc + 1}
        ticks = await self._clickhouse.rows(_DAYS % condition, server=server, symbol=symbol, **asked)
        bars = await self._clickhouse.rows(_BAR_DAYS, server=server, symbol=symbol)
        counted, held = ({day["day"]: day["ticks"] for day in days if day["ticks"]} for days in (ticks, bars))
        for day in counted.keys() | held.keys():
            if counted.get(day) != held.get(day) and day >= first_msc // DAY_MS:
                self.stored(server, symbol, day * DAY_MS, (day + 1) * DAY_MS)

    async def settle(self, server: str, symbol: str) -> None:
        """Compute what is stale of one symbol now.

        Raises:
            MeshError, or one of `client.FAILED`: ClickHouse is away; what was not computed stays stale.
        """
        await self._settle([(server, symbol)])

    async def _settle(self, symbols: Sequence[tuple[str, str]]) -> None:
        async with self._computing:
            stretches = (stretch for names in symbols for stretch in self._stale.take(*names))
            groups = deque(together(stretches, _MOST_TOGETHER, _LONGEST_MS))
            try:
                while groups:
                    await self._compute(groups[0])
                    groups.popleft()
            except BaseException:
                for group in groups:
                    for stretch in group:
                        self.stored(*stretch)
                raise

    async def _compute(self, group: Sequence[Stretch]) -> None:
        corrected = await self._corrected(group)
        version = (await self._clickhouse.rows(_VERSION))[0]["version"]
        standing = [newest(corrected.get(stretch[:2], [])) for stretch in group]
        asked = {"version": version, **_names(group)}
        with answering():
            await self._clickhouse.command(_COMPUTE % _any_of(group, "time_msc", standing), **asked)
            await self._clickhouse.command(_EMPTY % _any_of(group, "open_msc", ["1"] * len(group)), **asked)

    async def _corrected(self, group: Sequence[Stretch]) -> dict[tuple[str, str], list[CorrectedRange]]:
        """The corrections of the group's symbols."""
        found: dict[tuple[str, str], list[CorrectedRange]] = {}
        for row in await self._clickhouse.rows(_CORRECTED, **_names(group)):
            found.setdefault((row.pop("server"), row.pop("symbol")), []).append(CorrectedRange(**row))
        return found


def _names(group: Sequence[Stretch]) -> dict[str, list[str]]:
    return {"servers": [stretch.server for stretch in group], "symbols": [stretch.symbol for stretch in group]}


def _any_of(group: Sequence[Stretch], time: str, also: Sequence[str]) -> str:
    """The condition that a row is in one of the stretches, and what else it must be there."""
    stretches = zip(group, also, strict=True)
    return " OR ".join(
        _STRETCH % {"place": place, "time": time, "also": more, **stretch._asdict()}
        for place, (stretch, more) in enumerate(stretches, start=1)
    )
