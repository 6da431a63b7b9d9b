"""What can be learned of a terminal's history, and from whom."""

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
