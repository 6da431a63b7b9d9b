"""What people are alerted about; `suho.market.v1.TickIncident` says what each field means."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Incident:
    """Something odd that was noticed. The same `id` again is the same incident."""

    id: str
    at_unix_ms: int
    kind: str
    server: str = ""
    symbol: str = ""
    from_msc: int = 0
    to_msc: int = 0
    ticks: int = 0
    detail: str = ""
    reporter: str = ""
