"""Keys of the shared store as NATS subjects: readable, and safe for any name."""

from hashlib import blake2b
from typing import cast, get_args
from urllib.parse import quote, unquote

from hub.domain.state import Key, Kind

# NATS takes 4,096 bytes for a whole command line.
_LONGEST = 1_024
_DIGEST = "=="


def key_to(key: Key) -> str:
    """Two tokens of a subject: the kind and the name."""
    return f"{key.kind}.{token_of(key.name)}"


def token_of(name: str) -> str:
    """One token of a subject for any name: only letters, digits, '-' and '_' stay as they are."""
    token = quote(name, safe="").replace(".", "%2E").replace("~", "%7E").replace("%", "=")
    if len(token) > _LONGEST:
        token = _DIGEST + blake2b(name.encode(), digest_size=32).hexdigest()
    return token


def key_from(subject: str, full_name: str = "") -> Key | None:
    """The key behind a subject; None where it is none, or its name was too long and is not given either."""
    kind, _, name = subject.partition(".")
    if kind not in get_args(Kind) or (name.startswith(_DIGEST) and not full_name):
        return None
    return Key(cast(Kind, kind), full_name or unquote(name.replace("=", "%")))
