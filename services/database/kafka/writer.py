"""Writing to Kafka: all or nothing, by one writer at a time, each with a position that the same transaction moves."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Producer

from mesh.failpoint import failpoint
from services.database.kafka.positions import OPENED, Positions, Record, WriterName, position_records, read_positions
from services.database.kafka.topics import SILENT, Cluster, KafkaInterruptedError

# How long one call into the library may block its thread, and with it the program's end.
_SLICE_S = 0.5
_PATIENCE_S = 10.0
# What a writer left open when it died holds up readers no longer than this.
_TRANSACTION_MS = 15_000
_LARGEST_BYTES = 4 << 20


class FencedError(Exception):
    """Another writer took this one's name; nothing more of it is accepted."""


class Writer:
    """A transactional producer.

    A producer that met any trouble is given up, never used again: the broker refuses what is still under way from it
    as soon as the next one has opened. So no late request can reach into a later transaction, which clients before
    KIP-890 do not exclude otherwise.
    """

    def __init__(self, cluster: Cluster, name: WriterName, compression: str) -> None:
        self._cluster = cluster
        self._name = name
        self._compression = compression
        self._producer: Producer | None = None
        self._troubled = False

    async def open(self) -> Positions:
        """Take the name, and give the positions: whoever wrote under it before is refused, and what it left is undone.

        Raises:
            KafkaException, KafkaInterruptedError: Kafka is away.
        """
        self.close()
        producer = Producer(
            {
                **self._cluster.connection,
                "transactional.id": self._name.transactional_id,
                "transaction.timeout.ms": _TRANSACTION_MS,
                "compression.type": self._compression,
                "message.max.bytes": _LARGEST_BYTES,
                "linger.ms": 0,
                "error_cb": self._note_trouble,
            },
            logger=SILENT,
        )
        await _patiently("Kafka gives no producer id", producer.init_transactions)
        mark = secrets.token_hex(8)
        await _commit(producer, "kafka.open", partial(position_records, self._name, {OPENED: {"mark": mark}}))
        # A broker that has just started may show an older end of the topic for a moment: what is behind our own mark
        # is all there is.
        positions = await read_positions(self._cluster, self._name, mark)
        self._producer, self._troubled = producer, False
        return positions

    async def write(self, records: Callable[[], Iterable[Record]], positions: Positions) -> None:
        """Commit records and positions in one transaction; `records` is called in a thread.

        Raises:
            FencedError: another writer has the name.
            KafkaException, KafkaInterruptedError: not committed, or not known to be; open again.
        """
        producer = self._producer
        if producer is None or self._troubled:
            raise KafkaInterruptedError("the connection to Kafka was disturbed; going on under a new producer epoch")
        try:
            await _commit(producer, "kafka.write", records, partial(position_records, self._name, positions))
        except KafkaException as error:
            self.close()
            if _fenced(error) or await asyncio.to_thread(_is_fenced, producer):
                raise FencedError(f"another writer took the name {self._name.transactional_id}") from None
            raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the producer up; the next one to open undoes what it left."""
        self._producer = None

    def _note_trouble(self, _: KafkaError) -> None:
        self._troubled = True


@asynccontextmanager
async def open_writer(cluster: Cluster, name: WriterName, compression: str) -> AsyncIterator[Writer]:
    """A writer, not open yet, given up at the end of the block."""
    writer = Writer(cluster, name, compression)
    try:
        yield writer
    finally:
        writer.close()


async def _commit(producer: Producer, name: str, *parts: Callable[[], Iterable[Record]]) -> None:
    """The parts in one transaction; a failpoint `name`.1, .2 … after each."""
    producer.begin_transaction()
    for number, part in enumerate(parts, start=1):
        await asyncio.to_thread(_produce, producer, part)
        failpoint(f"{name}.{number}")
    await _patiently("Kafka does not commit", producer.commit_transaction)


def _produce(producer: Producer, records: Callable[[], Iterable[Record]]) -> None:
    for record in records():
        producer.produce(
            record.topic, record.value, record.key, partition=record.partition, headers=list(record.headers)
        )
    producer.poll(0)


def _fenced(error: KafkaException) -> bool:
    return error.args[0].code() in (KafkaError._FENCED, KafkaError.PRODUCER_FENCED)


def _is_fenced(producer: Producer) -> bool:
    """Once that is found, while records are still handed over, only the next transaction is told the reason."""
    try:
        producer.begin_transaction()
    except KafkaException as error:
        return _fenced(error)
    return False


async def _patiently(complaint: str, call: Callable[[float], None]) -> None:
    """A blocking call that may be repeated after its time is up, in slices that a cancellation can end.

    Less patient than the library's own requests are, so that it never repeats one whose first copy is still under way.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            await asyncio.to_thread(call, _SLICE_S)
        except KafkaException as error:
            if not error.args[0].retriable():
                raise
            if time.monotonic() > deadline:
                raise KafkaInterruptedError(complaint) from None
        else:
            return
