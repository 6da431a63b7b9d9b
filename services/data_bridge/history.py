"""Questions about terminals' histories: any bridge asks on the bus, the one that holds the agent's lane answers.

A question goes to `history.<server>.<symbol>` with an inbox. There come, each a message with the header PART:
ACCEPTED once, TICKS as often as there are batches, and at last ANSWER, or REFUSED with a sentence.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import nats.errors
from google.protobuf.message import DecodeError
from nats.aio.client import Client
from nats.aio.msg import Msg
from suho.market.v1 import bridge_pb2 as pb

from mesh.log import get_logger
from mesh.market import Batch
from mesh.market.subjects import history_subject, parse_tick_subject
from services.data_bridge.domain.progress import SymbolKey
from services.data_bridge.domain.terminal import HistoryChange, Resent
from services.data_bridge.lane import Lane

log = get_logger(__name__)

PART, AGENT, BRIDGE = "Suho-Part", "Suho-Agent", "Suho-Bridge"
ACCEPTED, TICKS, ANSWER, REFUSED = "accepted", "ticks", "answer", "refused"

# Of one agent: its terminal answers one after the other, behind live ticks.
_UNDER_WAY = 8
# Of ticks for one question: an hour of the busiest symbol is a tenth of it.
_MOST_BYTES = 256 << 20


class Changes(Protocol):
    """Who hears that a terminal's history is not what was stored."""

    def changed(self, agent: str, change: HistoryChange) -> None: ...


class _FailedError(Exception):
    """The question can not be answered; the text says why."""


@dataclass(slots=True)
class _Question:
    """A question under way: what came on its lane and was not passed on yet; `size` bytes came in all."""

    lane: Lane
    asked: pb.HistoryRequest
    parts: deque[tuple[str, bytes]] = field(default_factory=deque)
    size: int = 0
    failure: str = ""
    some: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, part: str, payload: bytes) -> None:
        self.size += len(payload)
        if self.size > _MOST_BYTES:
            self.fail("it has more ticks than are sent at once; ask for a shorter range")
            return
        self.parts.append((part, payload))
        self.some.set()

    def fail(self, because: str) -> None:
        self.failure = because
        self.some.set()

    async def next(self, timeout_s: float) -> tuple[str, bytes]:
        """Raises _FailedError, and TimeoutError when nothing came for so long."""
        async with asyncio.timeout(timeout_s):
            await self.some.wait()
        if self.failure:
            raise _FailedError(self.failure)
        part, payload = self.parts.popleft()
        if not self.parts:
            self.some.clear()
        return part, payload

    def covers(self, batch: Batch) -> bool:
        """Whether these are ticks that were asked for."""
        asked = self.asked
        inside = asked.from_msc <= batch.time_msc.min() and batch.time_msc.max() < asked.to_msc
        return bool(inside) and (batch.server, batch.symbol) == (asked.symbol.server, asked.symbol.symbol)


class HistoryRelay:
    """Brings questions to the lanes of this bridge, and answers back. Implements `lane.History`.

    Args:
        lane_of: The lane on which a symbol is streamed to this bridge, if it is.
        silence_s: How long an agent may say nothing.
    """

    def __init__(
        self,
        bus: Client,
        bridge: str,
        lane_of: Callable[[SymbolKey], Lane | None],
        changes: Changes,
        silence_s: float,
    ) -> None:
        self._bus = bus
        self._bridge = bridge
        self._lane_of = lane_of
        self._changes = changes
        self._silence_s = silence_s
        self._numbers = itertools.count(1)
        self._open: dict[int, _Question] = {}

    async def run(self) -> None:
        """Answer until cancelled."""
        async with asyncio.TaskGroup() as tasks:

            async def receive(message: Msg) -> None:
                key = SymbolKey(*parse_tick_subject(message.subject))
                lane = self._lane_of(key)
                if lane is not None:
                    tasks.create_task(self._answer(lane, message), name=f"history of {key.symbol}")

            subscription = await self._bus.subscribe(history_subject("", ""), cb=receive)
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                if self._bus.is_connected:
                    await subscription.unsubscribe()

    def changed(self, lane: Lane, changes: Sequence[HistoryChange]) -> None:
        for change in changes:
            self._changes.changed(lane.agent, change)

    def answered(self, lane: Lane, resent: Sequence[Resent], answers: Sequence[pb.HistoryAnswer]) -> None:
        for item in resent:
            if question := self._of(lane, item.request):
                if question.covers(item.arrival.batch):
                    question.put(TICKS, item.arrival.payload)
                else:
                    question.fail(f"agent {lane.agent} sent other ticks than it was asked for")
        for answer in answers:
            if question := self._of(lane, answer.request):
                if answer.error:
                    question.fail(f"agent {lane.agent} says: {answer.error}")
                else:
                    question.put(ANSWER, answer.SerializeToString())

    def left(self, lane: Lane) -> None:
        for question in self._open.values():
            if question.lane is lane:
                question.fail(f"agent {lane.agent} went away before it had answered; ask again")

    def _of(self, lane: Lane, number: int) -> _Question | None:
        """The open question; None when nobody waits any more, or another agent was asked."""
        question = self._open.get(number)
        return question if question is not None and question.lane.agent == lane.agent else None

    async def _answer(self, lane: Lane, asked: Msg) -> None:
        try:
            await self._say(asked, lane, ACCEPTED)
            if refusal := await self._refusal(lane, asked):
                await self._say(asked, lane, REFUSED, refusal.encode())
        except (nats.errors.Error, OSError) as error:  # whoever asked hears nothing, and gives up by itself
            log.warning("an answer about history is lost", agent=lane.agent, because=str(error) or type(error).__name__)

    async def _refusal(self, lane: Lane, asked: Msg) -> str:
        """Why the question could not be answered; empty when it was."""
        try:
            await self._relay(lane, asked)
        except DecodeError:
            return "the question can not be decoded as a HistoryRequest"
        except _FailedError as failure:
            return str(failure)
        except TimeoutError:
            return f"agent {lane.agent} said nothing for {self._silence_s:g} s; ask again when it is less busy"
        return ""

    async def _relay(self, lane: Lane, asked: Msg) -> None:
        if sum(question.lane.agent == lane.agent for question in self._open.values()) >= _UNDER_WAY:
            raise _FailedError(f"agent {lane.agent} has {_UNDER_WAY} questions to answer already; ask again later")
        request = pb.HistoryRequest.FromString(asked.data)
        request.request = next(self._numbers)
        question = self._open[request.request] = _Question(lane, request)
        try:
            lane.ask(request)
            part = ""
            while part != ANSWER:
                part, payload = await question.next(self._silence_s)
                await self._say(asked, lane, part, payload)
        finally:
            del self._open[request.request]

    async def _say(self, asked: Msg, lane: Lane, part: str, payload: bytes = b"") -> None:
        headers = {PART: part, AGENT: lane.agent, BRIDGE: self._bridge}
        await self._bus.publish(asked.reply, payload, headers=headers)
