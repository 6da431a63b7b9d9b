"""What the PC's store keeps of terminals, brokers, accounts and a person's preferences."""

import re
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid5

# Of all ids of ours: two PCs that see the same thing call it the same.
_NAMESPACE = UUID("5b0f5b5e-64f7-5d4c-9a3e-0c1d6f0a7a11")

_LANGUAGE = re.compile(r"[a-z]{2}(-[A-Z]{2})?", re.ASCII)


class Kind(StrEnum):
    """In an order in which each refers only to those before it."""

    BROKER = "BROKER"
    INSTANCE = "INSTANCE"
    ACCOUNT = "ACCOUNT"
    PREFERENCES = "PREFERENCES"


class Status(StrEnum):
    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"


class SpreadType(StrEnum):
    FIXED = "FIXED"
    VARIABLE = "VARIABLE"


class AccountType(StrEnum):
    DEMO = "DEMO"
    CONTEST = "CONTEST"
    LIVE = "LIVE"


class Theme(StrEnum):
    DARK = "DARK"
    LIGHT = "LIGHT"


class ChartType(StrEnum):
    CANDLE = "CANDLE"
    LINE = "LINE"
    BAR = "BAR"


@dataclass(frozen=True, slots=True)
class Broker:
    broker_id: UUID
    name: str
    server: str
    # None: not known.
    commission_per_lot: Decimal | None
    spread_type: SpreadType
    # Percent of a position's worth.
    margin_requirement: Decimal | None
    currency_pairs_supported: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Instance:
    """A terminal's installation as one broker's: logged in elsewhere it is another instance."""

    instance_id: UUID
    path: str
    status: Status
    broker_id: UUID
    # 0: no limit.
    cpu_limit_percent: float
    memory_limit_mb: float


@dataclass(frozen=True, slots=True)
class TradingAccount:
    account_id: UUID
    broker_id: UUID
    instance_id: UUID | None
    account_type: AccountType
    currency: str
    leverage: float
    balance: Decimal
    equity: Decimal
    status: Status
    login: int


@dataclass(frozen=True, slots=True)
class Preferences:
    user_id: UUID
    theme: Theme = Theme.DARK
    chart_type: ChartType = ChartType.CANDLE
    notifications_enabled: bool = True
    language: str = "en"
    auto_close_trades: bool = False
    trade_confirmation: bool = False


def is_language(code: str) -> bool:
    """Whether it is a code such as en or pt-BR."""
    return _LANGUAGE.fullmatch(code) is not None


Content = Broker | Instance | TradingAccount | Preferences

TYPES: dict[Kind, type[Content]] = {
    Kind.BROKER: Broker,
    Kind.INSTANCE: Instance,
    Kind.ACCOUNT: TradingAccount,
    Kind.PREFERENCES: Preferences,
}
_KINDS = {cls: kind for kind, cls in TYPES.items()}


@dataclass(frozen=True, slots=True)
class Key:
    kind: Kind
    id: UUID


@dataclass(frozen=True, slots=True)
class Record:
    """`version` counts the changes that the database took, 0: none yet; `removed`: a tombstone. Times: unix ms."""

    content: Content
    version: int
    removed: bool
    created_unix_ms: int
    updated_unix_ms: int
    updated_by: str

    @property
    def key(self) -> Key:
        return key_of(self.content)


def key_of(content: Content) -> Key:
    return Key(_KINDS[type(content)], getattr(content, id_name(type(content))))


def id_name(cls: type[Content]) -> str:
    """The field that names it: the first."""
    return fields(cls)[0].name


def broker_id(server: str) -> UUID:
    return uuid5(_NAMESPACE, f"broker/{server}")


def instance_id(agent: str, path: str, server: str) -> UUID:
    return uuid5(_NAMESPACE, f"instance/{agent}/{path}/{server}")


def account_id(server: str, login: int) -> UUID:
    return uuid5(_NAMESPACE, f"account/{server}/{login}")


def user_id(agent: str) -> UUID:
    """Of the person at an agent's PC, while nobody says who that is."""
    return uuid5(_NAMESPACE, f"user/{agent}")


def observed(known: Record | None, seen: Content, now_ms: int, by: str) -> Record | None:
    """The record after a look at the thing itself; None: nothing is new.

    What a look can not tell keeps its value. What was removed and is there all the same is no more removed.
    """
    if known is None:
        return Record(seen, 0, False, now_ms, now_ms, by)
    content = _completed(known.content, seen)
    if content == known.content and not known.removed:
        return None
    return replace(
        known, content=content, removed=False, updated_unix_ms=max(now_ms, known.updated_unix_ms), updated_by=by
    )


def _completed(known: Content, seen: Content) -> Content:
    missing: dict[str, Any] = {
        field.name: getattr(known, field.name) for field in fields(seen) if getattr(seen, field.name) is None
    }
    return replace(seen, **missing)


def holder(known: UUID | None, seen: UUID, statuses: dict[UUID, Status]) -> UUID:
    """Which instance an account names, of several that are logged in to it: the first, for as long as it is active.

    Otherwise two PCs with the same account would write over each other at each look.
    """
    return known if known is not None and statuses.get(known) is Status.ACTIVE else seen
