"""A day of health by instance: in memory, or in a JetStream stream that all hubs share."""

import asyncio
from collections import deque

import nats.errors
from google.protobuf.message import DecodeError
from nats.aio.client import Client
from nats.js import api
from nats.js.errors import APIError, NotFoundError
from suho.hub.v1 import registry_pb2 as pb

from hub.domain.admission import AdmissionError
from hub.domain.history import KEPT_OF_ONE, KEPT_S, HealthEvent, HistoryAwayError
from hub.messages.history import event_from, event_to
from hub.messages.keys import token_of
from hub.store.nats_bucket import STREAM as REGISTRY
from mesh.clock import unix_ms
from mesh.confirmed_publish import ConfirmedPublish
from mesh.log import get_logger
from mesh.waiting import backoff, obey_cancellation, until_available

log = get_logger(__name__)

STREAM = "suho-health"
_SUBJECT = "suho.health"
_MOST_BYTES = 256 * 1024 * 1024
_DUPLICATES_S = 120.0
_MSG_ID = "Nats-Msg-Id"
_WAITING = 20_000
# Between two writes: what a thousand that come at once have to say must not slow their coming.
_GIVE_WAY_S = 0.002
_MOST_IN_MEMORY = 50_000
_ERRORS = (nats.errors.Error, TimeoutError, OSError)


class MemoryHistory:
    """Implements `History` for one hub alone.

    Args:
        most: How many events are kept of all instances; beyond it, the older half goes.
    """

    def __init__(self, most: int = _MOST_IN_MEMORY) -> None:
        self._most = most
        self._kept: dict[str, deque[HealthEvent]] = {}
        self._count = 0

    def note(self, event: HealthEvent) -> None:
        events = self._kept.setdefault(event.instance_id, deque(maxlen=KEPT_OF_ONE))
        self._count += len(events) < KEPT_OF_ONE
        events.append(event)
        if self._count > self._most:
            self._halve()

    async def read(self, instance_id: str, since_unix_ms: int) -> list[HealthEvent]:
        since = max(since_unix_ms, unix_ms() - KEPT_S * 1000)
        return [event for event in self._kept.get(instance_id, ()) if event.unix_ms >= since]

    def _halve(self) -> None:
        times = sorted(event.unix_ms for events in self._kept.values() for event in events)
        middle = times[len(times) // 2]
        left = {
            instance_id: deque((event for event in events if event.unix_ms > middle), maxlen=KEPT_OF_ONE)
            for instance_id, events in self._kept.items()
        }
        self._kept = {instance_id: events for instance_id, events in left.items() if events}
        self._count = sum(len(events) for events in self._kept.values())


class StreamHistory:
    """Implements `History` for all hubs of a mesh; `run` writes what was noted."""

    def __init__(self, bus: Client, timeout_s: float = 2.0) -> None:
        self._js = bus.jetstream(timeout=timeout_s)
        self._publish = ConfirmedPublish(bus, timeout_s)
        self._waiting: deque[HealthEvent] = deque(maxlen=_WAITING)
        self._noted = asyncio.Event()

    def note(self, event: HealthEvent) -> None:
        if len(self._waiting) == _WAITING:
            log.debug("an event of the health history is lost", instance=self._waiting[0].instance_id)
        self._waiting.append(event)
        self._noted.set()

    async def run(self) -> None:
        """Write what was noted, for ever; while NATS is away it waits, and beyond a bound the oldest is lost."""
        await until_available("the health history", self._declare, (APIError, *_ERRORS))
        pauses = backoff()
        while True:
            obey_cancellation()
            if not self._waiting:
                self._noted.clear()
                await self._noted.wait()
            event = self._waiting[0]
            try:
                await self._write(event)
            except (APIError, *_ERRORS) as error:
                log.debug("the health history waits", because=str(error))
                await asyncio.sleep(next(pauses))
                await until_available("the health history", self._declare, (APIError, *_ERRORS))
                continue
            pauses = backoff()
            await asyncio.sleep(_GIVE_WAY_S)
            if self._waiting and self._waiting[0] is event:
                self._waiting.popleft()

    async def read(self, instance_id: str, since_unix_ms: int) -> list[HealthEvent]:
        """Message by message: nothing is left open at the server, and there are some hundred at most."""
        found: list[HealthEvent] = []
        seq = 1
        try:
            while True:
                message = await self._js.get_msg(STREAM, seq, _subject(instance_id), direct=True, next=True)
                seq = (message.seq or seq) + 1
                event = _event(message, instance_id)
                if event is not None and event.unix_ms >= since_unix_ms:
                    found.append(event)
        except NotFoundError:
            return found
        except (APIError, *_ERRORS) as error:
            raise HistoryAwayError(f"the health history does not answer: {error}") from None

    async def _write(self, event: HealthEvent) -> None:
        # Whoever else tells of it, and when the answer was lost: the stream keeps it once.
        payload = event_to(event).SerializeToString()
        await self._publish(_subject(event.instance_id), payload, {_MSG_ID: event.key})

    async def _declare(self) -> None:
        config = api.StreamConfig(
            name=STREAM,
            subjects=[f"{_SUBJECT}.*"],
            storage=api.StorageType.FILE,
            discard=api.DiscardPolicy.OLD,
            max_age=KEPT_S,
            max_bytes=_MOST_BYTES,
            max_msgs_per_subject=KEPT_OF_ONE,
            duplicate_window=_DUPLICATES_S,
            num_replicas=await self._replicas(),
            allow_direct=True,
        )
        try:
            await self._js.stream_info(STREAM)
        except NotFoundError:
            await self._js.add_stream(config)
        else:
            await self._js.update_stream(config)

    async def _replicas(self) -> int:
        """As many as the registry has."""
        try:
            info = await self._js.stream_info(REGISTRY)
        except NotFoundError:
            return 1
        return info.config.num_replicas or 1


def _subject(instance_id: str) -> str:
    return f"{_SUBJECT}.{token_of(instance_id)}"


def _event(message: api.RawStreamMsg, instance_id: str) -> HealthEvent | None:
    key = (message.headers or {}).get(_MSG_ID, "")
    try:
        return event_from(pb.HealthEvent.FromString(message.data or b""), instance_id, key)
    except (DecodeError, AdmissionError) as error:
        log.warning("an event of the health history can not be read", instance=instance_id, because=str(error)[:300])
        return None
