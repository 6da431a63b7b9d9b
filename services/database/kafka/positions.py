"""How far each writer got: small JSON objects in a compacted topic, written with the records that they count."""

import asyncio
import json
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from services.database.kafka.topics import POSITIONS, SILENT, Cluster, KafkaInterruptedError

_SLICE_S = 0.5
_PATIENCE_S = 10.0


class Record(NamedTuple):
    topic: str
    partition: int
    key: bytes
    value: bytes
    headers: list[tuple[str, str | bytes | None]]


class WriterName(NamedTuple):
    """Who writes, and where its positions stand: a partition of its own, so that no other writer's open transaction
    hides their end from `read_committed`."""

    transactional_id: str
    partition: int


TICKS_WRITER = WriterName("suho-ticks", 0)
SIGNALS_WRITER = WriterName("suho-signals", 1)

# The position that says who opened last.
OPENED = "opened"

Positions = Mapping[str, Mapping[str, Any]]
"""JSON objects by key."""


def position_records(name: WriterName, positions: Positions) -> Iterable[Record]:
    for key, value in positions.items():
        text = json.dumps(value, separators=(",", ":")).encode()
        yield Record(POSITIONS.name, name.partition, key.encode(), text, [])


async def read_positions(cluster: Cluster, name: WriterName, mark: str = "") -> Positions:
    """What was committed under this name; all of it where `mark`, which the caller has just written, is waited for.

    Raises:
        KafkaException, KafkaInterruptedError: Kafka is away, or the topic is.
    """
    consumer = Consumer(
        {
            **cluster.connection,
            "group.id": name.transactional_id,
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 20,
        },
        logger=SILENT,
    )
    found: dict[str, Mapping[str, Any]] = {}
    deadline = time.monotonic() + _PATIENCE_S
    try:
        consumer.assign([TopicPartition(POSITIONS.name, name.partition, 0)])
        while not await asyncio.to_thread(_read_to_end, consumer, found, mark):
            if time.monotonic() > deadline:
                raise KafkaInterruptedError("Kafka does not give the positions")
    finally:
        consumer.close()
    found.pop(OPENED, None)
    return found


def _read_to_end(consumer: Consumer, found: dict[str, Mapping[str, Any]], mark: str) -> bool:
    """Whether the end was reached within a slice of time."""
    deadline = time.monotonic() + _SLICE_S
    while time.monotonic() < deadline:
        message = consumer.poll(_SLICE_S)
        if message is None:
            continue
        error = message.error()
        if error is None:
            found[_text(message.key())] = json.loads(_text(message.value()))
        elif error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)
        elif not mark or found.get(OPENED) == {"mark": mark}:
            return True
    return False


def _text(stored: str | bytes | None) -> str:
    return stored.decode() if isinstance(stored, bytes) else stored or ""
