"""Money, prices and volumes at the edge: decimal strings, never floats."""

import re
from decimal import Decimal

_PLAIN = re.compile(r"-?\d{1,12}(\.\d{1,12})?", re.ASCII)

MAX_VOLUME = Decimal(100_000)
MAX_PRICE = Decimal(1_000_000_000)


class BadDecimalError(ValueError):
    """Not a number that may be stored; the message names the field."""


def volume(field: str, text: str) -> Decimal:
    """Lots to trade: more than 0.

    Raises:
        BadDecimalError
    """
    value = _parse(field, text)
    if not 0 < value <= MAX_VOLUME:
        raise BadDecimalError(f"{field} is {text}; give lots above 0 and up to {MAX_VOLUME}")
    return value


def filled_volume(field: str, text: str) -> Decimal:
    """Lots that were filled; empty: 0.

    Raises:
        BadDecimalError
    """
    value = _parse(field, text or "0")
    if not 0 <= value <= MAX_VOLUME:
        raise BadDecimalError(f"{field} is {text}; give lots from 0 to {MAX_VOLUME}")
    return value


def price(field: str, text: str) -> Decimal | None:
    """A price above 0; empty: none.

    Raises:
        BadDecimalError
    """
    if not text:
        return None
    value = _parse(field, text)
    if not 0 < value <= MAX_PRICE:
        raise BadDecimalError(f"{field} is {text}; give a price above 0 and up to {MAX_PRICE}, or leave it empty")
    return value


def text(value: Decimal | None) -> str:
    """Plain digits, never an exponent; empty for none."""
    return "" if value is None else f"{value:f}"


def _parse(field: str, text: str) -> Decimal:
    if not _PLAIN.fullmatch(text):
        raise BadDecimalError(
            f"{field} is {text[:40]!r}; write a decimal number with at most 12 digits on each side, such as 0.10"
        )
    return Decimal(text)
