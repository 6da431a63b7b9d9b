"""Money, prices and volumes as they come: plain decimal strings, never floats."""

import re
from decimal import Decimal

_PLAIN = re.compile(r"\d{1,12}(\.\d{1,12})?", re.ASCII)


class BadDecimalError(ValueError):
    """The message names the field and says what to write."""


def parse(field: str, text: str) -> Decimal:
    """A number of at least 0.

    Raises:
        BadDecimalError
    """
    if not _PLAIN.fullmatch(text):
        raise BadDecimalError(f"{field} is {text[:40]!r}; write a plain decimal number such as 0.10")
    return Decimal(text)


def positive(field: str, text: str) -> Decimal:
    """A number above 0.

    Raises:
        BadDecimalError
    """
    value = parse(field, text)
    if value == 0:
        raise BadDecimalError(f"{field} is {text}; it must be more than 0")
    return value


def price(field: str, text: str) -> Decimal | None:
    """A price above 0; empty: none.

    Raises:
        BadDecimalError
    """
    return positive(field, text) if text else None


def text(value: Decimal | None) -> str:
    """Plain digits, never an exponent; empty for none."""
    return "" if value is None else f"{value:f}"
