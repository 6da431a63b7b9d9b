"""The tick log: a JetStream stream, declared here, read in order."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from google.protobuf.message import DecodeError
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import api
from nats.js.errors import APIError, NotFoundError
from suho.market.v1 import tick_pb2

from mesh.clock import unix_ms
from mesh.config import SettingsError
from mesh.log import get_logger
from mesh.market import TickId, codec, subjects
from services.database.domain.log import Marker, Message, Ticks, sound

log = get_logger(__name__)

# What is raised while NATS is away, answers late, or lost what was being read.
INTERRUPTED: tuple[type[Exception], ...] = (NatsError, OSError)

_STREAM = subjects.TICKS_STREAM
_PULL_MESSAGES = 10_000
_PULL_EXPIRES_S = 30.0
_HEARTBEAT_S = 2.0
_INACTIVE_S = 60.0
_LOOK_S = 0.5
_NANO = 1_000_000_000

_TIMED_OUT, _ENDED, _HEARTBEAT = "408", "409", "100"
_STREAM_NAME_IN_USE, _NO_ROOM = 10058, 10047


class LogInterruptedError(NatsError):
    """The reader can not go on where it was; read again from the stored position."""


class TickLog:
    """The stream TICKS."""

    def __init__(self, client: Client, max_bytes: int) -> None:
        self._client = client
        self._stream = client.jetstream()
        self._max_bytes = max_bytes

    async def declare(self) -> int:
        """Make the stream when it is missing, bring its bounds up to date, and give its epoch.

        Raises:
            SettingsError: NATS has no room for `log_max_bytes`.
            LogInterruptedError: the stream there is not ours.
        """
        try:
            info = await self._stream.stream_info(_STREAM)
        except NotFoundError:
            await self._create()
            info = await self._stream.stream_info(_STREAM)
        epoch = (info.config.metadata or {}).get(subjects.EPOCH_METADATA, "")
        if not epoch.isdecimal():
            raise LogInterruptedError(
                f"stream {_STREAM} bears no {subjects.EPOCH_METADATA}: another program made it; remove it"
            )
        if info.config.max_bytes != self._max_bytes:
            await self._fitting(self._stream.update_stream(info.config.evolve(max_bytes=self._max_bytes)))
        return int(epoch)

    async def bounds(self) -> tuple[int, int]:
        """Numbers of the first and the last message; (n + 1, n) when it holds none."""
        state = (await self._stream.stream_info(_STREAM)).state
        return (state.first_seq, state.last_seq) if state.messages else (state.last_seq + 1, state.last_seq)

    async def message(self, seq: int) -> Message | None:
        """The message with that number; None when it is not in the log."""
        try:
            found = await self._stream.get_msg(_STREAM, seq)
        except NotFoundError:
            return None
        return decode(seq, found.subject or "", found.data or b"")

    @asynccontextmanager
    async def read(self, first_seq: int, max_bytes: int) -> AsyncIterator["LogReader"]:
        """Read from `first_seq` on; about `max_bytes` are fetched ahead."""
        config = api.ConsumerConfig(
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=first_seq,
            ack_policy=api.AckPolicy.NONE,
            mem_storage=True,
            inactive_threshold=_INACTIVE_S,
            num_replicas=1,
        )
        consumer = await self._stream.add_consumer(_STREAM, config)
        reader = LogReader(self._client, consumer.name, max_bytes)
        inbox = self._client.new_inbox()
        subscription = await self._client.subscribe(inbox, cb=reader.receive)
        try:
            await reader.start(inbox)
            yield reader
        finally:
            if self._client.is_connected:
                await subscription.unsubscribe()

    async def _create(self) -> None:
        config = api.StreamConfig(
            name=_STREAM,
            subjects=[subjects.all_ticks()],
            storage=api.StorageType.FILE,
            discard=api.DiscardPolicy.NEW,
            max_age=0,
            max_bytes=self._max_bytes,
            allow_direct=True,
            metadata={subjects.EPOCH_METADATA: str(unix_ms())},
        )
        try:
            await self._fitting(self._stream.add_stream(config))
        except APIError as error:
            if error.err_code != _STREAM_NAME_IN_USE:  # another instance was faster
                raise
        else:
            log.info("tick log made", max_bytes=self._max_bytes)

    async def _fitting(self, change: "asyncio.Future[api.StreamInfo] | object") -> None:
        try:
            await change  # type: ignore[misc]
        except APIError as error:
            if error.err_code == _NO_ROOM:
                raise SettingsError(
                    f"setting 'log_max_bytes': NATS has no room for {self._max_bytes} bytes; give less, or NATS more"
                ) from None
            raise


class LogReader:
    """Messages in the log's order. One pull request is open at a time, while there is room for what it brings."""

    def __init__(self, client: Client, consumer: str, max_bytes: int) -> None:
        self._client = client
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{_STREAM}.{consumer}"
        self._max_bytes = max_bytes
        self._inbox = ""
        self._gathered: list[Msg] = []
        self._gathered_bytes = 0
        self._open_messages = 0
        self._changed = asyncio.Event()
        self._broken = ""
        self._reconnects = client.stats["reconnects"]

    async def start(self, inbox: str) -> None:
        self._inbox = inbox
        await self._pull()

    async def take(self) -> list[Message]:
        """Everything that has arrived since the last call; waits for the first.

        Raises:
            LogInterruptedError: the connection or the consumer was lost.
        """
        while not self._gathered:
            await self._wait()
        taken, self._gathered, self._gathered_bytes = self._gathered, [], 0
        await self._pull()
        return [decode(item.metadata.sequence.stream, item.subject, item.data) for item in taken]

    async def receive(self, message: Msg) -> None:
        status = (message.headers or {}).get("Status")
        if status is None:
            self._gathered.append(message)
            self._gathered_bytes += len(message.data)
            self._open_messages -= 1
        elif status == _TIMED_OUT or (status == _ENDED and "MaxBytes" in _description(message)):
            self._open_messages = 0
        elif status != _HEARTBEAT:
            self._broken = f"the pull ended with {status} {_description(message)}"
        self._changed.set()
        await self._pull()

    async def _wait(self) -> None:
        """Until something came; a lost pull shows by a reconnection or by silence."""
        silent_s = 0.0
        while not self._changed.is_set():
            if self._client.stats["reconnects"] != self._reconnects:
                raise LogInterruptedError("the connection to NATS was lost")
            if silent_s >= 3 * _HEARTBEAT_S:
                raise LogInterruptedError("JetStream is silent, without heartbeats")
            silent_s += _LOOK_S
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._changed.wait()
        self._changed.clear()
        if self._broken:
            raise LogInterruptedError(self._broken)

    async def _pull(self) -> None:
        if self._open_messages > 0 or self._gathered_bytes >= self._max_bytes or self._broken:
            return
        self._open_messages = _PULL_MESSAGES
        request = {
            "batch": _PULL_MESSAGES,
            "max_bytes": self._max_bytes,
            "expires": int(_PULL_EXPIRES_S * _NANO),
            "idle_heartbeat": int(_HEARTBEAT_S * _NANO),
        }
        await self._client.publish(self._subject, json.dumps(request).encode(), self._inbox)


def decode(seq: int, subject: str, data: bytes) -> Message:
    """A message of the log; one that can not be read becomes a marker: nothing stops, and the loss is counted."""
    server, symbol, message = "", "", tick_pb2.TickBatchTwin()
    try:
        server, symbol = subjects.parse_tick_subject(subject)
        message.ParseFromString(data)
        if not message.HasField("quarantine"):
            return sound(Ticks(seq, codec.decode(message)))
    except (DecodeError, ValueError) as error:
        log.error("unreadable message in the log", seq=seq, subject=subject, because=str(error))
        prev = TickId(message.prev.time_msc, message.prev.ordinal)
        return Marker(
            seq, server, symbol, message.agent, message.read_unix_ns, prev, prev, message.count, "MALFORMED_BATCH"
        )
    quarantine = message.quarantine
    return Marker(
        seq,
        server,
        symbol,
        message.agent,
        message.read_unix_ns,
        TickId(message.prev.time_msc, message.prev.ordinal),
        TickId(quarantine.last.time_msc, quarantine.last.ordinal),
        quarantine.count,
        quarantine.reason,
    )


def _description(message: Msg) -> str:
    return str((message.headers or {}).get("Description", ""))
