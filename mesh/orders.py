"""What an order may be, whoever takes it: its kinds and their fields, how long a name and how large a number is.

Pure: domains may import it.
"""

import re
from collections.abc import Collection, Mapping
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

# Of ids, symbols, servers, agents and strategies.
LONGEST_NAME = 128
# Agents make it of a signal's id and a state.
LONGEST_REPORT_ID = 200

MAX_VOLUME = Decimal(100_000)
MAX_PRICE = Decimal(1_000_000_000)

_PLAIN = re.compile(r"\d{1,12}(\.\d{1,12})?", re.ASCII)
_SIGNED = re.compile(r"-?\d{1,15}(\.\d{1,12})?", re.ASCII)


class Kind(StrEnum):
    """As `suho.trading.v1.OrderKind`, which says what each means."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP = "STOP"
    STOP_LIMIT = "STOP_LIMIT"
    CLOSE = "CLOSE"
    CLOSE_BY = "CLOSE_BY"
    MODIFY_POSITION = "MODIFY_POSITION"
    MODIFY_ORDER = "MODIFY_ORDER"
    CANCEL_ORDER = "CANCEL_ORDER"


PENDING_KINDS = frozenset({Kind.LIMIT, Kind.STOP, Kind.STOP_LIMIT})
# What can make an account's exposure larger: what a halt blocks.
ENTRIES = PENDING_KINDS | {Kind.MARKET}
# What buys or sells by itself.
TRADES = ENTRIES | {Kind.CLOSE}


class _Fields(NamedTuple):
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


_STOPS = ("stop_loss", "take_profit")
_FIELDS: Mapping[Kind, _Fields] = MappingProxyType(
    {
        Kind.MARKET: _Fields(("side", "volume"), (*_STOPS, "deviation_points")),
        Kind.LIMIT: _Fields(("side", "volume", "price"), (*_STOPS, "expires_unix_ms")),
        Kind.STOP: _Fields(("side", "volume", "price"), (*_STOPS, "expires_unix_ms")),
        Kind.STOP_LIMIT: _Fields(("side", "volume", "price", "limit_price"), (*_STOPS, "expires_unix_ms")),
        Kind.CLOSE: _Fields(("position", "side", "volume"), ("deviation_points",)),
        Kind.CLOSE_BY: _Fields(("position", "opposite_position")),
        Kind.MODIFY_POSITION: _Fields(("position",), _STOPS),
        Kind.MODIFY_ORDER: _Fields(("order_ticket", "price"), ("limit_price", *_STOPS, "expires_unix_ms")),
        Kind.CANCEL_ORDER: _Fields(("order_ticket",)),
    }
)
# What only some kinds have; every order has a symbol.
KIND_FIELDS = tuple(dict.fromkeys(name for fields in _FIELDS.values() for name in (*fields.required, *fields.optional)))


class BadAmountError(ValueError):
    """Not a number that an order may bear; the message names the field and says what to write."""


def kind_defect(kind: Kind, given: Collection[str], to_be_found: Collection[str] = ()) -> str:
    """What is wrong with the fields that an order of this kind was given, in words; empty: nothing.

    Args:
        given: Those of `KIND_FIELDS` that are set.
        to_be_found: May be missing yet.
    """
    required, optional = _FIELDS[kind]
    missing = [name for name in required if name not in given and name not in to_be_found]
    if missing:
        return f"{missing[0]} is missing; a {kind} needs {', '.join(required)}"
    foreign = [name for name in KIND_FIELDS if name in given and name not in required and name not in optional]
    if foreign:
        return f"{foreign[0]} is set; a {kind} has {', '.join((*required, *optional))} only"
    return ""


def volume(field: str, text: str) -> Decimal:
    """Lots to trade: more than 0.

    Raises:
        BadAmountError
    """
    value = Decimal(text) if _SIGNED.fullmatch(text) else _parse(field, text)
    if not 0 < value <= MAX_VOLUME:
        raise BadAmountError(f"{field} is {text}; give lots above 0 and up to {MAX_VOLUME}")
    return value


def filled_volume(field: str, text: str) -> Decimal:
    """Lots that were filled; empty: 0.

    Raises:
        BadAmountError
    """
    value = _parse(field, text or "0")
    if not value <= MAX_VOLUME:
        raise BadAmountError(f"{field} is {text}; give lots from 0 to {MAX_VOLUME}")
    return value


def amount(field: str, text: str) -> Decimal:
    """A number of at least 0.

    Raises:
        BadAmountError
    """
    return _parse(field, text)


def price(field: str, text: str) -> Decimal | None:
    """A price above 0; empty: none.

    Raises:
        BadAmountError
    """
    if not text:
        return None
    value = _parse(field, text)
    if not 0 < value <= MAX_PRICE:
        raise BadAmountError(f"{field} is {text}; give a price above 0 and up to {MAX_PRICE}, or leave it empty")
    return value


def money(field: str, text: str) -> Decimal:
    """Money of the account, which may be lost; empty: 0.

    Raises:
        BadAmountError
    """
    if text and not _SIGNED.fullmatch(text):
        raise BadAmountError(f"{field} is {text[:40]!r}; write a plain decimal number such as -12.50")
    return Decimal(text or "0")


def plain(value: Decimal | None) -> str:
    """Plain digits, never an exponent; empty for none."""
    return "" if value is None else f"{value:f}"


def _parse(field: str, text: str) -> Decimal:
    if not _PLAIN.fullmatch(text):
        raise BadAmountError(
            f"{field} is {text[:40]!r}; write a plain decimal number with at most 12 digits on each side, such as 0.10"
        )
    return Decimal(text)
