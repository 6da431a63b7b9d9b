"""Reference records in PostgreSQL: the versions in force."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

import asyncpg

from services.database.domain.reference import Key, Kind, Record, id_field, next_version
from services.database.postgres.pool import Connection, Postgres
from services.database.reference_rows import columns, record_of, row_of, text_of

_TABLES: Mapping[Kind, str] = {
    Kind.BROKER: "reference.broker",
    Kind.INSTANCE: "reference.instance",
    Kind.ACCOUNT: "reference.account",
    Kind.PREFERENCES: "reference.user_preference",
}
# Kept in ClickHouse too.
HISTORIC = frozenset(Kind) - {Kind.PREFERENCES}
_NOTE_CHANGE = (
    "WITH forgotten AS (DELETE FROM reference.change WHERE applied_at < now() - interval '7 days')"
    " INSERT INTO reference.change (change_id, kind, record_id) VALUES ($1, $2, $3)"
)
_KNOWN_CHANGE = "SELECT kind, record_id FROM reference.change WHERE change_id = $1"
_REUSED = "its id was used for another change: make a new one"


class Verdict(StrEnum):
    APPLIED = "APPLIED"
    STALE = "STALE"
    REFUSED = "REFUSED"


@dataclass(frozen=True, slots=True)
class Change:
    """`record.version` is the one that it was made of."""

    change_id: UUID
    record: Record


@dataclass(frozen=True, slots=True)
class Outcome:
    """`record`: as it stands now; None: there is none."""

    change_id: UUID
    verdict: Verdict
    record: Record | None
    message: str = ""


class Stamp(NamedTuple):
    """By which two copies of a record are told apart."""

    version: int
    updated_unix_ms: int


class ReferenceRecords:
    """The tables of schema `reference`."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def apply(self, change: Change) -> Outcome:
        """Take a change if it was made of the version in force. A known change id changes nothing.

        Raises:
            MeshError: ENGINE_UNAVAILABLE.
        """
        try:
            async with self._postgres.transaction() as connection:
                return await _apply(connection, change)
        except asyncpg.ForeignKeyViolationError as error:
            because = f"it refers to a record that is not known ({error.constraint_name}); send that one first"
            return Outcome(change.change_id, Verdict.REFUSED, await self.get(change.record.key), because)
        except (asyncpg.CheckViolationError, asyncpg.UniqueViolationError) as error:
            because = f"it can not be stored ({error.constraint_name})"
            return Outcome(change.change_id, Verdict.REFUSED, await self.get(change.record.key), because)

    async def get(self, key: Key) -> Record | None:
        """Raises MeshError ENGINE_UNAVAILABLE."""
        async with self._postgres.connection() as connection:
            return await _find(connection, key)

    async def compare(self, known: Mapping[Key, Stamp], told: Iterable[Record]) -> tuple[list[Record], list[Key]]:
        """(what is newer than `known`, and what that and `told` refer to; what is missing here). `told` is left out.

        Raises:
            MeshError: ENGINE_UNAVAILABLE.
        """
        answered = {record.key: record for record in told}
        newer: dict[Key, Record] = {}
        missing: list[Key] = []
        async with self._postgres.snapshot() as connection:
            for kind in Kind:
                stamps = {key.id: stamp for key, stamp in known.items() if key.kind is kind}
                for key, record in (await _others(connection, kind, stamps)).items():
                    if record is not None and record.version >= known[key].version:
                        newer[key] = record
                    elif known[key].version:
                        missing.append(key)
            found = newer | answered
            await _complete(connection, found, known)
        records = [record for key, record in found.items() if key not in answered]
        return records, [key for key in missing if key not in answered]

    async def page(self, kind: Kind, removed_too: bool, after: UUID | None, size: int) -> list[Record]:
        """By id. Raises MeshError ENGINE_UNAVAILABLE."""
        name = id_field(kind)
        async with self._postgres.connection() as connection:
            rows = await connection.fetch(
                f"SELECT * FROM {_TABLES[kind]} WHERE ($1 OR NOT removed) AND ($2::uuid IS NULL OR {name} > $2)"
                f" ORDER BY {name} LIMIT $3",
                removed_too,
                after,
                size,
            )
        return [record_of(kind, row) for row in rows]


