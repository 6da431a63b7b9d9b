"""The tick log in `mt5_tick_stream`: what stands in the log, unchanged, and with it how far that got."""

from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

from suho.market.v1 import tick_pb2

from mesh.errors import MeshError, Reason
from mesh.market import TickId
from services.database.domain.log import Correction, Identity, Marker, Message, Range, Ticks
from services.database.domain.resume import Bounds, LogEpoch
from services.database.kafka.positions import TICKS_WRITER, Record, read_positions
from services.database.kafka.topics import INTERRUPTED, POSITIONS, TICKS, Cluster, partition_of
from services.database.kafka.writer import Writer
from services.database.sink import Log, Reader

_CONTENT_TYPE = b'application/x-protobuf; messageType="suho.market.v1.TickBatch"'


class SecondLog:
    """A log whose epoch another sink keeps: this one goes by the identity of the message at its position alone."""

    def __init__(self, tick_log: Log) -> None:
        self._log = tick_log
        self._start = 0

    @property
    def name(self) -> str:
        return self._log.name

    async def declare(self) -> LogEpoch:
        epoch = await self._log.declare()
        return LogEpoch(epoch.number, self._start, epoch.purged)

    async def renew(self, start: int) -> LogEpoch:
        """From where this sink goes on; the log is not touched."""
        self._start = start
        return await self.declare()

    async def bounds(self) -> Bounds:
        return await self._log.bounds()

    async def message_from(self, seq: int) -> Message | None:
        return await self._log.message_from(seq)

    def read(self, first_seq: int, max_bytes: int) -> AbstractAsyncContextManager[Reader]:
        return self._log.read(first_seq, max_bytes)


class TickTopic:
    """The sink's store: each range and its position are one transaction."""

    def __init__(self, cluster: Cluster, writer: Writer, log_name: str) -> None:
        self._cluster = cluster
        self._writer = writer
        self._log_name = log_name
        self._stored: tuple[int, Identity] | None = None
        self._partitions = TICKS.partitions

    async def end_older_inserts(self) -> None:
        """Takes the name of who writes ticks: what another has under way is undone.

        Raises:
            UnfitTopicError
        """
        self._partitions = (await self._cluster.ensure(TICKS, POSITIONS))[TICKS.name]
        found = (await self._writer.open()).get(self._log_name)
        self._stored = (int(found["seq"]), _identity(found)) if found else None

    async def stored_seq(self, epoch: int) -> int:
        """The last message that is in the topic, under whatever epoch: its identity tells whether it is the log's."""
        return self._stored[0] if self._stored else 0

    async def identities(self, seq: int) -> Collection[Identity]:
        """Known only of the last one stored: a log that is not the one that was stored is sent again as a whole."""
        return [self._stored[1]] if self._stored and self._stored[0] == seq else []

    async def store(self, span: Range, epoch: int) -> None:
        """Raises what `Writer.write` raises."""
        last = span.messages[-1]
        position = {self._log_name: _position(epoch, last.seq, last.identity)}
        await self._writer.write(partial(self._records, span.messages, epoch), position)
        self._stored = (last.seq, last.identity)

    def _records(self, messages: Iterable[Message], epoch: int) -> Iterable[Record]:
        for message in messages:
            server, symbol, *_ = message.identity
            yield Record(
                TICKS.name,
                partition_of(f"{server}/{symbol}", self._partitions),
                symbol.encode(),
                message.data if isinstance(message, Ticks) else _without_ticks(message),
                [
                    ("content-type", _CONTENT_TYPE),
                    ("server", server.encode()),
                    ("log-epoch", b"%d" % epoch),
                    ("log-seq", b"%d" % message.seq),
                ],
            )


class TickProgress:
    """How far the topic got, asked of Kafka: another instance may be writing."""

    def __init__(self, cluster: Cluster, tick_log: Log) -> None:
        self._cluster = cluster
        self._log = tick_log

    async def stored_seq(self, epoch: int) -> int:
        """The last message that may leave the log as far as Kafka goes; 0: none.

        A position of an older epoch counts when the log's message there is still the one that was stored.

        Raises:
            MeshError: ENGINE_UNAVAILABLE.
        """
        try:
            found = (await read_positions(self._cluster, TICKS_WRITER)).get(self._log.name)
        except INTERRUPTED as error:
            raise MeshError(Reason.ENGINE_UNAVAILABLE, f"Kafka does not answer ({error}); try again") from error
        if found is None:
            return 0
        seq = int(found["seq"])
        if found["epoch"] != epoch:
            there = await self._log.message_from(seq)
            if there is None or there.seq != seq or there.identity != _identity(found):
                return 0
        return seq


def _without_ticks(message: Marker | Correction) -> bytes:
    """What a marker or a correction's end says, also where the log's own bytes could not be read."""
    if isinstance(message, Correction):
        batch = tick_pb2.TickBatch(
            generation=message.generation,
            correction=tick_pb2.Correction(
                from_msc=message.from_msc, to_msc=message.to_msc, count=message.count, reason=message.reason
            ),
        )
    else:
        batch = tick_pb2.TickBatch(
            agent=message.agent,
            read_unix_ns=message.read_unix_ns,
            prev=_tick_id(message.prev),
            quarantine=tick_pb2.Quarantine(last=_tick_id(message.last), count=message.count, reason=message.reason),
        )
    batch.server, batch.symbol = message.server, message.symbol
    return batch.SerializeToString()


def _tick_id(tick: TickId) -> tick_pb2.TickId:
    return tick_pb2.TickId(time_msc=tick.time_msc, ordinal=tick.ordinal)


def _position(epoch: int, seq: int, identity: Identity) -> Mapping[str, Any]:
    return {
        "epoch": epoch,
        "seq": seq,
        "server": identity.server,
        "symbol": identity.symbol,
        "time_msc": identity.last.time_msc,
        "ordinal": identity.last.ordinal,
        "read_unix_ns": identity.read_unix_ns,
    }


def _identity(found: Mapping[str, Any]) -> Identity:
    return Identity(
        found["server"], found["symbol"], TickId(found["time_msc"], found["ordinal"]), found["read_unix_ns"]
    )
