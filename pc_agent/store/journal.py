"""The changes that were made here, until the database has answered them, and the newest of the answered ones."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from pc_agent.domain.reference import Key, Kind, Record
from pc_agent.store.duckdb_file import Connection
from pc_agent.store.rows import record_from, text_of, timestamp, unix_ms

# Answered ones beyond these are forgotten, oldest first.
_KEPT = 1000
_COLUMNS = "change_id, kind, record_id, base, record, made_at, state, outcome"
_OPEN = "state IN ('PENDING', 'SENT')"


class State(StrEnum):
    PENDING = "PENDING"
    SENT = "SENT"
    APPLIED = "APPLIED"
    MERGED = "MERGED"
    REFUSED = "REFUSED"


@dataclass(frozen=True, slots=True)
class Change:
    """`record` was made of `base` (None: of nothing) and bears its version."""

    change_id: UUID
    key: Key
    base: Record | None
    record: Record
    made_unix_ms: int
    state: State
    outcome: str = ""


def note(db: Connection, base: Record | None, record: Record) -> None:
    """Remember that `base` became `record`; what waits unsent of the same record becomes one with it."""
    waiting = [change for change in open_changes(db, record.key) if change.state is State.PENDING]
    if waiting:
        db.execute("UPDATE change SET record = ? WHERE change_id = ?", [text_of(record), waiting[0].change_id])
        return
    insert(db, base, record)


def insert(db: Connection, base: Record | None, record: Record) -> None:
    kind, record_id = record.key.kind, record.key.id
    made_at = timestamp(record.updated_unix_ms)
    base_text = None if base is None else text_of(base)
    db.execute(
        "INSERT INTO change (place, change_id, kind, record_id, base, record, made_at, state)"
        " SELECT coalesce(max(place), 0) + 1, ?, ?, ?, ?, ?, ?, 'PENDING' FROM change",
        [uuid4(), str(kind), record_id, base_text, text_of(record), made_at],
    )


def rewrite(db: Connection, change: Change, base: Record, record: Record) -> None:
    """An unsent change, as it is on top of another version."""
    db.execute(
        "UPDATE change SET base = ?, record = ? WHERE change_id = ?", [text_of(base), text_of(record), change.change_id]
    )


def open_changes(db: Connection, key: Key) -> list[Change]:
    """Those of one record that were not answered, oldest first: at most one that was sent, and one that was not."""
    query = f"SELECT {_COLUMNS} FROM change WHERE kind = ? AND record_id = ? AND {_OPEN} ORDER BY place"
    return [_change(row) for row in db.execute(query, [str(key.kind), key.id]).fetchall()]


def to_send(db: Connection, limit: int) -> list[Change]:
    """The oldest of each record; sent once, they are sent unchanged until they are answered."""
    query = (
        f"SELECT {_COLUMNS} FROM change WHERE {_OPEN}"
        " QUALIFY row_number() OVER (PARTITION BY kind, record_id ORDER BY place) = 1 ORDER BY place LIMIT ?"
    )
    found = [_change(row) for row in db.execute(query, [limit]).fetchall()]
    for change in found:
        if change.state is State.PENDING:
            db.execute("UPDATE change SET state = 'SENT' WHERE change_id = ?", [change.change_id])
    return [replace(change, state=State.SENT) for change in found]


def find_sent(db: Connection, change_id: UUID) -> Change | None:
    """One that waits for its answer."""
    row = db.execute(f"SELECT {_COLUMNS} FROM change WHERE change_id = ? AND state = 'SENT'", [change_id]).fetchone()
    return None if row is None else _change(row)


def close(db: Connection, change: Change, state: State, outcome: str = "") -> None:
    db.execute("UPDATE change SET state = ?, outcome = ? WHERE change_id = ?", [str(state), outcome, change.change_id])


def trim(db: Connection) -> None:
    db.execute(
        f"DELETE FROM change WHERE NOT {_OPEN} AND place NOT IN (SELECT place FROM change ORDER BY place DESC LIMIT ?)",
        [_KEPT],
    )


def newest(db: Connection, limit: int) -> list[Change]:
    query = f"SELECT {_COLUMNS} FROM change ORDER BY place DESC LIMIT ?"
    return [_change(row) for row in db.execute(query, [limit]).fetchall()]


def waiting(db: Connection) -> set[Key]:
    """Records with a change that was not answered."""
    rows = db.execute(f"SELECT DISTINCT kind, record_id FROM change WHERE {_OPEN}").fetchall()
    return {Key(Kind(kind), record_id) for kind, record_id in rows}


def _change(row: Sequence[Any]) -> Change:
    change_id, kind, record_id, base, record, made_at, state, outcome = row
    return Change(
        change_id,
        Key(Kind(kind), record_id),
        None if base is None else record_from(base),
        record_from(record),
        unix_ms(made_at),
        State(state),
        outcome,
    )
