"""Made-up messages of a log, and an alarm that remembers."""

from dataclasses import replace
from typing import Any

import numpy as np

from mesh.market import BEFORE_FIRST, Batch, TickId
from mesh.market.batch import ordinals
from mesh.market.zone import Zone
from services.database.domain.alarm import Alarm
from services.database.domain.incident import Incident
from services.database.domain.log import Ticks
from services.database.domain.name_rules import NameRules
from services.database.domain.session import Session

# Monday 2 November 2026, 12:00 of the server's clock.
NOON_MSC = 1_793_620_800_000


def message(bid: Any, ask: Any, time_msc: Any = None, seq: int = 1, **fields: Any) -> Ticks:
    """A message of one symbol; a tick each second from noon on unless told otherwise."""
    count = len(bid)
    times = NOON_MSC + np.arange(count) * 1000 if time_msc is None else np.array(time_msc, np.int64)
    batch = Batch(
        server="Demo",
        symbol="EURUSD",
        agent="pc",
        read_unix_ns=int(times[-1]) * 1_000_000,
        prev=BEFORE_FIRST,
        time_msc=times,
        ordinal=ordinals(times),
        bid=np.array(bid, np.float64),
        ask=np.array(ask, np.float64),
        last=np.zeros(count),
        volume_real=np.zeros(count),
        volume=np.zeros(count, np.uint64),
        flags=np.full(count, 6, np.uint32),
    )
    return Ticks(seq, replace(batch, **fields))


def at(time_msc: int, read_ms: int | None = None, prev: TickId = BEFORE_FIRST, **fields: Any) -> Batch:
    """A tick at a server time, read then or at `read_ms`."""
    read_ns = (time_msc if read_ms is None else read_ms) * 1_000_000
    return message([1.1], [1.2], [time_msc], read_unix_ns=read_ns, prev=prev, **fields).batch


class Alarms:
    """An alarm whose clock stands, and what it told."""

    def __init__(self, every_ms: int = 60_000) -> None:
        self.told: list[Incident] = []
        self.now_ms = 1_000_000
        self.alarm = Alarm(lambda: self.now_ms, self.told.append, "database-1", every_ms)

    @property
    def kinds(self) -> list[tuple[str, str]]:
        return [(incident.kind, incident.symbol) for incident in self.told]


def zones(*entries: str) -> NameRules[Zone]:
    return NameRules(entries, Zone, Zone("UTC"))


def sessions(*entries: str) -> NameRules[Session | None]:
    return NameRules(entries, Session, None)
