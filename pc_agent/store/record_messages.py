"""Records: messages to domain values and back. Fields bear the same names on both sides."""

from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from suho.common.v1 import record_pb2 as pb

from pc_agent.domain.reference import (
    AccountType,
    Broker,
    ChartType,
    Content,
    Instance,
    Key,
    Kind,
    Preferences,
    Record,
    SpreadType,
    Status,
    Theme,
    TradingAccount,
)
from pc_agent.store.rows import content_of

_FIELDS: Mapping[Kind, str] = {
    Kind.BROKER: "broker",
    Kind.INSTANCE: "instance",
    Kind.ACCOUNT: "account",
    Kind.PREFERENCES: "preferences",
}
_KINDS = {name: kind for kind, name in _FIELDS.items()}
# The contract's enum and its prefix.
_ENUMS: Mapping[type[StrEnum], tuple[Any, str]] = {
    SpreadType: (pb.SpreadType, "SPREAD_TYPE_"),
    Status: (pb.RecordStatus, "RECORD_STATUS_"),
    AccountType: (pb.AccountType, "ACCOUNT_TYPE_"),
    Theme: (pb.Theme, "THEME_"),
    ChartType: (pb.ChartType, "CHART_TYPE_"),
}
_MESSAGES: Mapping[type[Content], Any] = {
    Broker: pb.Broker,
    Instance: pb.TerminalInstance,
    TradingAccount: pb.TradingAccount,
    Preferences: pb.Preferences,
}
_PREFIXES = {enum.DESCRIPTOR.full_name: prefix for enum, prefix in _ENUMS.values()}


def kind_number(kind: Kind) -> "pb.RecordKind.ValueType":
    return pb.RecordKind.Value(f"RECORD_KIND_{kind}")


def kind_of(number: "pb.RecordKind.ValueType") -> Kind:
    """Raises ValueError for the unset kind and those of a newer contract."""
    if number not in pb.RecordKind.values() or number == 0:
        raise ValueError(f"kind is {'unset' if number == 0 else number}; give one of {', '.join(Kind)}")
    return Kind(pb.RecordKind.Name(number).removeprefix("RECORD_KIND_"))


def key_message(key: Key, version: int, updated_unix_ms: int) -> pb.RecordKey:
    return pb.RecordKey(kind=kind_number(key.kind), id=str(key.id), version=version, updated_unix_ms=updated_unix_ms)


def record_message(record: Record) -> pb.Record:
    message = pb.Record(
        version=record.version,
        removed=record.removed,
        created_unix_ms=record.created_unix_ms,
        updated_unix_ms=record.updated_unix_ms,
        updated_by=record.updated_by,
    )
    getattr(message, _FIELDS[record.key.kind]).MergeFrom(content_message(record.content))
    return message


def content_message(content: Content) -> Any:
    made = {field.name: _out(getattr(content, field.name)) for field in fields(content)}
    return _MESSAGES[type(content)](**{name: value for name, value in made.items() if value is not None})


def record_of(message: pb.Record) -> Record:
    """Raises ValueError, naming what is wrong with it."""
    name = message.WhichOneof("content")
    if name is None:
        raise ValueError("a record without content")
    content = getattr(message, name)
    return Record(
        content_of(_KINDS[name], values_of(content)),
        version=message.version,
        removed=message.removed,
        created_unix_ms=message.created_unix_ms,
        updated_unix_ms=message.updated_unix_ms,
        updated_by=message.updated_by,
    )


def values_of(content: Any) -> dict[str, Any]:
    """A content message's fields as a row would have them; an unset enum raises ValueError."""
    return {field.name: _in(getattr(content, field.name), field) for field in content.DESCRIPTOR.fields}


def _out(value: Any) -> Any:
    if isinstance(value, StrEnum):
        enum, prefix = _ENUMS[type(value)]
        return enum.Value(f"{prefix}{value}")
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return str(value) if isinstance(value, UUID) else value


def _in(value: Any, field: Any) -> Any:
    if field.enum_type is not None:
        if value not in field.enum_type.values_by_number or value == 0:
            raise ValueError(f"{field.name} is {'unset' if value == 0 else value}")
        return field.enum_type.values_by_number[value].name.removeprefix(_PREFIXES[field.enum_type.full_name])
    return tuple(value) if field.is_repeated else value
