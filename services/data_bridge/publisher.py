"""One symbol's way into the log: one publish in flight, compare-and-set, settled before anything else happens.

All lanes share the symbol's publisher, so a symbol that moves from one stream to another is welcomed there only
after what came on the first is settled.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import NamedTuple

from mesh.errors import MeshError
from mesh.log import get_logger
from mesh.market import BEFORE_FIRST, Batch, TickId
from mesh.waiting import backoff, until_available
from services.data_bridge import wire
from services.data_bridge.domain.log import Log, LogEnd, LogMovedError, LogUnavailableError, Stored
from services.data_bridge.domain.progress import Arrival, Refused, Step, SymbolKey, next_step
from services.data_bridge.lane import Lane, Parcel

log = get_logger(__name__)


class _Waiting(NamedTuple):
    arrival: Arrival
    parcel: Parcel


class Publisher:
    """Owns the cursor of `key`; `run` does the work.

    Args:
        published: Is given every batch that became durable.
        most_ticks: Ticks of one message of the log at most.
    """

    def __init__(
        self, key: SymbolKey, ticks: Log, stored: Stored, published: Callable[[Batch], None], most_ticks: int
    ) -> None:
        self.key = key
        self.cursor: TickId = BEFORE_FIRST
        self.source: Lane | None = None
        self.published_ticks = 0
        self.quarantined_ticks = 0
        self.out_of_sync = 0
        self.conflicts = 0
        self._log = ticks
        self._stored = stored
        self._published = published
        self._most_ticks = most_ticks
        self._seq = 0
        self._queue: deque[_Waiting | Lane] = deque()
        self._work = asyncio.Event()
        self._pauses = backoff()
        self._troubled = False

    def open(self, lane: Lane) -> None:
        """Welcome `lane` once all that came before is settled."""
        self._put(lane)

    def submit(self, arrival: Arrival, parcel: Parcel) -> None:
        """Publish, or answer why not; `parcel` is settled then."""
        self._put(_Waiting(arrival, parcel))

    async def run(self) -> None:
        while True:
            await self._work.wait()
            front = self._queue[0]
            if isinstance(front, Lane):
                await self._welcome(front)
                self._queue.popleft()
            else:
                await self._advance()
            if not self._queue:
                self._work.clear()

    def _put(self, item: "_Waiting | Lane") -> None:
        self._queue.append(item)
        self._work.set()

    async def _welcome(self, lane: Lane) -> None:
        if lane.gone:
            return
        end = await self._resume()
        self.source = lane
        lane.welcome(self.key, end)

    async def _advance(self) -> None:
        step = next_step([item.arrival for item in self._batches_in_front()], self.cursor, self._most_ticks)
        if step.publish is not None and not await self._publish(step.publish):
            return
        self.cursor = step.cursor
        for _ in range(step.taken):
            item = self._queue.popleft()
            assert isinstance(item, _Waiting)
            self._answer(item.parcel, step)

    def _batches_in_front(self) -> Iterator[_Waiting]:
        """Those before the next opening: that one has to wait for them."""
        for item in takewhile(lambda item: isinstance(item, _Waiting), self._queue):
            assert isinstance(item, _Waiting)
            yield item

    def _answer(self, parcel: Parcel, step: Step) -> None:
        if step.ahead:
            self.out_of_sync += 1
            parcel.lane.out_of_sync(self.key, self.cursor)
        else:
            parcel.lane.acknowledge(self.key, self.cursor)
        parcel.settle_one()

    async def _publish(self, what: Arrival | Batch | Refused) -> bool:
        """Whether it is in the log now. If not, or if that is not known, the cursor has been read again."""
        try:
            self._seq = await self._log.append(self.key, wire.payload(what), self._seq)
        except LogMovedError:
            self.conflicts += 1
            await self._resume()
            return False
        except LogUnavailableError as error:
            if not self._troubled:
                self._troubled = True
                log.warning("ticks wait for the log", symbol=self.key.symbol, because=str(error))
            await asyncio.sleep(next(self._pauses))
            if (await self._resume()).last == _last_of(what):  # it was taken, only not confirmed
                self._count(what)
            return False
        if self._troubled:
            self._troubled, self._pauses = False, backoff()
            log.info("ticks flow again", symbol=self.key.symbol)
        self._count(what)
        return True

    def _count(self, what: Arrival | Batch | Refused) -> None:
        if isinstance(what, Refused):
            self.quarantined_ticks += what.count
            log.warning(
                "quarantined", symbol=what.symbol, server=what.server, agent=what.agent,
                ticks=what.count, reason=what.reason, last=what.last,
            )  # fmt: skip
            return
        batch = what.batch if isinstance(what, Arrival) else what
        self.published_ticks += len(batch)
        self._published(batch)

    async def _resume(self) -> LogEnd:
        """Continue where the log ends or, where it holds nothing of the symbol, where the stored ticks do."""
        end = await until_available(f"the log of {self.key.symbol}", self._end, (LogUnavailableError, MeshError))
        self.cursor, self._seq = end.last, end.seq
        return end

    async def _end(self) -> LogEnd:
        return await self._log.end(self.key) or await self._stored.end(self.key)


def _last_of(what: Arrival | Batch | Refused) -> TickId:
    return what.last_id if isinstance(what, Batch) else what.last
