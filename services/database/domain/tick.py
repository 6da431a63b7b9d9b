"""Single ticks and what is counted of many."""

from dataclasses import dataclass

from mesh.market import TickId


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
