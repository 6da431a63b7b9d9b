"""What can be learned of a terminal's history, and from whom."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from mesh.market import BEFORE_FIRST, Batch, TickId
from mesh.market.digest import Digest
from services.data_bridge.domain.audit import Span
from services.data_bridge.domain.progress import SymbolKey


@dataclass(frozen=True, slots=True)
class Position:
    """Where an agent stands with a symbol: the newest tick that its terminal shows, read, sent, acknowledged."""

    terminal: TickId = BEFORE_FIRST
    read: TickId = BEFORE_FIRST
    sent: TickId = BEFORE_FIRST
    acknowledged: TickId = BEFORE_FIRST
    connected: bool = False
    lane: int = 0


class Terminals(Protocol):
    """The terminals, through the agents that stream from them.

    Everything here raises MeshError: NO_SOURCE, HISTORY_UNAVAILABLE.
    """

    async def position(self, key: SymbolKey) -> Position:
        """Where the agent stands."""

    async def digests(self, key: SymbolKey, span: Span) -> list[Digest]:
        """What the terminal's ticks amount to, a bucket each, empty ones too."""

    async def ticks(self, key: SymbolKey, from_msc: int, to_msc: int) -> Batch | None:
        """The terminal's ticks of [from_msc, to_msc); None when there are none."""


class Store(Protocol):
    """The ticks at rest. Everything here raises MeshError."""

    async def digests(self, key: SymbolKey, span: Span) -> tuple[list[Digest], int]:
        """What the newest generation amounts to, a bucket each, and the highest generation of a correction there."""

    async def ticks(self, key: SymbolKey, from_msc: int, to_msc: int) -> Batch | None:
        """The newest generation's ticks of [from_msc, to_msc); None when there are none."""

    async def until_stored(self, log: str, seq: int | None = None) -> None:
        """Wait until the log's messages up to `seq` are stored; None: all that it holds now."""


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest message of a symbol in the log: its number, its last tick, when that was read and logged."""

    seq: int
    last: TickId
    read_unix_ns: int
    logged_unix_ns: int


class SymbolLog(Protocol):
    """The log of live ticks, a symbol at a time. Everything here raises LogUnavailableError."""

    async def newest(self, key: SymbolKey) -> Newest | None:
        """The newest message; None when there is none."""

    async def count(self, key: SymbolKey, from_msc: int, to_msc: int) -> int:
        """The ticks of [from_msc, to_msc) that the log still holds."""


@dataclass(frozen=True, slots=True)
class Appended:
    """What is durable now; `seq` is the newest message of it, 0 for none."""

    seq: int = 0
    ticks: int = 0
    quarantined: int = 0


class LaterTicks(Protocol):
    """Where ticks go that are not live any more. Everything here raises MeshError LOG_UNAVAILABLE."""

    async def add(self, batches: Iterable[Batch]) -> Appended:
        """Ticks that were missing, of the generation that they bear. Flawed values become quarantine markers."""

    async def correct(
        self, key: SymbolKey, ticks: Batch | None, generation: int, from_msc: int, to_msc: int, reason: str
    ) -> int:
        """Tell [from_msc, to_msc) anew: `ticks`, and once they are durable the message that makes them count.

        Returns that message's number.
        """
