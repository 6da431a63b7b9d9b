"""Values of configurations as people write and read them: TOML."""

import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import typer
from suho.hub.v1 import config_pb2

from cli.output import fail


def target_of(text: str) -> config_pb2.ConfigTarget:
    """`SERVICE` or `SERVICE/INSTANCE`."""
    service, _, instance = text.partition("/")
    if not service or ("/" in text and not instance):
        raise typer.BadParameter(f"{text!r}: write SERVICE, or SERVICE/INSTANCE for one instance of it")
    return config_pb2.ConfigTarget(service=service, instance=instance)


def name_of(target: config_pb2.ConfigTarget) -> str:
    """As `target_of` takes it."""
    return f"{target.service}/{target.instance}" if target.instance else target.service


def assignments(texts: Iterable[str]) -> dict[str, Any]:
    """`NAME=VALUE`s; a value that is no TOML is a text.

    Raises:
        typer.BadParameter: one is no assignment.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise typer.BadParameter(f"{text!r}: write NAME=VALUE, e.g. max_spread_points=30 or symbols='[\"EURUSD\"]'")
        try:
            read = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            read = value
        values[name.strip()] = plain(read)
    return values


def document(text: str, source: str) -> dict[str, Any]:
    """A whole document, in TOML or as one JSON object; ends the command where it is neither."""
    if text.lstrip().startswith("{"):
        try:
            read = json.loads(text)
        except ValueError as error:
            fail(f"{source} is no JSON: {error}", 2)
    else:
        try:
            read = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            fail(f"{source} is no TOML: {error}", 2)
    values: dict[str, Any] = plain(read)
    return values


def document_of(file: Path) -> dict[str, Any]:
    """A file's document; `-` is standard input."""
    try:
        text = typer.get_text_stream("stdin").read() if str(file) == "-" else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{file} can not be read: {error}", 2)
    return document(text, str(file))


def plain(value: Any) -> Any:
    """As JSON has it: a date becomes its text."""
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool) else str(value)


def toml(values: Mapping[str, Any]) -> str:
    """A document for people to read and change."""
    import tomlkit  # takes every command a tenth of its time

    made = tomlkit.document()
    for name, value in values.items():
        made[name] = value
    return tomlkit.dumps(made)


def shown(value: Any) -> str:
    """One value, on a line."""
    return json.dumps(value, ensure_ascii=False)


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was added, removed and changed, by name; `was` or `is` is absent where there was or is none."""
    found: list[dict[str, Any]] = []
    for name in sorted(before.keys() | after.keys()):
        if name in before and name in after and shown(before[name]) == shown(after[name]):
            continue
        was = {"was": before[name]} if name in before else {}
        now = {"is": after[name]} if name in after else {}
        found.append({"name": name, **was, **now})
    return found


def told(difference: Mapping[str, Any]) -> str:
    """A difference in words."""
    name = difference["name"]
    if "was" not in difference:
        return f"{name} {shown(difference['is'])} (new)"
    if "is" not in difference:
        return f"{name} {shown(difference['was'])} (taken out)"
    return f"{name} {shown(difference['was'])} → {shown(difference['is'])}"
