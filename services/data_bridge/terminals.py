"""The terminals, asked through the bridge that holds each one's lane: this one or another, in one way."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import nats.errors
from google.protobuf.message import DecodeError
from nats.aio.client import Client
from nats.aio.msg import Msg
from suho.market.v1 import bridge_pb2 as pb
from suho.market.v1 import tick_pb2

from mesh.errors import MeshError, Reason
from mesh.log import get_logger
from mesh.market import Batch, codec
from mesh.market.digest import Digest
from mesh.market.subjects import history_subject
from services.data_bridge import wire
from services.data_bridge.domain.audit import Span
from services.data_bridge.domain.history import Position
from services.data_bridge.domain.progress import SymbolKey
from services.data_bridge.history import ACCEPTED, AGENT, ANSWER, BRIDGE, PART, REFUSED, TICKS
from services.data_bridge.history_messages import digest, position

log = get_logger(__name__)

# How long a bridge may take to say that it holds the source, and to pass on what it was told.
_ACCEPT_S = 2.0
# Whoever traces a symbol looks at it now.
_TRACE_S = 3.0
_NO_RESPONDERS = "503"


@dataclass(frozen=True, slots=True)
class Source:
    """Who streams a symbol, and through which bridge."""

    agent: str
    bridge: str


@dataclass(frozen=True, slots=True)
class _Reply:
    source: Source
    batches: list[Batch]
    answer: pb.HistoryAnswer


class AgentTerminals:
    """Implements `domain.history.Terminals`.

    Args:
        streamed: Whether an agent streams the symbol, through whatever bridge, as far as is known.
        silence_s: How long an agent may say nothing.
    """

    def __init__(self, bus: Client, streamed: Callable[[SymbolKey], bool], silence_s: float) -> None:
        self._bus = bus
        self._streamed = streamed
        self._silence_s = silence_s + _ACCEPT_S

    async def position(self, key: SymbolKey) -> Position:
        return position((await self._ask(key, pb.HISTORY_QUESTION_POSITION)).answer.position)

    async def digests(self, key: SymbolKey, span: Span) -> list[Digest]:
        reply = await self._ask(key, pb.HISTORY_QUESTION_DIGEST, *span)
        found = [digest(message) for message in reply.answer.digests]
        starts = range(span.from_msc, span.to_msc, span.bucket_ms)
        if [(one.from_msc, one.to_msc) for one in found] != [(start, start + span.bucket_ms) for start in starts]:
            raise _unavailable(f"agent {reply.source.agent} gave digests of other stretches than was asked")
        return found

    async def ticks(self, key: SymbolKey, from_msc: int, to_msc: int) -> Batch | None:
        batches = (await self._ask(key, pb.HISTORY_QUESTION_RESEND, from_msc, to_msc)).batches
        return Batch.join(batches) if batches else None

    async def trace(self, key: SymbolKey) -> tuple[Source | None, Position | None]:
        """Who streams the symbol and where the agent stands; None for what nobody says."""
        source = None
        try:
            async with self._asked(key, pb.HISTORY_QUESTION_POSITION) as replies:
                source = _source(await self._accepted(replies, key))
                return source, position((await self._answer(replies, source, _TRACE_S)).answer.position)
        except MeshError as error:
            log.debug("a trace without a position", symbol=key.symbol, because=str(error))
            return source, None

    async def _ask(
        self,
        key: SymbolKey,
        question: pb.HistoryQuestion.ValueType,
        from_msc: int = 0,
        to_msc: int = 0,
        bucket: int = 0,
    ) -> _Reply:
        async with self._asked(key, question, from_msc, to_msc, bucket) as replies:
            return await self._answer(replies, _source(await self._accepted(replies, key)), self._silence_s)

    async def _answer(self, replies: asyncio.Queue[Msg], source: Source, silence_s: float) -> _Reply:
        batches: list[Batch] = []
        while True:
            message = await self._next(replies, silence_s, f"bridge {source.bridge} went silent; ask again")
            if _source(message) != source:  # two bridges believe that they hold it: one is right
                continue
            part = _header(message, PART)
            if part == TICKS:
                batches.append(codec.decode(tick_pb2.TickBatchTwin.FromString(message.data)))
            elif part == REFUSED:
                raise _unavailable(message.data.decode("utf-8", "replace"))
            elif part == ANSWER:
                return _Reply(source, batches, pb.HistoryAnswer.FromString(message.data))

    async def _accepted(self, replies: asyncio.Queue[Msg], key: SymbolKey) -> Msg:
        nobody = f"no agent streams {key.symbol} of {key.server} now; start one, or try again when it is back"
        if not self._streamed(key):
            raise MeshError(Reason.NO_SOURCE, nobody)
        try:
            message = await self._next(replies, _ACCEPT_S, nobody)
        except MeshError:
            raise MeshError(Reason.NO_SOURCE, nobody) from None
        if _header(message, "Status") == _NO_RESPONDERS or _header(message, PART) != ACCEPTED:
            raise MeshError(Reason.NO_SOURCE, nobody)
        return message

    async def _next(self, replies: asyncio.Queue[Msg], timeout_s: float, otherwise: str) -> Msg:
        try:
            async with asyncio.timeout(timeout_s):
                return await replies.get()
        except TimeoutError:
            raise _unavailable(otherwise) from None

    @asynccontextmanager
    async def _asked(
        self,
        key: SymbolKey,
        question: pb.HistoryQuestion.ValueType,
        from_msc: int = 0,
        to_msc: int = 0,
        bucket: int = 0,
    ) -> AsyncIterator[asyncio.Queue[Msg]]:
        """What is replied to a question."""
        request = pb.HistoryRequest(
            symbol=wire.symbol_ref(key), from_msc=from_msc, to_msc=to_msc, question=question, bucket_ms=bucket
        )
        replies: asyncio.Queue[Msg] = asyncio.Queue()
        inbox = self._bus.new_inbox()
        try:
            subscription = await self._bus.subscribe(inbox, cb=replies.put)
            try:
                await self._bus.publish(history_subject(*key), request.SerializeToString(), reply=inbox)
                yield replies
            finally:
                if self._bus.is_connected:
                    await subscription.unsubscribe()
        except (nats.errors.Error, OSError, DecodeError, codec.MalformedBatchError) as error:
            raise _unavailable(f"the bus failed: {str(error) or type(error).__name__}; ask again") from None


def _source(message: Msg) -> Source:
    return Source(_header(message, AGENT), _header(message, BRIDGE))


def _header(message: Msg, name: str) -> str:
    return (message.headers or {}).get(name, "")


def _unavailable(because: str) -> MeshError:
    return MeshError(Reason.HISTORY_UNAVAILABLE, because)
