"""What every request is checked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from mesh.errors import MeshError, Reason
from mesh.orders import LONGEST_REPORT_ID, BadAmountError
from services.database.domain.order import AccountRef

_LARGEST = 2**63 - 1
_LONGEST = LONGEST_REPORT_ID

DEFAULT_PAGE = 100
LARGEST_PAGE = 1000


class AccountMessage(Protocol):
    server: str
    login: int


class PageMessage(Protocol):
    size: int
    token: str


@contextmanager
def valid_amounts() -> Iterator[None]:
    """BadAmountError as the status that it is."""
    try:
        yield
    except BadAmountError as error:
        raise invalid(str(error)) from None


def invalid(sentence: str) -> MeshError:
    return MeshError(Reason.INVALID_ARGUMENT, sentence)


def account_ref(message: AccountMessage) -> AccountRef:
    """Raises MeshError INVALID_ARGUMENT when server or login is missing."""
    return AccountRef(word("account.server", message.server), number("account.login", message.login, least=1))


def word(field: str, text: str) -> str:
    """A text that must be there, and of sensible length."""
    if not text:
        raise invalid(f"{field} is empty; it must be given")
    return phrase(field, text)


def phrase(field: str, text: str, longest: int = _LONGEST) -> str:
    """A text that may be empty."""
    if len(text) > longest:
        raise invalid(f"{field} has {len(text)} characters; at most {longest} are taken")
    if "\x00" in text:
        raise invalid(f"{field} holds a NUL character")
    return text


def number(field: str, value: int, least: int = 0) -> int:
    """A whole number that the store can hold."""
    if not least <= value <= _LARGEST:
        raise invalid(f"{field} is {value}; give a whole number from {least} to {_LARGEST}")
    return value


def page(message: PageMessage) -> tuple[int, int]:
    """(id below which the page begins, or 0; its size).

    Raises:
        MeshError: INVALID_PAGE.
    """
    if message.size > LARGEST_PAGE:
        raise MeshError(Reason.INVALID_PAGE, f"page.size is {message.size}; at most {LARGEST_PAGE} fit a page")
    if message.token and not (message.token.isascii() and message.token.isdecimal() and len(message.token) < 19):
        raise MeshError(Reason.INVALID_PAGE, "page.token is not one that this service gave; begin with an empty one")
    return int(message.token or "0"), message.size or DEFAULT_PAGE
