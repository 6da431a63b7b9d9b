"""From a log of ticks into ClickHouse (design section 5, point 4): nobody keeps a cursor, the rows say how far."""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import numpy as np

from mesh.clock import unix_ns
from mesh.failpoint import failpoint
from mesh.log import get_logger
from mesh.waiting import backoff, obey_cancellation
from services.database.domain.delays import Delays
from services.database.domain.incident import Incident
from services.database.domain.log import Identity, Message, Position, Range, TickRange, following_on, ranges
from services.database.domain.resume import Bounds, Gap, LogEpoch, Restored, examine
from services.database.domain.tick import Latency

log = get_logger(__name__)

_SMALL_ROWS = 20_000


class Reader(Protocol):
    async def take(self) -> list[Message]: ...


class Log(Protocol):
    @property
    def name(self) -> str: ...
    async def declare(self) -> LogEpoch: ...
    async def renew(self, start: int) -> LogEpoch: ...
    async def bounds(self) -> Bounds: ...
    async def message_from(self, seq: int) -> Message | None: ...
    def read(self, first_seq: int, max_bytes: int) -> AbstractAsyncContextManager[Reader]: ...


class Store(Protocol):
    async def end_older_inserts(self) -> None: ...
    async def stored_seq(self, epoch: int) -> int: ...
    async def identities(self, seq: int) -> Collection[Identity]: ...
    async def store(self, span: Range, epoch: int) -> None: ...


class DeliveryGapError(Exception):
    """Messages that are in the log did not arrive."""


