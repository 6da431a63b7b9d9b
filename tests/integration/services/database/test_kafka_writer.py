"""Transactions, positions and topics against a real Kafka."""

import asyncio
import time
from collections.abc import Iterable, Iterator

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType
from structlog.testing import capture_logs

from services.database.kafka.positions import OPENED, Record, WriterName, read_positions
from services.database.kafka.topics import POSITIONS, SIGNALS, SILENT, TICKS, Cluster, UnfitTopicError
from services.database.kafka.writer import FencedError, Writer
from tests.support.kafka import Kafka, committed

pytestmark = pytest.mark.integration


@pytest.fixture
async def cluster(kafka: Kafka) -> Cluster:
    """With our topics, empty."""
    cluster = Cluster(kafka.bootstrap, 0)
    await cluster.ensure(TICKS, SIGNALS, POSITIONS)
    return cluster


def records(count: int, word: str = "x") -> Iterable[Record]:
    return [Record(SIGNALS.name, 0, b"key", f"{word}{number}".encode(), []) for number in range(count)]


def values(kafka: Kafka) -> list[bytes | str | None]:
    return [message.value() for message in committed(kafka, SIGNALS.name)]


async def test_missing_topics_are_made_as_the_contract_says(cluster: Cluster) -> None:
    """Partitions, retention and compaction; three copies need three brokers, one broker gives one."""
    admin = AdminClient(cluster.connection, logger=SILENT)
    known = admin.list_topics(timeout=30).topics
    assert {name: len(known[name].partitions) for name in (TICKS.name, SIGNALS.name)} == {
        "mt5_tick_stream": 12,
        "trading_signals": 6,
    }
    wanted = {TICKS.name: "86400000", SIGNALS.name: "604800000"}
    asked = [ConfigResource(ResourceType.TOPIC, topic.name) for topic in (TICKS, SIGNALS, POSITIONS)]
    found = {resource.name: future.result(30) for resource, future in admin.describe_configs(asked).items()}
    assert {topic: found[topic]["retention.ms"].value for topic in wanted} == wanted
    assert found[POSITIONS.name]["cleanup.policy"].value == "compact"


async def test_a_topic_that_differs_is_left_and_said(kafka: Kafka) -> None:
    """Nothing is altered; each difference is a warning; positions that could be forgotten are refused."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap}, logger=SILENT)
    other = [NewTopic(TICKS.name, 5, 1, config={"retention.ms": "1000"}), NewTopic(POSITIONS.name, 2, 1)]
    for made in admin.create_topics(other).values():
        made.result(30)
    cluster = Cluster(kafka.bootstrap, 0)
    with capture_logs() as logs:
        assert (await cluster.ensure(TICKS))[TICKS.name] == 5
    said = str([line for line in logs if line["log_level"] == "warning"])
    assert "retention.ms" in said
    assert "86400000" in said
    assert "partitions" in said
    with pytest.raises(UnfitTopicError, match="needs 2 or more and 'compact'"):
        await cluster.ensure(POSITIONS)


async def test_records_and_position_are_one(kafka: Kafka, cluster: Cluster) -> None:
    """What is committed is there with its position; the next to open reads it, and the newest of each key."""
    writer = Writer(cluster, WriterName("t-one", 0), "zstd")
    assert await writer.open() == {}
    await writer.write(lambda: records(3), {"a": {"seq": 3}, "b": {"seq": 1}})
    await writer.write(lambda: records(2, "y"), {"a": {"seq": 5}})
    assert values(kafka) == [b"x0", b"x1", b"x2", b"y0", b"y1"]
    assert await read_positions(cluster, WriterName("t-one", 0)) == {"a": {"seq": 5}, "b": {"seq": 1}}
    assert await Writer(cluster, WriterName("t-one", 0), "zstd").open() == {"a": {"seq": 5}, "b": {"seq": 1}}


async def test_a_zombie_is_fenced(kafka: Kafka, cluster: Cluster) -> None:
    """Once another has the name nothing of the first is taken any more, nor what it had under way."""
    name = WriterName("t-zombie", 0)
    zombie, successor, last = (Writer(cluster, name, "lz4") for _ in range(3))
    await zombie.open()
    await zombie.write(lambda: records(1), {"a": {"seq": 1}})
    assert await successor.open() == {"a": {"seq": 1}}
    with pytest.raises(FencedError, match="t-zombie"):
        await zombie.write(lambda: records(1, "late"), {"a": {"seq": 9}})
    half = successor._producer
    assert half is not None
    half.begin_transaction()
    half.produce(SIGNALS.name, b"half", b"key", partition=0)
    half.produce(POSITIONS.name, b'{"seq": 8}', b"a", partition=0)
    half.flush(30)
    assert await last.open() == {"a": {"seq": 1}}
    with pytest.raises(KafkaException, match="fenced"):
        half.commit_transaction(30)
    await last.write(lambda: records(1, "next"), {"a": {"seq": 2}})
    assert values(kafka) == [b"x0", b"next0"]


async def test_positions_are_read_up_to_the_readers_own_mark(cluster: Cluster) -> None:
    """A broker that has just started may show an older end: that is not taken for the end."""
    name = WriterName("t-mark", 1)
    writer = Writer(cluster, name, "zstd")
    await writer.open()
    reading = asyncio.ensure_future(read_positions(cluster, name, "mark"))
    _, pending = await asyncio.wait({reading}, timeout=0.3)
    assert pending == {reading}
    await writer.write(lambda: (), {"a": {"seq": 1}, OPENED: {"mark": "mark"}})
    assert await reading == {"a": {"seq": 1}}


async def test_who_is_fenced_amid_a_range_is_told_so(kafka: Kafka, cluster: Cluster) -> None:
    """Not called an interruption: who is fenced must not take the name back."""
    name = WriterName("t-amid", 0)
    zombie, successor = Writer(cluster, name, "none"), Writer(cluster, name, "none")
    await zombie.open()
    await successor.open()

    def handed_over_slowly() -> Iterator[Record]:
        for record in records(40):
            yield record
            time.sleep(0.01)

    with pytest.raises(FencedError):
        await zombie.write(handed_over_slowly, {})
    await successor.write(lambda: records(1), {})
    assert values(kafka) == [b"x0"]
