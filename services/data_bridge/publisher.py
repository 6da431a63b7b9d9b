"""One symbol's way into the log: one publish in flight, compare-and-set, settled before anything else happens.

All lanes share the symbol's publisher, so a symbol that moves from one stream to another is welcomed there only
after what came on the first is settled.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import NamedTuple

from mesh.errors import MeshError
from mesh.log import get_logger
from mesh.market import BEFORE_FIRST, Batch, TickId
from mesh.waiting import backoff, until_available
from services.data_bridge import wire
from services.data_bridge.domain.log import Log, LogEnd, LogMovedError, LogUnavailableError, Stored
from services.data_bridge.domain.progress import Arrival, Refused, Step, SymbolKey, next_step
from services.data_bridge.domain.sources import Leases
from services.data_bridge.domain.tally import Tally
from services.data_bridge.domain.terminal import SymbolCount
from services.data_bridge.lane import Lane, Parcel

log = get_logger(__name__)

# Beside batches, which the lanes bound.
_MOST_WAITING = 10_000


@dataclass(slots=True)
class SymbolRecord:
    """What is known of a symbol since this bridge started; it outlives the symbol's publisher."""

    key: SymbolKey
    cursor: TickId = BEFORE_FIRST
    published_ticks: int = 0
    quarantined_ticks: int = 0
    out_of_sync: int = 0
    conflicts: int = 0
    missing_ticks: int = 0


class Listener(NamedTuple):
    """Who is told: `published`, of every batch that became durable; `differs`, of a count that was not met and by how
    many ticks more the agent counted."""

    published: Callable[[Batch], None]
    differs: Callable[[SymbolCount, int], None]


class _Waiting(NamedTuple):
    arrival: Arrival
    parcel: Parcel


class _Reread:
    """The log may not be what it was."""


