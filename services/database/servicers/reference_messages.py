"""Reference records: messages to domain values and back."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from suho.common.v1 import record_pb2 as pb

from services.database.domain.reference import BadRecordError, Key, Kind, Record, checked, checked_times
from services.database.servicers.edge import invalid, number

_FIELDS: Mapping[Kind, str] = {
    Kind.BROKER: "broker",
    Kind.INSTANCE: "instance",
    Kind.ACCOUNT: "account",
    Kind.PREFERENCES: "preferences",
}
_KINDS = {name: kind for kind, name in _FIELDS.items()}
_PREFIXES = {
    "SpreadType": "SPREAD_TYPE_",
    "RecordStatus": "RECORD_STATUS_",
    "AccountType": "ACCOUNT_TYPE_",
    "Theme": "THEME_",
    "ChartType": "CHART_TYPE_",
}
_LONGEST_NAME = 128


def kind(value: int) -> Kind:
    """Raises MeshError INVALID_ARGUMENT for the unset kind and those of a newer contract."""
    if value not in pb.RecordKind.values() or value == 0:
        raise invalid(f"kind is {'unset' if value == 0 else value}; give one of {', '.join(Kind)}")
    return Kind(pb.RecordKind.Name(value).removeprefix("RECORD_KIND_"))  # type: ignore[arg-type]


def uuid(field: str, text: str) -> UUID:
    """Raises MeshError INVALID_ARGUMENT."""
    try:
        return UUID(text)
    except ValueError:
        raise invalid(f"{field} is {text[:60]!r}; give a UUID") from None


def key(message: pb.RecordKey) -> Key:
    """Raises MeshError INVALID_ARGUMENT."""
    return Key(kind(message.kind), uuid("id", message.id))


def key_message(wanted: Key) -> pb.RecordKey:
    return pb.RecordKey(kind=pb.RecordKind.Value(f"RECORD_KIND_{wanted.kind}"), id=str(wanted.id))


def record(message: pb.Record) -> Record:
    """Raises BadRecordError, naming the field."""
    name = message.WhichOneof("content")
    if name is None:
        raise BadRecordError("the record has no content")
    if not 0 < len(message.updated_by) <= _LONGEST_NAME:
        raise BadRecordError(f"updated_by must have 1 to {_LONGEST_NAME} characters")
    checked_times(message.created_unix_ms, message.updated_unix_ms)
    content = getattr(message, name)
    raw = {field.name: _word(field, getattr(content, field.name)) for field in content.DESCRIPTOR.fields}
    return Record(
        _KINDS[name],
        checked(_KINDS[name], raw),
        version=number("version", message.version),
        removed=message.removed,
        created_unix_ms=message.created_unix_ms,
        updated_unix_ms=message.updated_unix_ms,
        updated_by=message.updated_by,
    )


def record_message(stored: Record) -> pb.Record:
    message = pb.Record(
        version=stored.version,
        removed=stored.removed,
        created_unix_ms=stored.created_unix_ms,
        updated_unix_ms=stored.updated_unix_ms,
        updated_by=stored.updated_by,
    )
    content = getattr(message, _FIELDS[stored.kind])
    content.SetInParent()
    for field in content.DESCRIPTOR.fields:
        _set(content, field, stored.values[field.name])
    return message


def _word(field: Any, value: Any) -> Any:
    """Of an enum its value's word; everything else as it is."""
    if field.enum_type is None:
        return value
    if value not in field.enum_type.values_by_number or value == 0:
        words = ", ".join(_words(field.enum_type))
        raise BadRecordError(f"{field.name} is {'unset' if value == 0 else value}; give one of {words}")
    return field.enum_type.values_by_number[value].name.removeprefix(_PREFIXES[field.enum_type.name])


def _words(enum: Any) -> list[str]:
    return [value.name.removeprefix(_PREFIXES[enum.name]) for value in enum.values if value.number]


def _set(content: Any, field: Any, value: Any) -> None:
    if value is None:
        return
    if field.is_repeated:
        getattr(content, field.name).extend(value)
    elif field.enum_type is not None:
        number_of = field.enum_type.values_by_name[_PREFIXES[field.enum_type.name] + value].number
        setattr(content, field.name, number_of)
    elif isinstance(value, Decimal):
        setattr(content, field.name, f"{value.normalize():f}")
    else:
        setattr(content, field.name, str(value) if isinstance(value, UUID) else value)
