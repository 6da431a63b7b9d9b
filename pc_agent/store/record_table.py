"""The tables of records."""

from collections.abc import Iterable

from pc_agent.domain.reference import Key, Kind, Record
from pc_agent.store.duckdb_file import Connection
from pc_agent.store.rows import TABLES, columns, key_column, record_of, row_of


def read(db: Connection, key: Key) -> Record | None:
    row = db.execute(f"{_select(key.kind)} WHERE {key_column(key.kind)} = ?", [key.id]).fetchone()
    return None if row is None else record_of(key.kind, row)


def read_all(db: Connection, kinds: Iterable[Kind] = tuple(Kind)) -> list[Record]:
    """Tombstones too."""
    found = []
    for kind in kinds:
        rows = db.execute(f"{_select(kind)} ORDER BY {key_column(kind)}").fetchall()
        found += [record_of(kind, row) for row in rows]
    return found


def write(db: Connection, record: Record) -> None:
    """Only columns that change: DuckDB would write the others' indexes anew, and trip over its foreign keys."""
    kind, names = record.key.kind, columns(record.key.kind)
    values = dict(zip(names, row_of(record), strict=True))
    held = read(db, record.key)
    if held is None:
        places = ", ".join("?" * len(names))
        db.execute(f"INSERT INTO {TABLES[kind]} VALUES ({places})", list(values.values()))
        return
    before = dict(zip(names, row_of(held), strict=True))
    changed = [name for name in names if values[name] != before[name]]
    if changed:
        sets = ", ".join(f"{name} = ?" for name in changed)
        where = [values[name] for name in changed] + [record.key.id]
        db.execute(f"UPDATE {TABLES[kind]} SET {sets} WHERE {key_column(kind)} = ?", where)


def _select(kind: Kind) -> str:
    return f"SELECT {', '.join(columns(kind))} FROM {TABLES[kind]}"