async def _apply(connection: Connection, change: Change) -> Outcome:
    key = change.record.key
    # The same record waits here, also one that is not there yet.
    await connection.execute("SELECT pg_advisory_xact_lock($1)", key.id.int >> 65)
    current = await _find(connection, key)
    known = await connection.fetchrow(_KNOWN_CHANGE, change.change_id)
    if known is not None:
        if (known["kind"], known["record_id"]) != (key.kind, key.id):
            return Outcome(change.change_id, Verdict.REFUSED, current, _REUSED)
        return Outcome(change.change_id, Verdict.APPLIED, current)
    version = next_version(current, change.record)
    if version is None:
        return Outcome(change.change_id, Verdict.STALE, current)
    applied = change.record
    if current is not None:
        applied = replace(applied, created_unix_ms=min(current.created_unix_ms, applied.created_unix_ms))
    applied = replace(applied, version=version)
    if current is None or version != current.version:
        await _write(connection, applied)
    else:
        applied = current
    await connection.execute(_NOTE_CHANGE, change.change_id, key.kind, key.id)
    return Outcome(change.change_id, Verdict.APPLIED, applied)


async def _write(connection: Connection, record: Record) -> None:
    names = columns(record.kind)
    places = ", ".join(f"${number}" for number in range(1, len(names) + 1))
    sets = ", ".join(f"{name} = EXCLUDED.{name}" for name in names[1:])
    await connection.execute(
        f"INSERT INTO {_TABLES[record.kind]} ({', '.join(names)}) VALUES ({places})"
        f" ON CONFLICT ({names[0]}) DO UPDATE SET {sets}",
        *row_of(record),
    )
    if record.kind in HISTORIC:
        await connection.execute(
            "INSERT INTO reference.version (kind, record) VALUES ($1, $2)", record.kind, text_of(record)
        )


async def _find(connection: Connection, key: Key) -> Record | None:
    return (await _read(connection, key.kind, [key.id])).get(key)


async def _read(connection: Connection, kind: Kind, ids: Sequence[UUID]) -> dict[Key, Record]:
    rows = await connection.fetch(f"SELECT * FROM {_TABLES[kind]} WHERE {id_field(kind)} = ANY($1)", ids)
    return {record.key: record for record in (record_of(kind, row) for row in rows)}


async def _others(connection: Connection, kind: Kind, stamps: Mapping[UUID, Stamp]) -> dict[Key, Record | None]:
    """Of those ids, the records that are others than was said; None: there is none."""
    if not stamps:
        return {}
    name = id_field(kind)
    rows = await connection.fetch(
        "SELECT known.id AS known_id, record.* FROM unnest($1::uuid[], $2::bigint[], $3::bigint[])"
        " AS known (id, version, updated_unix_ms)"
        f" LEFT JOIN {_TABLES[kind]} record ON record.{name} = known.id"
        " WHERE record.version IS DISTINCT FROM known.version"
        " OR (extract(epoch FROM record.updated_at) * 1000)::bigint <> known.updated_unix_ms",
        list(stamps),
        [stamp.version for stamp in stamps.values()],
        [stamp.updated_unix_ms for stamp in stamps.values()],
    )
    return {Key(kind, row["known_id"]): record_of(kind, row) if row[name] is not None else None for row in rows}


async def _complete(connection: Connection, found: dict[Key, Record], known: Iterable[Key]) -> None:
    """Add what they refer to and the asker does not know."""
    for kind in reversed(list(Kind)):
        wanted = {key for record in found.values() for key in record.refers_to()} - set(known) - set(found)
        ids = [key.id for key in wanted if key.kind is kind]
        if ids:
            found |= await _read(connection, kind, ids)
