"""The newest tick of each symbol on its way to the cache: only the latest, together, never in the ticks' way."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from mesh.errors import MeshError
from mesh.log import get_logger
from mesh.market import Batch
from mesh.waiting import backoff
from services.data_bridge.domain.progress import SymbolKey

log = get_logger(__name__)


class Cache(Protocol):
    """Where newest ticks are kept."""

    async def put_newest(self, batches: Sequence[Batch]) -> None: ...


class NewestTicks:
    """Gathers what was published and hands over the newest tick of each symbol, at most once an interval."""

    def __init__(self, cache: Cache, interval_s: float) -> None:
        self._cache = cache
        self._interval_s = interval_s
        self._waiting: dict[SymbolKey, Batch] = {}
        self._some = asyncio.Event()

    def offer(self, batch: Batch) -> None:
        self._waiting[SymbolKey(batch.server, batch.symbol)] = batch
        self._some.set()

    async def run(self) -> None:
        pauses, failing = backoff(self._interval_s), False
        while True:
            await self._some.wait()
            self._some.clear()
            batches, self._waiting = self._waiting, {}
            try:
                await self._cache.put_newest([batch.slice(len(batch) - 1, len(batch)) for batch in batches.values()])
            except MeshError as error:
                if not failing:
                    log.warning("the cache misses newest ticks", because=str(error))
                failing = True
                self._waiting = {**batches, **self._waiting}
                self._some.set()
                await asyncio.sleep(next(pauses))
            else:
                if failing:
                    log.info("the cache gets newest ticks again")
                pauses, failing = backoff(self._interval_s), False
                await asyncio.sleep(self._interval_s)
