"""What people are to be alerted about, on its way to the database: never in the ticks' way."""

import asyncio
from hashlib import blake2b
from typing import Protocol

from grpc import StatusCode
from suho.database.v1 import tick_service_pb2 as pb

from mesh.clock import unix_ms
from mesh.errors import MeshError
from mesh.log import get_logger
from mesh.waiting import backoff
from services.data_bridge import wire
from services.data_bridge.domain.progress import SymbolKey

log = get_logger(__name__)

# What waits while the database is away; beyond it the oldest are forgotten.
_MOST_WAITING = 1_000


class IncidentStore(Protocol):
    async def report(self, incident: pb.TickIncident) -> None:
        """Raises MeshError."""


class TickIncidents:
    """Implements `domain.terminal.Incidents`. The same kind, symbol and range is the same incident."""

    def __init__(self, store: IncidentStore, reporter: str) -> None:
        self._store = store
        self._reporter = reporter
        self._waiting: dict[str, pb.TickIncident] = {}
        self._some = asyncio.Event()

    async def report(self, kind: str, key: SymbolKey, from_msc: int, to_msc: int, ticks: int, detail: str) -> None:
        log.warning(kind, server=key.server, symbol=key.symbol, from_msc=from_msc, to_msc=to_msc, detail=detail)
        identity = incident_id(kind, key, from_msc, to_msc)
        if len(self._waiting) >= _MOST_WAITING and identity not in self._waiting:
            forgotten = self._waiting.pop(next(iter(self._waiting)))
            log.error("an incident is forgotten: the database is away for too long", kind=forgotten.kind)
        self._waiting[identity] = pb.TickIncident(
            id=identity,
            at_unix_ms=unix_ms(),
            kind=kind,
            symbol=wire.symbol_ref(key),
            from_msc=from_msc,
            to_msc=to_msc,
            ticks=ticks,
            detail=detail,
            reporter=self._reporter,
        )
        self._some.set()

    async def run(self) -> None:
        """Hand them over, for ever; one that the database refuses is left behind."""
        pauses, failing = backoff(), False
        while True:
            await self._some.wait()
            identity = next(iter(self._waiting))
            incident = self._waiting.pop(identity)
            if not self._waiting:
                self._some.clear()
            try:
                await self._store.report(incident)
            except MeshError as error:
                if error.code is StatusCode.INVALID_ARGUMENT:
                    log.error("an incident is refused", kind=incident.kind, because=str(error))
                    continue
                if not failing:
                    log.warning("incidents wait for the database", because=str(error))
                failing = True
                self._waiting.setdefault(identity, incident)
                self._some.set()
                await asyncio.sleep(next(pauses))
            else:
                pauses, failing = backoff(), False


def incident_id(kind: str, key: SymbolKey, from_msc: int, to_msc: int) -> str:
    return blake2b("\0".join((kind, *key, str(from_msc), str(to_msc))).encode(), digest_size=16).hexdigest()
