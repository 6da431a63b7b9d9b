"""What an agent says about its terminal's history, beside the ticks themselves."""

from dataclasses import dataclass
from typing import Protocol

from mesh.market import TickId
from services.data_bridge.domain.progress import Arrival, SymbolKey


@dataclass(frozen=True, slots=True)
class SymbolCount:
    """Between `after` and `until` (included) the agent read `count` ticks."""

    key: SymbolKey
    after: TickId
    until: TickId
    count: int


@dataclass(frozen=True, slots=True)
class HistoryChange:
    """What the terminal has at the tick that a Welcome named: another quote, or none (0/0)."""

    key: SymbolKey
    at: TickId
    bid: float
    ask: float


@dataclass(frozen=True, slots=True)
class Resent:
    """Ticks that question `request` asked for again. Their `prev` means nothing."""

    request: int
    arrival: Arrival


class Incidents(Protocol):
    """Where what people are to be alerted about goes."""

    async def report(self, kind: str, key: SymbolKey, from_msc: int, to_msc: int, ticks: int, detail: str) -> None:
        """Server times; raises nothing: what can not be stored is logged."""
