"""The log of ticks that come later, the stream BACKFILL, which the database service declares.

`prev` is not looked at there, and a message that comes twice changes nothing: publishing again is always safe.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import APIError
from suho.market.v1 import tick_pb2

from mesh.clock import unix_ns
from mesh.errors import MeshError, Reason
from mesh.market import BEFORE_FIRST, Batch
from mesh.market.subjects import BACKFILL_STREAM, backfill_subject, correction_subject
from mesh.waiting import backoff, obey_cancellation
from services.data_bridge import wire
from services.data_bridge.domain import judgement
from services.data_bridge.domain.history import Appended
from services.data_bridge.domain.progress import Refused, SymbolKey, refused

# Publishes that wait for their acknowledgement at once.
_UNDER_WAY = 8
# A log that is full or away gets so long to come back.
_PATIENCE_S = 30.0


class Backfill:
    """Implements `domain.history.LaterTicks`.

    Args:
        most_ticks: Ticks of one message at most.
    """

    def __init__(self, bus: Client, publish_timeout_s: float, most_ticks: int) -> None:
        self._bus = bus
        self._js: JetStreamContext = bus.jetstream(timeout=publish_timeout_s)
        self._most_ticks = most_ticks
        self._room = asyncio.Semaphore(_UNDER_WAY)

    async def add(self, batches: Iterable[Batch]) -> Appended:
        pieces = [piece for batch in batches for piece in self._pieces(batch)]
        seq = await self._publish(
            [(backfill_subject(piece.server, piece.symbol), wire.payload(piece)) for piece in pieces]
        )
        return Appended(
            seq,
            sum(len(piece) for piece in pieces if isinstance(piece, Batch)),
            sum(piece.count for piece in pieces if isinstance(piece, Refused)),
        )

    async def correct(
        self, key: SymbolKey, ticks: Batch | None, generation: int, from_msc: int, to_msc: int, reason: str
    ) -> int:
        subject = correction_subject(*key)
        if ticks is not None:
            await self._publish([(subject, wire.payload(piece)) for piece in self._pieces(ticks)])
        closing = tick_pb2.TickBatchTwin(
            server=key.server,
            symbol=key.symbol,
            agent=ticks.agent if ticks is not None else "",
            read_unix_ns=unix_ns(),
            generation=generation,
            correction=tick_pb2.Correction(
                from_msc=from_msc, to_msc=to_msc, count=len(ticks) if ticks is not None else 0, reason=reason
            ),
        )
        return await self._publish([(subject, closing.SerializeToString())])

    def _pieces(self, batch: Batch) -> Iterator[Batch | Refused]:
        """As messages of the log hold them: within a month, not too many, judged as live ones are."""
        for month in replace(batch, prev=BEFORE_FIRST).by_month():
            for piece in month.chunks(self._most_ticks):
                reason = judgement.flaw(piece)
                yield refused(piece, reason) if reason else piece

    async def _publish(self, messages: Sequence[tuple[str, bytes]]) -> int:
        """The highest number, when all are durable."""
        if not messages:
            return 0
        try:
            async with asyncio.TaskGroup() as tasks:
                publishes = [tasks.create_task(self._publish_one(*message)) for message in messages]
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        return max(publish.result() for publish in publishes)

    async def _publish_one(self, subject: str, payload: bytes) -> int:
        """The message's number; repeated while the log is full or away, for as long as patience lasts."""
        because, pauses = "NATS is away", backoff()
        try:
            async with self._room, asyncio.timeout(_PATIENCE_S) as patience:
                while True:
                    obey_cancellation()
                    try:
                        return (await self._js.publish(subject, payload, stream=BACKFILL_STREAM)).seq
                    except APIError as error:
                        because = error.description or f"error {error.err_code}"
                    except (nats.errors.Error, OSError) as error:
                        because = str(error) or type(error).__name__
                    await asyncio.sleep(next(pauses))
        except TimeoutError:
            if not patience.expired():
                raise
            lost = f"the log of later ticks took nothing for {_PATIENCE_S:g} s; is the database service there?"
            raise MeshError(Reason.LOG_UNAVAILABLE, f"{lost} ({because})") from None
