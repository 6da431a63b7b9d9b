"""Single ticks and what is counted of many."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mesh.market import TickId, marks


@dataclass(frozen=True, slots=True)
class Tick:
    server: str
    symbol: str
    id: TickId
    bid: float
    ask: float
    last: float
    volume: int
    volume_real: float
    flags: int


@dataclass(frozen=True, slots=True)
class TickStats:
    """Counts of one (server, symbol); `suho.database.v1.TickStats` says what each means."""

    server: str
    symbol: str
    raw: int = 0
    stored: int = 0
    distinct: int = 0
    conflicting: int = 0
    quarantined: int = 0
    digits: int = 0
    bid_points_sum: int = 0
    ask_points_sum: int = 0
    first: TickId | None = None
    last: TickId | None = None


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds; 0 while nothing was measured."""

    p50_ms: float = 0.0
    p99_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class SymbolSummary:
    """A symbol that has ticks: how many rows, and between which server times."""

    server: str
    symbol: str
    ticks: int
    first_msc: int
    last_msc: int


# The bits of a tick's marks, by their names in `TickQuality`.
MARKS: Mapping[str, int] = MappingProxyType(
    {
        "crossed": marks.CROSSED,
        "zero_spread": marks.ZERO_SPREAD,
        "spikes": marks.SPIKE,
        "out_of_session": marks.OUT_OF_SESSION,
        "zero_price": marks.ZERO_PRICE,
        "repeated_hour": marks.REPEATED_HOUR,
        "missing_hour": marks.MISSING_HOUR,
    }
)


@dataclass(frozen=True, slots=True)
class TickQuality:
    """How many ticks of one symbol have each mark; and how many were refused."""

    server: str
    symbol: str
    ticks: int
    quarantined: int
    marked: Mapping[str, int]
