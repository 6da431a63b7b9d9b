"""Transactions, positions and topics against a real Kafka."""

import asyncio
from collections.abc import Iterable

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from services.database.kafka.positions import Record, WriterName, read_positions
from services.database.kafka.topics import INTERRUPTED, POSITIONS, SIGNALS, SILENT, TICKS, Cluster, UnfitTopicError
from services.database.kafka.writer import FencedError, Writer
from tests.support import eventually
from tests.support.kafka import Kafka, reading

pytestmark = pytest.mark.integration


@pytest.fixture
async def cluster(kafka_engine: Kafka) -> Cluster:
    """A Kafka with our topics, empty."""
    await without_topics(kafka_engine)
    cluster = Cluster(kafka_engine.bootstrap, 0)
    await cluster.ensure(TICKS, SIGNALS, POSITIONS)
    return cluster


async def without_topics(kafka: Kafka) -> AdminClient:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap}, logger=SILENT)
    ours = {TICKS.name, SIGNALS.name, POSITIONS.name}

    async def gone() -> bool:
        there = ours & set((await asyncio.to_thread(admin.list_topics, timeout=5)).topics)
        for removed in admin.delete_topics(list(there)).values() if there else ():
            removed.result(5)
        return not there

    await eventually(gone)
    return admin


def records(count: int, word: str = "x") -> Iterable[Record]:
    return [Record(SIGNALS.name, 0, b"key", f"{word}{number}".encode(), []) for number in range(count)]


def values(kafka: Kafka) -> list[bytes | str | None]:
    with reading(kafka.bootstrap, SIGNALS.name) as topic:
        return [message.value() for message in topic.all()]


async def test_missing_topics_are_made_as_the_contract_says(kafka_engine: Kafka, cluster: Cluster) -> None:
    """Partitions, retention and compaction; three copies need three brokers, one broker gives one."""
    admin = AdminClient(cluster.connection, logger=SILENT)
    known = admin.list_topics(timeout=5).topics
    assert {name: len(known[name].partitions) for name in (TICKS.name, SIGNALS.name)} == {
        "mt5_tick_stream": 12,
        "trading_signals": 6,
    }
    wanted = {TICKS.name: "86400000", SIGNALS.name: "604800000"}
    asked = [ConfigResource(ResourceType.TOPIC, topic.name) for topic in (TICKS, SIGNALS, POSITIONS)]
    found = {resource.name: future.result(5) for resource, future in admin.describe_configs(asked).items()}
    assert {topic: found[topic]["retention.ms"].value for topic in wanted} == wanted
    assert found[POSITIONS.name]["cleanup.policy"].value == "compact"


async def test_a_topic_that_differs_is_left_and_said(kafka_engine: Kafka, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is altered; each difference is a warning; positions that could be forgotten are refused."""
    admin = await without_topics(kafka_engine)
    other = [NewTopic(TICKS.name, 5, 1, config={"retention.ms": "1000"}), NewTopic(POSITIONS.name, 2, 1)]
    for made in admin.create_topics(other).values():
        made.result(5)
    cluster = Cluster(kafka_engine.bootstrap, 0)
    assert (await cluster.ensure(TICKS))[TICKS.name] == 5
    said = capsys.readouterr().out
    assert "retention.ms" in said
    assert "86400000" in said
    assert "partitions" in said
    with pytest.raises(UnfitTopicError, match="needs 2 or more and 'compact'"):
        await cluster.ensure(POSITIONS)
    await without_topics(kafka_engine)


async def test_records_and_position_are_one(kafka_engine: Kafka, cluster: Cluster) -> None:
    """What is committed is there with its position; the next to open reads it, and the newest of each key."""
    writer = Writer(cluster, WriterName("t-one", 0), "zstd")
    assert await writer.open() == {}
    await writer.write(lambda: records(3), {"a": {"seq": 3}, "b": {"seq": 1}})
    await writer.write(lambda: records(2, "y"), {"a": {"seq": 5}})
    assert values(kafka_engine) == [b"x0", b"x1", b"x2", b"y0", b"y1"]
    assert await read_positions(cluster, WriterName("t-one", 0)) == {"a": {"seq": 5}, "b": {"seq": 1}}
    assert await Writer(cluster, WriterName("t-one", 0), "zstd").open() == {"a": {"seq": 5}, "b": {"seq": 1}}


async def test_a_zombie_is_fenced(kafka_engine: Kafka, cluster: Cluster) -> None:
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
    half.flush(5)
    assert await last.open() == {"a": {"seq": 1}}
    with pytest.raises(KafkaException, match="fenced"):
        half.commit_transaction(5)
    await last.write(lambda: records(1, "next"), {"a": {"seq": 2}})
    assert values(kafka_engine) == [b"x0", b"next0"]


async def test_a_broker_that_dies_loses_nothing(kafka_engine: Kafka, cluster: Cluster) -> None:
    """While Kafka is away writing fails in bounded time; once it is back the positions tell where to go on."""
    writer = Writer(cluster, WriterName("t-away", 0), "none")
    await writer.open()
    await writer.write(lambda: records(1), {"a": {"seq": 1}})
    kafka_engine.kill()
    await kafka_engine.start()

    async def written() -> bool:
        try:
            place = int((await writer.open())["a"]["seq"])
            if place < 3:
                await writer.write(lambda: records(1, f"later{place}-"), {"a": {"seq": place + 1}})
            return place == 3
        except INTERRUPTED:
            return False

    await eventually(written, timeout_s=30)
    assert values(kafka_engine) == [b"x0", b"later1-0", b"later2-0"]
