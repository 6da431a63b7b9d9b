"""Tells the other hubs over NATS that this one is there, listens for them, and asks whether the store still answers."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TypeVar

import nats.errors
from google.protobuf.message import DecodeError, Message
from nats.aio.client import Client
from nats.aio.msg import Msg
from suho.hub.v1 import store_pb2 as pb

from hub.domain.peers import Beat, PeerTable, PresenceTerms
from mesh.config import SettingsError
from mesh.log import get_logger
from mesh.waiting import obey_cancellation

log = get_logger(__name__)
M = TypeVar("M", bound=Message)

_BEATS = "suho.hub.presence"
_ANSWER_S = 0.5
_LEADER_S = 1.0


class NatsPresence:
    """Implements `Peers`.

    Args:
        bus: A connection that comes back for ever.
        process: Made at this process's start.
        leads: Asks the leader of the stream that the store is kept in for a word; raises nats.errors.Error.
        interval_s: How often.
    """

    def __init__(
        self,
        bus: Client,
        hub_id: str,
        process: str,
        leads: Callable[[], Awaitable[object]],
        terms: PresenceTerms,
        interval_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bus = bus
        self._leads = leads
        self._interval_s = interval_s
        self._clock = clock
        self._table = PeerTable(hub_id, process, terms, clock())
        self._replaced = asyncio.Event()

    @property
    def attached(self) -> bool:
        return self._table.is_attached(self._clock())

    @property
    def attached_since(self) -> float:
        return self._table.attached_since

    @property
    def silent_elsewhere(self) -> int:
        return self._table.silent_elsewhere(self._clock())

    def stands_for(self) -> float:
        return self._table.stands_for(self._clock())

    def heard(self) -> Mapping[str, float]:
        return self._table.heard(self._clock())

    def gone_since(self, hub_id: str) -> float | None:
        return self._table.gone_since(hub_id, self._clock())

    def is_gone(self, hub_id: str) -> bool:
        return self.gone_since(hub_id) is not None

    async def stream_stands(self, hub_id: str, instance_id: str) -> bool:
        try:
            answer = await self._ask_hub(hub_id, instance_id)
        except nats.errors.NoRespondersError:
            return False
        except (nats.errors.Error, TimeoutError):
            # Busy, or paused: it holds its leases until it is gone. (Without NATS the write will tell.)
            return self._bus.is_connected
        return answer is not None and answer.stands

    async def claim_id(self) -> None:
        """See that no other process runs under this hub's id.

        Raises:
            SettingsError: one does.
        """
        with suppress(nats.errors.Error, TimeoutError):
            answer = await self._ask_hub(self._table.hub_id, "")
            if answer is not None and answer.process != self._table.process:
                raise self._taken()

    async def run(self, stands: Callable[[str], bool], silent: Callable[[], int]) -> None:
        """Be there for the other hubs, for ever; says goodbye when it is cancelled.

        Args:
            stands: Whether the process behind an instance id is known to be there, with this hub.
            silent: How many of this hub's leases are silent.

        Raises:
            SettingsError: an older process runs under this hub's id.
        """

        async def answer(question: Msg) -> None:
            asked = _read(pb.LeaseQuestion, question.data)
            if asked is not None and question.reply:
                said = pb.LeaseAnswer(process=self._table.process, stands=stands(asked.instance_id))
                await question.respond(said.SerializeToString())

        beats = await self._bus.subscribe(_BEATS, cb=self._hear)
        questions = await self._bus.subscribe(_questions(self._table.hub_id), cb=answer)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._beat(silent), name="say that this hub is there")
                tasks.create_task(self._ask(), name="ask for the store's leader")
                await self._replaced.wait()
                raise self._taken()
        finally:
            if self._bus.is_connected:
                await self._say(0, leaving=True)
                for subscription in (beats, questions):
                    await subscription.unsubscribe()

    async def _beat(self, silent: Callable[[], int]) -> None:
        while True:
            obey_cancellation()
            # What waits for NATS to come back would speak of the past.
            if self._bus.is_connected:
                await self._say(silent())
            await asyncio.sleep(self._interval_s)

    async def _ask(self) -> None:
        was_attached = True
        while True:
            obey_cancellation()
            try:
                async with asyncio.timeout(_LEADER_S):
                    await self._leads()
            except (nats.errors.Error, TimeoutError) as error:
                if was_attached and not self.attached:
                    was_attached = False
                    log.error(
                        "the store does not answer; this hub serves what it knows, writes nothing and expires nobody",
                        because=str(error) or type(error).__name__,
                    )
            else:
                self._table.answered(self._clock())
                if not was_attached:
                    was_attached = True
                    log.info("the store answers again")
            await asyncio.sleep(self._interval_s)

    async def _say(self, silent: int, *, leaving: bool = False) -> None:
        beat = self._table.beat(self._clock(), silent, leaving=leaving)
        said = pb.Presence(
            hub_id=beat.hub_id,
            process=beat.process,
            uptime_ms=beat.uptime_ms,
            silent=beat.silent,
            leaving=beat.leaving,
        )
        await self._bus.publish(_BEATS, said.SerializeToString())

    async def _hear(self, message: Msg) -> None:
        said = _read(pb.Presence, message.data)
        if said is None or not said.hub_id:
            return
        beat = Beat(said.hub_id, said.process, said.uptime_ms, said.silent, said.leaving)
        if not self._table.hear(beat, self._clock()):
            self._replaced.set()

    async def _ask_hub(self, hub_id: str, instance_id: str) -> pb.LeaseAnswer | None:
        question = pb.LeaseQuestion(instance_id=instance_id).SerializeToString()
        async with asyncio.timeout(2 * _ANSWER_S):
            answer = await self._bus.request(_questions(hub_id), question, timeout=_ANSWER_S)
        return _read(pb.LeaseAnswer, answer.data)

    def _taken(self) -> SettingsError:
        return SettingsError(
            f"setting 'instance': a hub {self._table.hub_id!r} runs already over the same NATS, and for longer; give "
            "this one a name of its own"
        )


def _questions(hub_id: str) -> str:
    # A hub's id may hold what a subject gives a meaning to.
    return f"suho.hub.{hub_id.encode().hex()}.question"


def _read(kind: type[M], data: bytes) -> M | None:
    """A message of that kind; None for what is none."""
    try:
        return kind.FromString(data)
    except DecodeError:
        log.warning("unreadable words on the hubs' subjects", bytes=len(data))
        return None
