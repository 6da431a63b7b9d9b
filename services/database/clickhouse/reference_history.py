"""How reference records became what they are: every version, copied from PostgreSQL into ClickHouse."""

import asyncio
from collections.abc import Mapping
from datetime import UTC
from itertools import groupby
from typing import Any
from uuid import UUID

from mesh.errors import MeshError
from mesh.log import get_logger
from services.database.clickhouse.client import FAILED, ClickHouse
from services.database.domain.reference import Kind, Record, id_field
from services.database.postgres.pool import Postgres
from services.database.reference_rows import ABOUT, columns, record_of

log = get_logger(__name__)

_TABLES: Mapping[Kind, str] = {
    Kind.BROKER: "broker_history",
    Kind.INSTANCE: "instance_history",
    Kind.ACCOUNT: "account_history",
}
_FAILED: tuple[type[Exception], ...] = (MeshError, *FAILED)
_TOGETHER = 1000
_PAUSE_S = 1.0
_AWAY_S = 5.0
# Of several instances each takes others.
_NEXT = (
    "SELECT place, kind, record::text AS record FROM reference.version ORDER BY place LIMIT $1 FOR UPDATE SKIP LOCKED"
)
_COPIED = "DELETE FROM reference.version WHERE place = ANY($1)"


class ReferenceHistory:
    """Writes and reads the history tables. A version that is written twice is one row."""

    def __init__(self, postgres: Postgres, clickhouse: ClickHouse) -> None:
        self._postgres = postgres
        self._clickhouse = clickhouse

    async def run(self) -> None:
        """Copy for ever; while ClickHouse is away the versions wait in PostgreSQL."""
        away = False
        while True:
            pause = _PAUSE_S
            try:
                while await self.copy():
                    pass
                away = False
            except _FAILED as error:
                pause = _AWAY_S
                if not away:
                    away = True
                    log.warning("versions of records wait for ClickHouse", because=str(error)[:300])
            await asyncio.sleep(pause)

    async def copy(self) -> int:
        """Copy what waits, at most a thousand; how many were.

        Raises:
            MeshError: ENGINE_UNAVAILABLE.
        """
        async with self._postgres.transaction() as connection:
            rows = await connection.fetch(_NEXT, _TOGETHER)
            for kind, versions in groupby(sorted(rows, key=_kind), key=_kind):
                await self._clickhouse.insert_json(_TABLES[kind], [row["record"] for row in versions])
            await connection.execute(
                "DELETE FROM reference.version WHERE place = ANY($1)", [row["place"] for row in rows]
            )
        return len(rows)

    async def versions(self, kind: Kind, record_id: UUID, limit: int) -> list[Record]:
        """Newest first; none of preferences. Raises MeshError ENGINE_UNAVAILABLE."""
        if kind not in _TABLES:
            return []
        rows = await self._clickhouse.rows(
            f"SELECT {', '.join(columns(kind))} FROM {_TABLES[kind]} FINAL"
            f" WHERE {id_field(kind)} = {{id:UUID}} ORDER BY version DESC LIMIT {{limit:UInt32}}",
            id=str(record_id),
            limit=limit,
        )
        return [record_of(kind, _in_utc(row)) for row in rows]


def _kind(row: Any) -> Kind:
    return Kind(row["kind"])


def _in_utc(row: dict[str, Any]) -> dict[str, Any]:
    return row | {name: row[name].replace(tzinfo=UTC) for name in ABOUT[:2]}
