"""A record as a row of its table and as JSON, and back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from types import NoneType
from typing import Any, get_args, get_type_hints
from uuid import UUID

from pc_agent.domain.reference import TYPES, Content, Kind, Record, id_name, key_of

TABLES: Mapping[Kind, str] = {
    Kind.BROKER: "broker",
    Kind.INSTANCE: "instance",
    Kind.ACCOUNT: "account",
    Kind.PREFERENCES: "user_preference",
}
_ABOUT = ("created_at", "updated_at", "updated_by", "version", "removed")
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - DuckDB's TIMESTAMP bears no zone; ours are UTC
_MS = timedelta(milliseconds=1)


@cache
def columns(kind: Kind) -> tuple[str, ...]:
    """Of the kind's table; its key first."""
    return (*(field.name for field in fields(TYPES[kind])), *_ABOUT)


def key_column(kind: Kind) -> str:
    return id_name(TYPES[kind])


def row_of(record: Record) -> tuple[Any, ...]:
    """Values of `columns`."""
    content = [_value(getattr(record.content, field.name)) for field in fields(record.content)]
    times = timestamp(record.created_unix_ms), timestamp(record.updated_unix_ms)
    return (*content, *times, record.updated_by, record.version, record.removed)


def record_of(kind: Kind, row: Sequence[Any]) -> Record:
    names = columns(kind)
    values = dict(zip(names, row, strict=True))
    return Record(
        content_of(kind, values),
        version=values["version"],
        removed=values["removed"],
        created_unix_ms=unix_ms(values["created_at"]),
        updated_unix_ms=unix_ms(values["updated_at"]),
        updated_by=values["updated_by"],
    )


def content_of(kind: Kind, values: Mapping[str, Any]) -> Content:
    """From a row's values or a JSON object's."""
    made = {name: _typed(hint, values[name]) for name, hint in _hints(kind).items()}
    return TYPES[kind](**made)


def text_of(record: Record) -> str:
    """JSON."""
    content = {field.name: _plain(getattr(record.content, field.name)) for field in fields(record.content)}
    about = [record.version, record.removed, record.created_unix_ms, record.updated_unix_ms, record.updated_by]
    return json.dumps([key_of(record.content).kind, content, *about])


def record_from(text: str) -> Record:
    kind, content, *about = json.loads(text)
    return Record(content_of(Kind(kind), content), *about)


def timestamp(unix_ms: int) -> datetime:
    return _EPOCH + unix_ms * _MS


def unix_ms(moment: datetime) -> int:
    return (moment - _EPOCH) // _MS


@cache
def _hints(kind: Kind) -> dict[str, Any]:
    """What each field is, None left aside."""
    found = {}
    for name, hint in get_type_hints(TYPES[kind]).items():
        alone = [part for part in get_args(hint) if part is not NoneType] if NoneType in get_args(hint) else [hint]
        found[name] = alone[0]
    return found


def _value(value: Any) -> Any:
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value) if isinstance(value, str) else value  # of an enum its value


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, UUID | Decimal) else value


def _typed(hint: Any, value: Any) -> Any:
    if value is None or (value == "" and hint is not str and hint != tuple[str, ...]):
        return None
    if hint == tuple[str, ...]:
        return tuple(value.split(",")) if isinstance(value, str) and value else tuple(value or ())
    return value if isinstance(value, hint) else hint(value)
