"""Preferences as people write and read them, and tables of records."""

from collections.abc import Iterable, Sequence
from typing import Any

import typer
from suho.common.v1 import record_pb2

from cli.output import utc

_SWITCH = {"on": True, "off": False, "true": True, "false": False, "yes": True, "no": False}
_KINDS = {"brokers": "BROKER", "instances": "INSTANCE", "accounts": "ACCOUNT"}

KINDS = tuple(_KINDS)


def kind_of(name: str) -> "record_pb2.RecordKind.ValueType":
    """Raises typer.BadParameter."""
    if name not in _KINDS:
        raise typer.BadParameter(f"{name!r}: write one of {', '.join(KINDS)}")
    return record_pb2.RecordKind.Value(f"RECORD_KIND_{_KINDS[name]}")


def assign(preferences: record_pb2.Preferences, texts: Iterable[str]) -> list[str]:
    """Set each NAME=VALUE; their names.

    Raises:
        typer.BadParameter: it is no preference, or can not have that value.
    """
    fields = _settable()
    names = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in fields:
            raise typer.BadParameter(f"{text!r}: write NAME=VALUE with one of {', '.join(fields)}")
        setattr(preferences, name, _value(fields[name], value))
        names.append(name)
    return names


def shown(preferences: record_pb2.Preferences) -> dict[str, str | bool]:
    """By name, as `assign` takes them; switches as true and false."""
    return {name: _shown(getattr(preferences, name), field) for name, field in _settable().items()}


def facts(content: Any) -> dict[str, Any]:
    """A record's own fields, enums by their words."""
    return {field.name: _shown(getattr(content, field.name), field) for field in content.DESCRIPTOR.fields}


def content_of(record: record_pb2.Record) -> Any:
    return getattr(record, str(record.WhichOneof("content")))


def table(records: Sequence[record_pb2.Record]) -> tuple[list[str], list[list[object]]]:
    """Columns and rows of records of one kind."""
    rows: list[list[object]] = []
    columns: list[str] = []
    for record in records:
        content = facts(content_of(record))
        pairs = content.pop("currency_pairs_supported", None)
        if pairs is not None:
            content["pairs"] = len(pairs)
        columns = [name.upper() for name in content] + ["VERSION", "UPDATED", "BY"]
        about = [record.version or "-", utc(record.updated_unix_ms), record.updated_by]
        rows.append([*("-" if value in ("", 0) else value for value in content.values()), *about])
    return columns, rows


def _settable() -> dict[str, Any]:
    return {field.name: field for field in record_pb2.Preferences.DESCRIPTOR.fields if field.name != "user_id"}


def _value(field: Any, text: str) -> Any:
    if field.type == field.TYPE_BOOL:
        if text.lower() not in _SWITCH:
            raise typer.BadParameter(f"{field.name}={text}: write on or off")
        return _SWITCH[text.lower()]
    if field.enum_type is None:
        return text
    words = {_word(value.name): value.number for value in field.enum_type.values if value.number}
    if text.lower() not in words:
        raise typer.BadParameter(f"{field.name}={text}: write one of {', '.join(words)}")
    return words[text.lower()]


def _shown(value: Any, field: Any) -> Any:
    if field.enum_type is not None:
        return _word(field.enum_type.values_by_number[value].name)
    return list(value) if field.is_repeated else value


def _word(name: str) -> str:
    return name.rpartition("_")[2].lower()