class Sink:
    """Follows a log, storing each message once, in order.

    While an insert runs messages gather; all of them go into the next one. Data and position are the same rows, so
    whatever dies, the next run goes on where the rows end. A log that is not the one that was stored gets a new epoch.

    Args:
        transient: What is worth another try, from the stored position.
        note: Told what people must know.
        reporter: Who notices it: this instance.
        stored: Told of each range when it is stored; must not block.
        pause_s: From one insert to the next, after a small one: it costs the store as much as thousands of rows.
    """

    def __init__(
        self,
        tick_log: Log,
        store: Store,
        max_bytes: int,
        transient: tuple[type[Exception], ...],
        note: Callable[[Incident], None],
        reporter: str,
        stored: Callable[[Range], None],
        now_ns: Callable[[], int] = unix_ns,
        pause_s: float = 0.0,
    ) -> None:
        self._log = tick_log
        self._store = store
        self._max_bytes = max_bytes
        self._transient: tuple[type[Exception], ...] = (*transient, DeliveryGapError)
        self._note = note
        self._reporter = reporter
        self._stored = stored
        self._now_ns = now_ns
        self._pause_s = pause_s
        self.position = Position(0, 0)
        self.stored_rows = 0
        self._delays = Delays()
        self.following = False
        self._purged = 0
        self._under_way: Range | None = None

    @property
    def latency(self) -> Latency:
        """From reading to storing, of what was stored since this process started."""
        return self._delays.latency()

    async def stored_seq(self, epoch: int) -> int:
        """The last message stored of the log's epoch; 0: none, or the log is not the one that was stored.

        A log may be restored under a running sink, its epoch with it, and what it holds must not be taken for stored.
        """
        position = self.position
        if position.epoch != epoch or await examine(position, self._log, self._store.identities):
            return 0
        return position.seq

    async def run(self) -> None:
        """Follow the log for ever."""
        self.following = True
        try:
            await self._follow_for_ever()
        finally:
            self.following = False

    async def _follow_for_ever(self) -> None:
        pauses = backoff()
        while True:
            obey_cancellation()
            before = self.stored_rows
            try:
                await self._follow()
            except self._transient as error:
                if self.stored_rows > before:
                    pauses = backoff()
                pause = next(pauses)
                log.warning(
                    "sink interrupted",
                    log=self._log.name,
                    because=str(error) or type(error).__name__,
                    retry_s=round(pause, 2),
                )
                await asyncio.sleep(pause)

    async def _follow(self) -> None:
        await self._store.end_older_inserts()
        epoch = await self._log.declare()
        stored = Position(epoch.number, await self._store.stored_seq(epoch.number))
        self._settle_under_way(stored)
        self.position = await self._resume(epoch, stored)
        log.info("sink follows the log", log=self._log.name, **self.position._asdict())
        self.position = await self._pass(await self._store_until_gap())

    async def _store_until_gap(self) -> Gap:
        """Store what comes, until a message is missing that no purge took."""
        async with self._log.read(self.position.seq + 1, self._max_bytes) as reader:
            while True:
                obey_cancellation()
                messages: Sequence[Message] = await reader.take()
                began, rows_before = time.monotonic(), self.stored_rows
                while messages:
                    following = following_on(self.position.seq, messages)
                    await self._store_all(following)
                    messages = messages[len(following) :]
                    if messages:
                        gap = await self._explain_gap(messages[0].seq)
                        if gap.last > self._purged:
                            return gap
                        self.position = Position(self.position.epoch, gap.last)
                if self.stored_rows - rows_before < _SMALL_ROWS:
                    await asyncio.sleep(max(0.0, began + self._pause_s - time.monotonic()))

    async def _store_all(self, messages: Sequence[Message]) -> None:
        for span in ranges(messages):
            self._under_way = span
            await self._store.store(span, self.position.epoch)
            failpoint("sink.stored")
            self.position = Position(self.position.epoch, span.last_seq)
            self._tell_stored(span)

    def _tell_stored(self, span: Range) -> None:
        self._under_way = None
        self.stored_rows += span.rows
        self._stored(span)
        self._time(span)

    def _settle_under_way(self, stored: Position) -> None:
        """What an interruption left in doubt may be stored all the same: who goes by stored ticks is to know."""
        span = self._under_way
        if span and self.position.epoch == stored.epoch and span.last_seq <= stored.seq:
            self._tell_stored(span)
        self._under_way = None

    async def _resume(self, epoch: LogEpoch, stored: Position) -> Position:
        """Where to go on, in a new epoch of the log where it is not the one that was stored."""
        self._purged = epoch.purged
        position = stored._replace(seq=max(stored.seq, epoch.floor))
        found = await examine(position, self._log, self._store.identities)
        if found is None:
            return position
        if isinstance(found, Gap):
            return await self._pass(found)
        return await self._walk_back(found)

    async def _walk_back(self, restored: Restored) -> Position:
        epoch = await self._log.renew(restored.common)
        self._tell(
            "LOG_RESTORED",
            f"{self._log.name}-{epoch.number}",
            f"log {self._log.name} is not the one that was stored up to message {restored.position.seq}: it was"
            f" truncated or restored from an older copy, and ends at message {restored.last_seq}. Both agree up to"
            f" message {restored.common}; storing goes on from there. Ticks that only the lost part held are in the"
            " store already; let an audit compare the terminal's",
        )
        return Position(epoch.number, restored.common)

    async def _pass(self, gap: Gap) -> Position:
        epoch = await self._log.renew(gap.last)
        self._tell(
            "LOG_GAP",
            f"{self._log.name}-{epoch.number}",
            f"messages {gap.first} to {gap.last} left log {self._log.name} before they were stored; storing goes on"
            " behind them. An audit of these days (suho ticks audit) finds the missing ticks and heals them",
        )
        return Position(epoch.number, gap.last)

    def _tell(self, kind: str, about: str, detail: str) -> None:
        at_ms = self._now_ns() // 1_000_000
        self._note(Incident(f"{kind}:{about}", at_ms, kind, detail=detail, reporter=self._reporter))

    def _time(self, span: Range) -> None:
        if isinstance(span, TickRange):
            batches = [message.batch for message in span.messages]
            read_ns = np.array([batch.read_unix_ns for batch in batches], np.int64)
            self._delays.add(self._now_ns() - read_ns, np.array([len(batch) for batch in batches]))

    async def _explain_gap(self, found: int) -> Gap:
        """Why message `found` came, and not the one behind the position.

        Raises:
            DeliveryGapError: the log has what did not come.
        """
        expected = self.position.seq + 1
        there = await self._log.message_from(expected)
        if found > expected and (there is None or there.seq > expected):
            return Gap(expected, found - 1 if there is None else there.seq - 1)
        raise DeliveryGapError(f"message {expected} was expected, {found} came")
