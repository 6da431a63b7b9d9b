"""State of as many names as fit; the one that was used longest ago goes first."""

from collections.abc import Callable
from typing import TypeVar

K = TypeVar("K")
T = TypeVar("T")


def latest(known: dict[K, T], name: K, new: Callable[[], T], most: int) -> T:
    """What `known` holds by a name, or `new`, moved to its end; beyond `most` the first one is forgotten."""
    found = known.pop(name) if name in known else new()
    known[name] = found
    if len(known) > most:
        del known[next(iter(known))]
    return found
