"""From the tick log into ClickHouse (design section 5, point 4): nobody keeps a cursor, the rows say how far it got."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import numpy as np

from mesh.clock import unix_ns
from mesh.failpoint import failpoint
from mesh.log import get_logger
from mesh.waiting import backoff
from services.database.domain.delays import Delays
from services.database.domain.log import (
    Identity,
    LogMismatchError,
    MarkerRange,
    Message,
    Position,
    TickRange,
    missing,
    ranges,
    verify_identity,
    verify_start,
)

log = get_logger(__name__)


class Reader(Protocol):
    async def take(self) -> list[Message]: ...


class Log(Protocol):
    async def declare(self) -> int: ...
    async def bounds(self) -> tuple[int, int]: ...
    async def message(self, seq: int) -> Message | None: ...
    def read(self, first_seq: int, max_bytes: int) -> AbstractAsyncContextManager[Reader]: ...


class Store(Protocol):
    async def end_older_inserts(self) -> None: ...
    async def position(self, epoch: int) -> Position: ...
    async def identity(self, position: Position) -> Identity: ...
    async def store(self, span: TickRange | MarkerRange, epoch: int) -> None: ...


class DeliveryGapError(Exception):
    """Messages that are in the log did not arrive."""


class Sink:
    """Follows the log, storing each message once, in order.

    While an insert runs messages gather; all of them go into the next one. Data and position are the same rows, so
    whatever dies, the next run goes on where the rows end.

    Args:
        transient: What is worth another try, from the stored position.
    """

    def __init__(
        self,
        tick_log: Log,
        store: Store,
        max_bytes: int,
        transient: tuple[type[Exception], ...],
        now_ns: Callable[[], int] = unix_ns,
    ) -> None:
        self._log = tick_log
        self._store = store
        self._max_bytes = max_bytes
        self._transient: tuple[type[Exception], ...] = (*transient, DeliveryGapError)
        self.position = Position(0, 0)
        self.stored_rows = 0
        self.delays = Delays()
        self._now_ns = now_ns
        self.stopped_reason = ""

    async def run(self) -> None:
        """Follow the log for ever.

        Raises:
            LogMismatchError: the log is not the one whose position is stored; `stopped_reason` says so too.
        """
        pauses = backoff()
        while True:
            _obey_cancellation()
            before = self.stored_rows
            try:
                await self._follow()
            except LogMismatchError as error:
                self.stopped_reason = str(error)
                log.error("sink stopped", because=self.stopped_reason)
                raise
            except self._transient as error:
                if self.stored_rows > before:
                    pauses = backoff()
                pause = next(pauses)
                log.warning("sink interrupted", because=str(error) or type(error).__name__, retry_s=round(pause, 2))
                await asyncio.sleep(pause)

    async def _follow(self) -> None:
        await self._store.end_older_inserts()
        epoch = await self._log.declare()
        self.position = await self._store.position(epoch)
        await self._verify(self.position)
        log.info("sink follows the log", **self.position._asdict())
        async with self._log.read(self.position.seq + 1, self._max_bytes) as reader:
            while True:
                _obey_cancellation()
                messages = await reader.take()
                await self._check_sequence(messages)
                for span in ranges(messages):
                    await self._store.store(span, epoch)
                    failpoint("sink.stored")
                    self.position = Position(epoch, span.last_seq)
                    self.stored_rows += span.rows
                    self._time(span)

    def _time(self, span: TickRange | MarkerRange) -> None:
        if isinstance(span, TickRange):
            batches = [message.batch for message in span.messages]
            read_ns = np.array([batch.read_unix_ns for batch in batches], np.int64)
            self.delays.add(self._now_ns() - read_ns, np.array([len(batch) for batch in batches]))

    async def _verify(self, position: Position) -> None:
        if verify_start(position, *await self._log.bounds()):
            message = await self._log.message(position.seq)
            if message is not None:
                verify_identity(position, message.identity, await self._store.identity(position))

    async def _check_sequence(self, messages: Sequence[Message]) -> None:
        expected = self.position.seq + 1
        for message in messages:
            if message.seq != expected:
                await self._explain_gap(expected, message.seq)
            expected = message.seq + 1

    async def _explain_gap(self, expected: int, found: int) -> None:
        first, _ = await self._log.bounds()
        if found > expected and (first > expected or await self._log.message(expected) is None):
            raise missing(expected, found - 1)
        raise DeliveryGapError(f"message {expected} was expected, {found} came")


def _obey_cancellation() -> None:
    """Before Python 3.12 `asyncio.wait_for`, which nats-py uses, swallows a cancellation that meets an answer."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