class Publisher:
    """Owns the cursor of a symbol; `run` does the work.

    Args:
        leases: Nothing is published while this bridge does not know that it is alive.
        most_ticks: Ticks of one message of the log at most.
    """

    def __init__(
        self, record: SymbolRecord, ticks: Log, stored: Stored, leases: Leases, listener: Listener, most_ticks: int
    ) -> None:
        self.key = record.key
        self.record = record
        self._log = ticks
        self._stored = stored
        self._leases = leases
        self._listener = listener
        self._most_ticks = most_ticks
        self._source: Lane | None = None
        self._seq = 0
        self._marker = b""
        self._tally = Tally()
        self._queue: deque[_Waiting | Lane | SymbolCount | _Reread] = deque()
        self._work = asyncio.Event()
        self._pauses = backoff()
        self._troubled = False

    @property
    def idle(self) -> bool:
        return not self._queue

    def grant(self, lane: Lane) -> None:
        """The lane's agent streams the symbol from now on: it is welcomed once all that came before is settled."""
        self._source = lane
        self._put(lane)

    def revoke(self) -> None:
        """Another agent, or another bridge, streams it: what comes is settled and not published."""
        self._source = None

    def submit(self, arrival: Arrival, parcel: Parcel) -> None:
        """Publish, or answer why not; `parcel` is settled then."""
        self._put(_Waiting(arrival, parcel))

    def compare(self, count: SymbolCount) -> None:
        """Behind the batches that came before it; while many wait it is left out, the next one tells of all."""
        if len(self._queue) < _MOST_WAITING:
            self._put(count)

    def reread(self) -> None:
        """The log may have lost what it had: look, and have the agent send it again."""
        if not any(isinstance(item, _Reread) for item in islice(self._queue, 1, None)):
            self._put(_Reread())

    async def run(self) -> None:
        while True:
            await self._work.wait()
            front = self._queue[0]
            if isinstance(front, _Waiting):
                await self._advance(front)
            else:
                if isinstance(front, Lane):
                    await self._welcome(front)
                elif isinstance(front, SymbolCount):
                    self._tally.count(front)
                    self._tell_differences()
                else:
                    await self._look_again()
                self._queue.popleft()
            if not self._queue:
                self._work.clear()

    def _put(self, item: "_Waiting | Lane | SymbolCount | _Reread") -> None:
        self._queue.append(item)
        self._work.set()

    async def _welcome(self, lane: Lane) -> None:
        if lane.gone or lane is not self._source:
            return
        end = await self._resume()
        self._tally.restart(end.last)
        if lane is self._source:
            lane.welcome(self.key, end)

    async def _look_again(self) -> None:
        before = self.record.cursor
        end = await self._resume()
        if end.last != before:
            self._tally.restart(end.last)
        if end.last < before and self._source is not None:
            log.warning("the log lost ticks; the agent sends them again", symbol=self.key.symbol, cursor=end.last)
            self._source.out_of_sync(self.key, end.last)

    async def _advance(self, front: _Waiting) -> None:
        if not self._leases.valid:
            await self._leases.confirmed()
        if not self._streams(front):
            self._queue.popleft()
            front.parcel.settle_one()
            return
        record = self.record
        step = next_step([item.arrival for item in self._batches_in_front()], record.cursor, self._most_ticks)
        if step.publish is not None and not await self._publish(step.publish):
            return
        record.cursor = step.cursor
        for _ in range(step.taken):
            item = self._queue.popleft()
            assert isinstance(item, _Waiting)
            self._answer(item.parcel, step)
        self._tell_differences()

    def _streams(self, item: _Waiting) -> bool:
        """Whether the item's agent is the one that streams: perhaps on another lane by now."""
        return self._source is not None and item.parcel.lane.agent == self._source.agent

    def _batches_in_front(self) -> Iterator[_Waiting]:
        """Those before anything that has to wait for them."""
        for item in takewhile(lambda item: isinstance(item, _Waiting) and self._streams(item), self._queue):
            assert isinstance(item, _Waiting)
            yield item

    def _answer(self, parcel: Parcel, step: Step) -> None:
        if step.ahead:
            self.record.out_of_sync += 1
            parcel.lane.out_of_sync(self.key, self.record.cursor)
        else:
            parcel.lane.acknowledge(self.key, self.record.cursor)
        parcel.settle_one()

    async def _publish(self, what: Arrival | Batch | Refused) -> bool:
        """Whether it is in the log now. If not, or if that is not known, the cursor has been read again."""
        payload = wire.payload(what)
        if payload == self._marker:  # an agent that did not hear of its quarantine
            return True
        try:
            self._seq = await self._log.append(self.key, payload, self._seq)
        except LogMovedError:
            self.record.conflicts += 1
            self._tally.restart((await self._resume()).last)
            return False
        except LogUnavailableError as error:
            await self._find_out(what, payload, error)
            return False
        if self._troubled:
            self._troubled, self._pauses = False, backoff()
            log.info("ticks flow again", symbol=self.key.symbol)
        self._count(what, payload)
        return True

    async def _find_out(self, what: Arrival | Batch | Refused, payload: bytes, error: LogUnavailableError) -> None:
        """It may have been taken, and only not confirmed."""
        if not self._troubled:
            self._troubled = True
            log.warning("ticks wait for the log", symbol=self.key.symbol, because=str(error))
        await asyncio.sleep(next(self._pauses))
        before = self.record.cursor
        end = await self._resume()
        if end.marker == payload if isinstance(what, Refused) else end.last == _last_of(what):
            self._count(what, payload)
        elif end.last != before:
            self._tally.restart(end.last)

    def _count(self, what: Arrival | Batch | Refused, payload: bytes) -> None:
        self._marker = b""
        if isinstance(what, Refused):
            self._marker = payload
            self._tally.saw(what.last, what.count)
            self.record.quarantined_ticks += what.count
            log.warning(
                "quarantined", symbol=what.symbol, server=what.server, agent=what.agent,
                ticks=what.count, reason=what.reason, last=what.last,
            )  # fmt: skip
            return
        batch = what.batch if isinstance(what, Arrival) else what
        self._saw(batch)
        self.record.published_ticks += len(batch)
        self._listener.published(batch)

    def _saw(self, batch: Batch) -> None:
        """The places where the batches end of which `batch` was joined are remembered: a count may name them."""
        seen = 0
        for item in islice(self._batches_in_front(), len(self._queue) - 1):
            until = batch.index_after(item.arrival.last)
            if seen < until < len(batch):
                self._tally.saw(item.arrival.last, until - seen)
                seen = until
        self._tally.saw(batch.last_id, len(batch) - seen)

    def _tell_differences(self) -> None:
        for count, difference in self._tally.differences():
            self.record.missing_ticks += difference
            self._listener.differs(count, difference)

    async def _resume(self) -> LogEnd:
        """Continue where the log ends or, where it holds nothing of the symbol, where the stored ticks do."""
        end = await until_available(f"the log of {self.key.symbol}", self._end, (LogUnavailableError, MeshError))
        self.record.cursor, self._seq, self._marker = end.last, end.seq, end.marker
        return end

    async def _end(self) -> LogEnd:
        return await self._log.end(self.key) or await self._stored.end(self.key)


def _last_of(what: Arrival | Batch) -> TickId:
    return what.last_id if isinstance(what, Batch) else what.last
