"""The bridge's state: lanes, and a publisher for each symbol."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from mesh.clock import unix_ms
from mesh.draining import Draining
from mesh.errors import MeshError, Reason
from mesh.log import get_logger
from mesh.market import Batch
from services.data_bridge.domain.progress import Arrival, SymbolKey
from services.data_bridge.domain.sources import Leases
from services.data_bridge.domain.terminal import Incidents, SymbolCount
from services.data_bridge.lane import History, Lane
from services.data_bridge.openings import Openings
from services.data_bridge.publisher import Publisher, SymbolRecord
from services.data_bridge.wire import LaneRequest

log = get_logger(__name__)

# Of a lane. Brokers that offer all the world's shares have some ten thousand, and an agent has four lanes.
_MOST_SYMBOLS = 10_000
# Of symbols that nobody opens any more.
_MOST_RECORDS = 10_000
_HOLE = "HOLE"
_STOP_S = 0.5


class Limits(NamedTuple):
    """Messages of a lane that are unacknowledged at most; how long a lease waits for its agent, whose lane broke."""

    lane_messages: int
    grace_s: float


class Bridge:
    """Brings what comes on lanes to publishers. Its tasks live in `tasks` until `stop`.

    Args:
        name: The bridge's, in its status.
        life: The name of this life of it, in leases.
        publisher: Makes a publisher that continues a record.
        draining: While it is set no lane is taken.
    """

    def __init__(
        self,
        name: str,
        life: str,
        publisher: Callable[[SymbolRecord], Publisher],
        leases: Leases,
        history: History,
        incidents: Incidents,
        limits: Limits,
        draining: Draining,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self.name = name
        self.openings = Openings(life, leases, self._granted, self._lost, limits.grace_s, self.spawn)
        self._history = history
        self._incidents = incidents
        self._new_publisher = publisher
        self._lane_messages = limits.lane_messages
        self._tasks = tasks
        self._running: set[asyncio.Task[None]] = set()
        self._publishers: dict[SymbolKey, tuple[Publisher, asyncio.Task[None]]] = {}
        self._records: dict[SymbolKey, SymbolRecord] = {}
        self._lanes: set[Lane] = set()
        self._draining = draining

    @property
    def records(self) -> Iterable[SymbolRecord]:
        return self._records.values()

    @property
    def lanes(self) -> Iterable[Lane]:
        return self._lanes

    @contextmanager
    def lane(self, agent: str, number: int) -> Iterator[Lane]:
        """A lane for as long as its call lasts. Raises MeshError SHUTTING_DOWN."""
        if self._draining.is_set():
            raise MeshError(Reason.SHUTTING_DOWN, "this bridge drains; open the lane at another")
        lane = Lane(agent, number, unix_ms(), self._lane_messages)
        self._lanes.add(lane)
        try:
            yield lane
        finally:
            self._lanes.discard(lane)
            lane.leave()
            for key in lane.symbols:
                self.openings.close(key, lane)
            self._history.left(lane)

    async def take(self, lane: Lane, request: LaneRequest) -> None:
        """Do what `request` says, in the contract's order; batches wait until there is room for them on the lane.

        Raises:
            MeshError: SYMBOL_NOT_OPEN; INVALID_ARGUMENT for too many symbols.
        """
        if len(lane.symbols.union(request.opened)) > _MOST_SYMBOLS:
            too_many = f"a lane carries at most {_MOST_SYMBOLS} symbols; let the terminal show fewer, or open fewer"
            raise MeshError(Reason.INVALID_ARGUMENT, too_many)
        for key in request.opened:
            lane.symbols.add(key)
            self._publish(key)
            self.openings.open(key, lane)
        for key in request.closed:
            lane.symbols.discard(key)
            self.openings.close(key, lane)
        if request.arrivals:
            await self._submit(lane, request.arrivals)
        for count in request.counts:
            if self.openings.source(count.key) is lane:
                self._publish(count.key).compare(count)
        if changed := [change for change in request.changed if self.openings.source(change.key) is lane]:
            self._history.changed(lane, changed)
        if request.resent or request.answers:
            self._history.answered(lane, request.resent, request.answers)

    def lane_of(self, key: SymbolKey) -> Lane | None:
        """The lane on which `key` is streamed to this bridge; None when it is not."""
        return self.openings.source(key)

    def differs(self, count: SymbolCount, difference: int) -> None:
        """The agent counted so many ticks more than came."""
        said = f"the agent counted {count.count} ticks, {abs(difference)} {'more' if difference > 0 else 'fewer'}"
        where = count.key, count.after.time_msc, count.until.time_msc
        self.spawn(self._incidents.report(_HOLE, *where, abs(difference), f"{said} than the bridge saw"), "hole")

    def reread_log(self) -> None:
        """The log may have lost what it had."""
        for publisher, _ in self._publishers.values():
            publisher.reread()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = self._tasks.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def drain(self) -> None:
        """Send lanes elsewhere."""
        for lane in self._lanes:
            lane.drain("this bridge drains")

    async def stop(self) -> None:
        """End every task. What agents have not been acknowledged they send again, elsewhere or later."""
        while self._running:
            for task in self._running:
                task.cancel()
            # Again: before Python 3.12 `asyncio.wait_for`, which nats-py uses, may swallow a cancellation.
            await asyncio.wait(self._running, timeout=_STOP_S)

    async def retire(self, after_s: float) -> None:
        """Let go, for ever, of symbols that nobody has open; their records remain."""
        resting: set[SymbolKey] = set()
        while True:
            await asyncio.sleep(after_s)
            idle = {key for key, (one, _) in self._publishers.items() if one.idle and key not in self.openings}
            for key in idle & resting:
                _, task = self._publishers.pop(key)
                task.cancel()
                self._records[key] = self._records.pop(key)
            resting = idle
            for key in [key for key in self._records if key not in self._publishers][:-_MOST_RECORDS]:
                del self._records[key]

    async def _submit(self, lane: Lane, arrivals: Sequence[Arrival]) -> None:
        for arrival in arrivals:
            lane.require_open(_key(arrival.batch))
        await lane.room()
        parcel = lane.admit(len(arrivals))
        for arrival in arrivals:
            self._publish(_key(arrival.batch)).submit(arrival, parcel)

    def _granted(self, key: SymbolKey, lane: Lane) -> None:
        log.info("source", symbol=key.symbol, server=key.server, agent=lane.agent, lane=lane.number)
        self._publish(key).grant(lane)

    def _lost(self, key: SymbolKey) -> None:
        log.info("source left", symbol=key.symbol, server=key.server)
        self._publish(key).revoke()

    def _publish(self, key: SymbolKey) -> Publisher:
        """The symbol's publisher, which runs."""
        if key not in self._publishers:
            record = self._records.setdefault(key, SymbolRecord(key))
            publisher = self._new_publisher(record)
            self._publishers[key] = publisher, self.spawn(publisher.run(), f"publish {key.symbol}")
        return self._publishers[key][0]


def _key(batch: Batch) -> SymbolKey:
    return SymbolKey(batch.server, batch.symbol)
