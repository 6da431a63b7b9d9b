"""A reference record as a row, and as the JSON that the cache and the way to ClickHouse carry."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from services.database.domain.reference import FIELDS, Kind, Record

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
# What every table has beside the kind's own fields.
ABOUT = ("created_at", "updated_at", "updated_by", "version", "removed")


def columns(kind: Kind) -> tuple[str, ...]:
    """Of the kind's tables, in PostgreSQL and in ClickHouse."""
    return (*FIELDS[kind], *ABOUT)


def row_of(record: Record) -> tuple[Any, ...]:
    """Values of `columns`."""
    times = (_EPOCH + record.created_unix_ms * _MS, _EPOCH + record.updated_unix_ms * _MS)
    return (*record.values.values(), *times, record.updated_by, record.version, record.removed)


def record_of(kind: Kind, row: Mapping[str, Any]) -> Record:
    return Record(
        kind,
        {name: row[name] for name in FIELDS[kind]},
        version=row["version"],
        removed=row["removed"],
        created_unix_ms=(row["created_at"] - _EPOCH) // _MS,
        updated_unix_ms=(row["updated_at"] - _EPOCH) // _MS,
        updated_by=row["updated_by"],
    )


def text_of(record: Record) -> str:
    """One JSON object of `columns`, as ClickHouse reads a row."""
    return json.dumps(dict(zip(columns(record.kind), map(_plain, row_of(record)), strict=True)))


def record_from(kind: Kind, text: str | bytes) -> Record:
    """From `text_of`."""
    row = json.loads(text)
    for name, field in FIELDS[kind].items():
        if field.type in (UUID, Decimal) and row[name] is not None:
            row[name] = field.type(row[name])
    for name in ("created_at", "updated_at"):
        row[name] = datetime.fromisoformat(row[name]).replace(tzinfo=UTC)
    return record_of(kind, row)


def _plain(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.") + f"{value.microsecond // 1000:03}"
    return value
