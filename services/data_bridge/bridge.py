"""The bridge's state: lanes, and a publisher for each symbol."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mesh.clock import unix_ms
from mesh.errors import MeshError, Reason
from mesh.market import Batch
from services.data_bridge.domain.progress import Arrival, SymbolKey
from services.data_bridge.lane import History, Lane
from services.data_bridge.publisher import Publisher
from services.data_bridge.wire import LaneRequest


class Bridge:
    """Brings what comes on lanes to publishers. Its tasks live in `tasks` until `stop`."""

    def __init__(
        self,
        name: str,
        publisher: Callable[[SymbolKey], Publisher],
        history: History,
        lane_messages: int,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self.name = name
        self._history = history
        self._new_publisher = publisher
        self._lane_messages = lane_messages
        self._tasks = tasks
        self._running: set[asyncio.Task[None]] = set()
        self._publishers: dict[SymbolKey, Publisher] = {}
        self._lanes: set[Lane] = set()
        self._draining = False

    @property
    def publishers(self) -> Iterable[Publisher]:
        return self._publishers.values()

    @property
    def lanes(self) -> Iterable[Lane]:
        return self._lanes

    @contextmanager
    def lane(self, agent: str, number: int) -> Iterator[Lane]:
        """A lane for as long as its call lasts. Raises MeshError SHUTTING_DOWN."""
        if self._draining:
            raise MeshError(Reason.SHUTTING_DOWN, "this bridge is stopping; open the lane at another")
        lane = Lane(agent, number, unix_ms(), self._lane_messages)
        self._lanes.add(lane)
        try:
            yield lane
        finally:
            self._lanes.discard(lane)
            lane.leave()
            self._history.left(lane)

    async def take(self, lane: Lane, request: LaneRequest) -> None:
        """Do what `request` says, in the contract's order; batches wait until there is room for them on the lane.

        Raises:
            MeshError: SYMBOL_NOT_OPEN.
        """
        for key in request.opened:
            lane.symbols.add(key)
            self._publisher(key).open(lane)
        lane.symbols.difference_update(request.closed)
        if request.arrivals:
            await self._submit(lane, request.arrivals)
        if request.changed:
            self._history.changed(lane, request.changed)
        if request.resent or request.answers:
            self._history.answered(lane, request.resent, request.answers)

    async def _submit(self, lane: Lane, arrivals: Sequence[Arrival]) -> None:
        for arrival in arrivals:
            lane.require_open(_key(arrival.batch))
        await lane.room()
        parcel = lane.admit(len(arrivals))
        for arrival in arrivals:
            self._publishers[_key(arrival.batch)].submit(arrival, parcel)

    def lane_of(self, key: SymbolKey) -> Lane | None:
        """The lane on which `key` is streamed to this bridge; None when it is not."""
        publisher = self._publishers.get(key)
        source = publisher.source if publisher is not None else None
        return source if source is not None and not source.gone else None

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = self._tasks.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def drain(self) -> None:
        """Take no new lanes; send those there are elsewhere."""
        self._draining = True
        for lane in self._lanes:
            lane.drain("this bridge is stopping")

    def stop(self) -> None:
        """End every task. What agents have not been acknowledged they send again, elsewhere or later."""
        for task in self._running:
            task.cancel()

    def _publisher(self, key: SymbolKey) -> Publisher:
        if key not in self._publishers:
            publisher = self._publishers[key] = self._new_publisher(key)
            self.spawn(publisher.run(), f"publish {key.symbol}")
        return self._publishers[key]


def _key(batch: Batch) -> SymbolKey:
    return SymbolKey(batch.server, batch.symbol)
