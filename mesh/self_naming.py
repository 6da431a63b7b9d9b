"""How a server names itself to the other end of a long stream: in the initial metadata."""

from typing import Any

_KEY = "suho-instance"


def own_name(instance: str) -> tuple[tuple[str, str], ...]:
    """The initial metadata to send."""
    return ((_KEY, instance),)


def server_of(metadata: Any) -> str:
    """Who sent this initial metadata; empty: it does not say."""
    return next((str(value) for key, value in metadata or () if key == _KEY), "")
