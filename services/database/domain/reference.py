"""Brokers, terminals, accounts and preferences: what their fields may be, and which change of one is taken."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

_MONEY = re.compile(r"-?\d{1,16}(\.\d{1,8})?", re.ASCII)
_LANGUAGE = re.compile(r"[a-z]{2}(-[A-Z]{2})?", re.ASCII)
_MOST_PAIRS = 10_000
_LARGEST = 2**63 - 1


class Kind(StrEnum):
    """In an order in which each refers only to those before it."""

    BROKER = "BROKER"
    INSTANCE = "INSTANCE"
    ACCOUNT = "ACCOUNT"
    PREFERENCES = "PREFERENCES"


class BadRecordError(ValueError):
    """A field that can not be stored; the message names it."""


@dataclass(frozen=True, slots=True)
class Field:
    """What a field holds. `longest` is of a text; `refers_to` names the kind whose id it is."""

    type: type
    required: bool = True
    longest: int = 0
    refers_to: Kind | None = None


_ID = Field(UUID)
_MONEY_FIELD = Field(Decimal)
_TIMES = (0, 253_402_300_799_999)

# By the contract's names, which are the tables' too; the id first.
FIELDS: Mapping[Kind, Mapping[str, Field]] = {
    Kind.BROKER: {
        "broker_id": _ID,
        "name": Field(str, longest=100),
        "server": Field(str, longest=255),
        "commission_per_lot": Field(Decimal, required=False),
        "spread_type": Field(str),
        "margin_requirement": Field(Decimal, required=False),
        "currency_pairs_supported": Field(list),
    },
    Kind.INSTANCE: {
        "instance_id": _ID,
        "path": Field(str, longest=255),
        "status": Field(str),
        "broker_id": Field(UUID, refers_to=Kind.BROKER),
        "cpu_limit_percent": Field(float),
        "memory_limit_mb": Field(float),
    },
    Kind.ACCOUNT: {
        "account_id": _ID,
        "broker_id": Field(UUID, refers_to=Kind.BROKER),
        "instance_id": Field(UUID, required=False, refers_to=Kind.INSTANCE),
        "account_type": Field(str),
        "currency": Field(str, longest=10),
        "leverage": Field(float),
        "balance": _MONEY_FIELD,
        "equity": _MONEY_FIELD,
        "status": Field(str),
        "login": Field(int),
    },
    Kind.PREFERENCES: {
        "user_id": _ID,
        "theme": Field(str),
        "chart_type": Field(str),
        "notifications_enabled": Field(bool),
        "language": Field(str, longest=5),
        "auto_close_trades": Field(bool),
        "trade_confirmation": Field(bool),
    },
}


@dataclass(frozen=True, slots=True)
class Key:
    kind: Kind
    id: UUID


@dataclass(frozen=True, slots=True)
class Record:
    """`values` by FIELDS' names. Of a change, `version` is the one that it was made of."""

    kind: Kind
    values: Mapping[str, Any]
    version: int
    removed: bool
    created_unix_ms: int
    updated_unix_ms: int
    updated_by: str

    @property
    def key(self) -> Key:
        return Key(self.kind, self.values[id_field(self.kind)])

    def refers_to(self) -> list[Key]:
        """What must be there for it."""
        found = [(field.refers_to, self.values[name]) for name, field in FIELDS[self.kind].items()]
        return [Key(kind, record_id) for kind, record_id in found if kind is not None and record_id is not None]


def id_field(kind: Kind) -> str:
    return next(iter(FIELDS[kind]))


def next_version(current: Record | None, change: Record) -> int | None:
    """The version that a change becomes: the current one where it changes nothing; None: somebody was quicker.

    A change made of a version that the database does not have any more (it was restored) counts: the higher one wins.
    """
    if current is None or change.version >= current.version:
        return change.version + 1
    if (change.values, change.removed) == (current.values, current.removed):
        return current.version
    return None


def checked(kind: Kind, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Values as they are stored, from those of a message (ids and money are texts there).

    Raises:
        BadRecordError
    """
    return {name: _checked(name, field, raw[name]) for name, field in FIELDS[kind].items()}


def checked_times(created_unix_ms: int, updated_unix_ms: int) -> None:
    """Raises BadRecordError for moments that no calendar has."""
    for name, moment in (("created_unix_ms", created_unix_ms), ("updated_unix_ms", updated_unix_ms)):
        if not _TIMES[0] <= moment <= _TIMES[1]:
            raise BadRecordError(f"{name} is {moment}; give milliseconds since 1970")


def _checked(name: str, field: Field, value: Any) -> Any:
    if value == "" and not field.required:
        return None
    if field.type is UUID:
        return _uuid(name, value)
    if field.type is Decimal:
        return _money(name, value)
    if field.type is list:
        return _texts(name, list(value))
    if field.type is str:
        return _language(value) if name == "language" else _text(name, value, field.longest)
    if field.type is float and not 0 <= value < float("inf"):
        raise BadRecordError(f"{name} is {value}; give a number from 0 up")
    if field.type is int and not 0 < value <= _LARGEST:
        raise BadRecordError(f"{name} is {value}; give a whole number from 1 up")
    return value


def _uuid(name: str, text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise BadRecordError(f"{name} is {text[:60]!r}; give a UUID") from None


def _money(name: str, text: str) -> Decimal:
    if not _MONEY.fullmatch(text):
        raise BadRecordError(
            f"{name} is {text[:40]!r}; write a decimal number with at most 16 and 8 digits, such as 0.10"
        )
    return Decimal(text)


def _text(name: str, text: str, longest: int) -> str:
    if longest and len(text) > longest:
        raise BadRecordError(f"{name} has {len(text)} characters; at most {longest} are taken")
    if "\x00" in text:
        raise BadRecordError(f"{name} holds a NUL character")
    return text


def _language(text: str) -> str:
    if not _LANGUAGE.fullmatch(text):
        raise BadRecordError(f"language is {text[:40]!r}; write a code such as en or pt-BR")
    return text


def _texts(name: str, texts: list[str]) -> list[str]:
    if len(texts) > _MOST_PAIRS:
        raise BadRecordError(f"{name} lists {len(texts)}; at most {_MOST_PAIRS} are taken")
    return [_text(name, text, 100) for text in texts]
