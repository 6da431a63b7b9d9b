"""What was alerted on, kept in ClickHouse."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from mesh.errors import MeshError, Reason
from mesh.log import get_logger
from services.database.clickhouse.arrow import incident_rows
from services.database.clickhouse.client import FAILED, ClickHouse
from services.database.domain.incident import Incident

log = get_logger(__name__)

# Incidents that wait for ClickHouse; beyond, the oldest are forgotten, and that is said.
_MOST_WAITING = 10_000
_FLUSH_S = 0.5
_ANSWER_S = 5.0
# A program that ends waits for ClickHouse no longer than this.
_PARTING_S = 0.5
_SETTINGS = {"async_insert": "0", "wait_end_of_query": "1"}
_TABLE = "tick_incidents"

_OF = " WHERE ({server:String} = '' OR server = {server:String}) AND ({symbol:String} = '' OR symbol = {symbol:String})"
_NEWEST = (
    f"SELECT * FROM {_TABLE} FINAL"
    + _OF
    + " AND ({kind:String} = '' OR kind = {kind:String}) ORDER BY at_unix_ms DESC, id LIMIT {limit:UInt32}"
)
# Incidents without a server time count in every range.
_KINDS = (
    f"SELECT server, symbol, kind, count() AS incidents FROM {_TABLE} FINAL"
    + _OF
    + " AND (from_msc = 0 AND to_msc = 0 OR to_msc >= {from_msc:Int64}"
    " AND ({to_msc:Int64} = 0 OR from_msc < {to_msc:Int64})) GROUP BY server, symbol, kind"
)


class Incidents:
    """Writes and reads the tick_incidents table."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._waiting: deque[Incident] = deque()
        self._forgotten = 0

    def note(self, incident: Incident) -> None:
        """Warn now, and store it soon; never blocks, and may be called from any thread."""
        _warn(incident)
        self._waiting.append(incident)
        while len(self._waiting) > _MOST_WAITING:
            self._waiting.popleft()
            self._forgotten += 1

    async def run(self) -> None:
        """Store what is noted, for ever, and what is left at the end; while ClickHouse is away it waits here."""
        try:
            while True:
                await asyncio.sleep(_FLUSH_S)
                await self._try_to_flush(_ANSWER_S)
        finally:
            await self._try_to_flush(_PARTING_S)

    async def _try_to_flush(self, answer_s: float) -> None:
        try:
            async with asyncio.timeout(answer_s):
                await self.flush()
        except (MeshError, TimeoutError) as error:
            because = str(error) or type(error).__name__
            log.warning("incidents wait for ClickHouse", waiting=len(self._waiting), because=because)

    async def flush(self) -> None:
        """Store what was noted so far.

        Raises:
            MeshError: ENGINE_UNAVAILABLE; what was noted waits on.
        """
        if not self._waiting:
            return
        if self._forgotten:
            log.error("incidents forgotten: ClickHouse was away for too long", count=self._forgotten)
            self._forgotten = 0
        batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
        try:
            await self._store(batch)
        except BaseException:
            self._waiting.extendleft(reversed(batch))
            raise

    async def report(self, incident: Incident) -> None:
        """Store one that another program noticed; it is durable when this returns. A known id changes nothing.

        Raises:
            MeshError: ENGINE_UNAVAILABLE.
        """
        _warn(incident)
        await self._store([incident])

    async def newest(self, server: str, symbol: str, kind: str, limit: int) -> list[Incident]:
        """The newest first; empty names stand for any.

        Raises:
            MeshError: ENGINE_UNAVAILABLE.
        """
        names = [field.name for field in fields(Incident)]
        found = await self._clickhouse.rows(_NEWEST, server=server, symbol=symbol, kind=kind, limit=limit)
        return [Incident(**{name: row[name] for name in names}) for row in found]

    async def kinds(
        self, server: str, symbol: str, from_msc: int, to_msc: int
    ) -> dict[tuple[str, str], dict[str, int]]:
        """How many of each kind, by (server, symbol); `to_msc` 0: no end.

        Raises:
            MeshError: ENGINE_UNAVAILABLE.
        """
        counted: dict[tuple[str, str], dict[str, int]] = {}
        wanted: dict[str, Any] = {"server": server, "symbol": symbol, "from_msc": from_msc, "to_msc": to_msc}
        for row in await self._clickhouse.rows(_KINDS, **wanted):
            counted.setdefault((row["server"], row["symbol"]), {})[row["kind"]] = row["incidents"]
        return counted

    async def _store(self, incidents: Sequence[Incident]) -> None:
        known = await self._clickhouse.rows(
            f"SELECT id FROM {_TABLE} WHERE id IN {{ids:Array(String)}}", ids=[incident.id for incident in incidents]
        )
        ids = {row["id"] for row in known}
        new = {incident.id: incident for incident in reversed(incidents) if incident.id not in ids}
        if not new:
            return
        try:
            await self._clickhouse.insert(_TABLE, incident_rows(list(new.values())), _SETTINGS)
        except FAILED as error:
            raise MeshError(
                Reason.ENGINE_UNAVAILABLE, f"ClickHouse does not answer ({type(error).__name__}); try again"
            ) from error


def _warn(incident: Incident) -> None:
    log.warning(
        "incident",
        kind=incident.kind,
        server=incident.server,
        symbol=incident.symbol,
        ticks=incident.ticks,
        detail=incident.detail,
        reporter=incident.reporter,
    )
