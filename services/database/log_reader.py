"""Reading a stream of ticks in its order, and decoding what it holds."""

import asyncio
import json
from contextlib import suppress

from google.protobuf.message import DecodeError
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from suho.market.v1 import tick_pb2

from mesh.log import get_logger
from mesh.market import TickId, codec, subjects
from services.database.domain.log import Correction, Marker, Message, Ticks, sound

log = get_logger(__name__)

_PULL_MESSAGES = 2_000
# What a message takes in memory beside its data, about.
_OVERHEAD_BYTES = 1_000
_PULL_EXPIRES_S = 30.0
_HEARTBEAT_S = 2.0
_LOOK_S = 0.5
_NANO = 1_000_000_000

_HEARTBEAT = "100"
# Borne by the status that ends a pull: how many messages it did not bring.
_SHORT_OF = "Nats-Pending-Messages"


class LogInterruptedError(NatsError):
    """The reader can not go on where it was; read again from the stored position."""


class LogReader:
    """Messages in the log's order. One pull request is open at a time, while there is room for what it brings."""

    def __init__(self, client: Client, stream: str, consumer: str, max_bytes: int) -> None:
        self._client = client
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
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
        # Thousands of small messages take a good part of a second, in which the loop has others to answer.
        return await asyncio.to_thread(_decoded, taken)

    async def receive(self, message: Msg) -> None:
        headers = message.headers or {}
        status = headers.get("Status")
        if status is None:
            self._gathered.append(message)
            self._gathered_bytes += len(message.data) + _OVERHEAD_BYTES
            self._open_messages -= 1
        elif _SHORT_OF in headers:
            self._open_messages -= int(headers[_SHORT_OF])
        elif status != _HEARTBEAT:
            self._broken = f"the pull ended with {status} {headers.get('Description', '')}"
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


def _decoded(messages: list[Msg]) -> list[Message]:
    return [decode(item.metadata.sequence.stream, item.subject, item.data) for item in messages]


def decode(seq: int, subject: str, data: bytes) -> Message:
    """A message of the log; one that can not be read becomes a marker: nothing stops, and the loss is counted."""
    server, symbol, message = "", "", tick_pb2.TickBatchTwin()
    try:
        server, symbol = subjects.parse_tick_subject(subject)
        message.ParseFromString(data)
        if message.HasField("quarantine"):
            return _marker(seq, server, symbol, message)
        if message.HasField("correction"):
            return _correction(seq, server, symbol, message)
        return sound(Ticks(seq, codec.decode(message), data))
    except (DecodeError, ValueError) as error:
        log.error("unreadable message in the log", seq=seq, subject=subject, because=str(error))
        prev = TickId(message.prev.time_msc, message.prev.ordinal)
        return Marker(
            seq, server, symbol, message.agent, message.read_unix_ns, prev, prev, message.count, "MALFORMED_BATCH"
        )


def _marker(seq: int, server: str, symbol: str, message: tick_pb2.TickBatchTwin) -> Marker:
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


def _correction(seq: int, server: str, symbol: str, message: tick_pb2.TickBatchTwin) -> Correction:
    if message.generation == 0:
        raise ValueError("a correction needs a generation above 0")
    said = message.correction
    return Correction(seq, server, symbol, message.generation, said.from_msc, said.to_msc, said.count, said.reason)
