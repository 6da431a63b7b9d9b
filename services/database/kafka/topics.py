"""The topics: made when they are missing, never altered; where they differ from what is wanted, it is said."""

import asyncio
import logging
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata, ConfigResource, NewTopic, ResourceType  # type: ignore[attr-defined]

from mesh.log import get_logger

log = get_logger(__name__)

_TIMEOUT_S = 10.0
# While Kafka is away this holds up the program's end.
_LOOK_S = 2.0
_AGAIN_S = 0.02
_DAY_MS = 24 * 3600 * 1000
# A topic's copies, where there are so many brokers, and how many of them must hold a record before it counts.
_MOST_COPIES = 3


@dataclass(frozen=True)
class Topic:
    """How a topic is made."""

    name: str
    partitions: int
    settings: Mapping[str, str]


# Old records go by whole segments: these close early enough that the retention means what it says.
TICKS = Topic(
    "mt5_tick_stream",
    12,
    {
        "cleanup.policy": "delete",
        "compression.type": "producer",
        "max.message.bytes": str(4 << 20),
        "retention.ms": str(_DAY_MS),
        "segment.ms": str(_DAY_MS // 24),
    },
)
SIGNALS = Topic(
    "trading_signals",
    6,
    {
        "cleanup.policy": "delete",
        "compression.type": "producer",
        "retention.ms": str(7 * _DAY_MS),
        "segment.ms": str(_DAY_MS),
    },
)
# A partition for each writer. Small segments, compacted soon: it is read whole at each start.
POSITIONS = Topic(
    "suho_positions",
    2,
    {
        "cleanup.policy": "compact",
        "min.cleanable.dirty.ratio": "0.1",
        "segment.bytes": str(1 << 20),
        "segment.ms": str(_DAY_MS // 24),
    },
)


class UnfitTopicError(Exception):
    """The positions would not be safe in the topic that is there; the message says what to do."""


class KafkaInterruptedError(Exception):
    """Kafka did not answer in time, or it is not known what it did: read the positions, and go on from there."""


# After these: open again.
INTERRUPTED: tuple[type[Exception], ...] = (KafkaException, KafkaInterruptedError)

# What the library would say on standard error is raised too; nobody needs both.
SILENT = logging.getLogger("librdkafka")
SILENT.setLevel(logging.CRITICAL + 1)


class Cluster:
    """Where Kafka is, and how it was found.

    Args:
        bootstrap: host:port,host:port of some of its brokers.
        copies: How many of each record; 0: three, or as many as there are brokers.
    """

    def __init__(self, bootstrap: str, copies: int) -> None:
        self._copies = copies
        self.connection: dict[str, Any] = {
            "bootstrap.servers": bootstrap,
            "reconnect.backoff.max.ms": 1000,
            "retry.backoff.ms": 50,
            "topic.metadata.propagation.max.ms": 5000,
        }

    async def ensure(self, *wanted: Topic) -> dict[str, int]:
        """Make the topics that are missing; give each one's number of partitions.

        Raises:
            KafkaException: Kafka is away, or refuses.
            UnfitTopicError
        """
        return await asyncio.to_thread(self._ensure, wanted)

    def _ensure(self, wanted: tuple[Topic, ...]) -> dict[str, int]:
        admin = AdminClient(self.connection, logger=SILENT)
        known = admin.list_topics(timeout=_LOOK_S)
        missing = [topic for topic in wanted if topic.name not in known.topics]
        if missing:
            copies = self._copies or min(_MOST_COPIES, len(known.brokers))
            for name, made in admin.create_topics([_new(topic, copies) for topic in missing]).items():
                if _is_new(made):
                    log.info("topic made", topic=name, copies=copies)
            known = _known_with(admin, missing)
        partitions = {topic.name: len(known.topics[topic.name].partitions) for topic in wanted}
        for topic in wanted:
            self._compare(admin, topic, partitions[topic.name])
        return partitions

    def _compare(self, admin: AdminClient, topic: Topic, partitions: int) -> None:
        asked = ConfigResource(ResourceType.TOPIC, topic.name)
        there = admin.describe_configs([asked])[asked].result(_TIMEOUT_S)
        found = {name: entry.value for name, entry in there.items()} | {"partitions": str(partitions)}
        for name, value in _differences(topic, found):
            log.warning(
                "topic differs, and is left as it is",
                topic=topic.name,
                setting=name,
                wanted=value,
                is_=found.get(name, "unknown"),
            )
        if topic == POSITIONS and (found["cleanup.policy"] != "compact" or partitions < POSITIONS.partitions):
            raise UnfitTopicError(
                f"topic {topic.name} has {partitions} partitions and cleanup.policy {found['cleanup.policy']}; it needs"
                f" {POSITIONS.partitions} or more and 'compact': alter it, or remove it while nothing writes to Kafka"
            )


def partition_of(name: str, partitions: int) -> int:
    """The same for the same name, in every process and language: CRC-32 of its UTF-8, modulo the partitions."""
    return zlib.crc32(name.encode()) % partitions


def _new(topic: Topic, copies: int) -> NewTopic:
    settings = {**topic.settings, "min.insync.replicas": str(max(1, copies - 1))}
    return NewTopic(topic.name, topic.partitions, copies, config=settings)


def _is_new(made: "Future[None]") -> bool:
    try:
        made.result(_TIMEOUT_S)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another instance was faster
            raise
        return False
    return True


def _known_with(admin: AdminClient, made: Iterable[Topic]) -> ClusterMetadata:
    """What the brokers know once the news of these topics has gone round."""
    deadline = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline:
        known = admin.list_topics(timeout=_LOOK_S)
        if all(topic.name in known.topics and known.topics[topic.name].partitions for topic in made):
            return known
        time.sleep(_AGAIN_S)
    raise KafkaInterruptedError("topics that were made do not appear")


def _differences(topic: Topic, found: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    wanted = {**topic.settings, "partitions": str(topic.partitions)}
    return ((name, value) for name, value in wanted.items() if found.get(name) != value)
