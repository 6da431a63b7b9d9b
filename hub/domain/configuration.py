"""Settings that the mesh keeps for its programs: a document by target, in versions."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from hub.domain.admission import INSTANCE_ID, SERVICE_NAME, AdmissionError, admit_text

MAX_VERSIONS = 50
MAX_VALUES = 128
MAX_BYTES = 16_384
"""Of one version's values, as JSON."""
MAX_HELD_BYTES = 131_072
"""Of all versions of a target. An entry is one message of NATS, 1 MB at most, where a digit takes 11 bytes."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_DEEPEST = 8
_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)|secret|token|credential|api_?key|auth_?key|private_?key|(^|_)dsn($|_)", re.IGNORECASE
)
_SECRET_TEXT = re.compile(r"://[^/@\s]*:[^/@\s]+@|-----BEGIN [A-Z ]*PRIVATE KEY-----")


class UnknownVersionError(LookupError):
    """That version is not held; the text says which are."""


class SecretError(ValueError):
    """A secret was to be kept where everybody can read it; the text does not repeat it."""


@dataclass(frozen=True, slots=True)
class ConfigTarget:
    """A service or, where one is named, an instance of it."""

    service: str
    instance: str = ""

    def __str__(self) -> str:
        return f"{self.service}/{self.instance}" if self.instance else self.service


@dataclass(frozen=True, slots=True)
class Version:
    """A document as somebody made it; it never changes."""

    number: int
    values: Mapping[str, Any]
    """As JSON has them: numbers, texts, truth values, lists and mappings."""
    reason: str
    by: str
    changed_unix_ms: int
    rolled_back_to: int = 0


@dataclass(frozen=True, slots=True)
class Configuration:
    """A target's versions, oldest first; at least one."""

    target: ConfigTarget
    versions: tuple[Version, ...]

    @property
    def newest(self) -> Version:
        return self.versions[-1]

    def version(self, number: int) -> Version:
        """One of those held.

        Raises:
            UnknownVersionError: it is not.
        """
        for version in self.versions:
            if version.number == number:
                return version
        held = f"{self.versions[0].number} to {self.newest.number}"
        raise UnknownVersionError(f"{self.target} has no version {number}; held are {held}")


@dataclass(frozen=True, slots=True)
class Effective:
    """What counts for a target. The revision is another after each change of what it is made of; 0: of nothing."""

    target: ConfigTarget
    values: Mapping[str, Any]
    of_service: Version | None
    of_instance: Version | None
    revision: int


Held = tuple[int, Configuration]


def effective(target: ConfigTarget, of_service: Held | None, of_instance: Held | None) -> Effective:
    """The service's values under the instance's; each document with the revision of its last write."""
    documents = [held for held in (of_service, of_instance) if held is not None]
    values: dict[str, Any] = {}
    for _, document in documents:
        values |= document.newest.values
    return Effective(
        target,
        values,
        of_service[1].newest if of_service is not None else None,
        of_instance[1].newest if of_instance is not None else None,
        max((revision for revision, _ in documents), default=0),
    )


def with_version(before: Configuration | None, target: ConfigTarget, version: Version) -> Configuration:
    """With a version more; the oldest ones go when there is no room."""
    versions = [*(before.versions if before is not None else ()), version][-MAX_VERSIONS:]
    sizes = [_size(item.values) + len((item.reason + item.by).encode()) for item in versions]
    while sum(sizes) > MAX_HELD_BYTES:
        del versions[0], sizes[0]
    return Configuration(target, tuple(versions))


def same_values(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """As JSON sees it, where true is not 1."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def admit_config_target(target: ConfigTarget) -> None:
    """Check what a document is for.

    Raises:
        AdmissionError: naming what is wrong.
    """
    if not SERVICE_NAME.fullmatch(target.service):
        raise AdmissionError(f"service {target.service[:128]!r}: 1-63 lower-case letters, digits, '-'; a letter first")
    if target.instance and not INSTANCE_ID.fullmatch(target.instance):
        raise AdmissionError(f"instance {target.instance[:128]!r}: letters, digits, '.', '_', '-'; 1-128")


def admit_change(target: ConfigTarget, reason: str, by: str) -> None:
    """Check who changes what, and why.

    Raises:
        AdmissionError: naming what is wrong.
    """
    admit_config_target(target)
    admit_text("reason", reason)
    admit_text("by", by)


def admit_values(values: Mapping[str, Any]) -> None:
    """Check a document.

    Raises:
        AdmissionError: naming the value and what is wrong.
        SecretError: it holds what looks like a secret.
    """
    if len(values) > MAX_VALUES:
        raise AdmissionError(f"{len(values)} values; at most {MAX_VALUES} fit a document")
    for name, value in values.items():
        if not _NAME.fullmatch(name):
            raise AdmissionError(f"value {name[:64]!r}: 1-64 lower-case letters, digits, '_'; a letter first")
        _admit_value(name, value)
    if (size := _size(values)) > MAX_BYTES:
        raise AdmissionError(f"the values take {size} bytes as JSON; at most {MAX_BYTES} are kept")


def _admit_value(name: str, value: Any) -> None:
    for path, leaf in _leaves(name, value, 0):
        if leaf is None:
            raise AdmissionError(f"{path[:128]} is null: leave out what is not to be set")
        if isinstance(leaf, float) and not isfinite(leaf):
            raise AdmissionError(f"{path[:128]} is {leaf}: no number that JSON knows")
        if _SECRET_NAME.search(path) or (isinstance(leaf, str) and _SECRET_TEXT.search(leaf)):
            raise SecretError(
                f"{path[:128]} looks like a secret: those stay in a file on the machine that needs them, because "
                "everybody in the mesh can read this"
            )


def _leaves(path: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    if depth > _DEEPEST:
        raise AdmissionError(f"{path[:128]} is nested more than {_DEEPEST} deep")
    if isinstance(value, Mapping):
        yield path, ""
        for name, item in value.items():
            yield from _leaves(f"{path}.{name}", item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(path, item, depth + 1)
    else:
        yield path, value


def _size(values: Mapping[str, Any]) -> int:
    return len(json.dumps(values, separators=(",", ":"), ensure_ascii=False).encode())
