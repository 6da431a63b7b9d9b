"""The clients whose discovery streams this hub serves."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hub.xds.stream import AdsStream


@dataclass(eq=False, slots=True)
class Client:
    """Who holds a stream, and since when."""

    stream: AdsStream
    peer: str
    since_unix_ms: int


class Clients:
    """All of them, the oldest first."""

    def __init__(self) -> None:
        self._clients: dict[Client, None] = {}

    def __iter__(self) -> Iterator[Client]:
        return iter(self._clients)

    def __len__(self) -> int:
        return len(self._clients)

    @contextmanager
    def connected(self, client: Client) -> Iterator[None]:
        """Listed within the block."""
        self._clients[client] = None
        try:
            yield
        finally:
            del self._clients[client]
