"""The tick log in Kafka, against real engines: each message once, in order, whatever dies."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from nats.aio.client import Client
from suho.market.v1 import tick_pb2

from compose.embedded.nats import Nats
from compose.embedded.process import spawn
from mesh.bus import open_bus
from mesh.failpoint import FAILPOINTS
from mesh.market import BEFORE_FIRST, Batch, codec, subjects
from mesh.market.batch import ordinals
from pc_agent.twin.tick_source import read_ticks
from services.database.jetstream import TickLog
from services.database.kafka.ticks import TickProgress
from services.database.kafka.topics import TICKS, Cluster
from services.database.kafka.writer import FencedError
from services.database.sink import Sink
from tests.integration.services.database.ticks import batch, publish, publish_refusal
from tests.support import eventually, replay_file
from tests.support.kafka import Kafka, committed
from tests.support.kafka_sink import kafka_sink
from tests.support.streams import delete_stream

pytestmark = pytest.mark.integration


@pytest.fixture
async def bus(nats_engine: Nats) -> AsyncIterator[Client]:
    async with open_bus(nats_engine.url, "test") as client:
        yield client


@pytest.fixture
async def tick_log(nats_engine: Nats, bus: Client) -> TickLog:
    """TICKS, new and empty."""
    await delete_stream(nats_engine, bus, subjects.TICKS_STREAM)
    log = TickLog(bus, subjects.TICKS_STREAM, 256 << 20, "log_max_bytes")
    await log.declare()
    return log


@asynccontextmanager
async def running(tick_log: TickLog, kafka: Kafka) -> AsyncIterator[Sink]:
    async with kafka_sink(tick_log, kafka.bootstrap) as sink, asyncio.TaskGroup() as tasks:
        task = tasks.create_task(sink.run())
        yield sink
        task.cancel()


def encoded(batches: list[Batch]) -> list[bytes]:
    return [tick_pb2.TickBatchTwin(**codec.fields(item)).SerializeToString() for item in batches]


def values(kafka: Kafka, symbol: str) -> list[object]:
    return [message.value() for message in committed(kafka, TICKS.name) if message.key() == symbol.encode()]


async def test_the_logs_bytes_arrive_unchanged_and_in_order(tick_log: TickLog, bus: Client, kafka: Kafka) -> None:
    """A symbol keeps to one partition; headers name server, epoch and place; refused ticks are said to be missing."""
    euro, gold = list(batch(3000).chunks(500)), list(batch(1000, "XAU/USD #1").chunks(250))
    await publish(bus, *euro[:3], *gold, *euro[3:])
    await publish_refusal(bus, euro[-1].last_id, euro[-1].last_id, 7)
    await bus.jetstream().publish(subjects.tick_subject("twin-1", "BAD"), b"\xff no batch")
    async with running(tick_log, kafka) as sink:
        await eventually(lambda: sink.position.seq == 12, 30)
    found = committed(kafka, TICKS.name)
    assert [m.value() for m in found if m.key() == b"XAU/USD #1"] == encoded(gold)
    of_euro = [m for m in found if m.key() == b"EURUSD"]
    assert [m.value() for m in of_euro[:-1]] == encoded(euro)
    refused = tick_pb2.TickBatch.FromString(of_euro[-1].value() or b"")
    assert (refused.quarantine.count, refused.quarantine.reason) == (7, "NON_FINITE_PRICE")
    unreadable = next(tick_pb2.TickBatch.FromString(m.value() or b"") for m in found if m.key() == b"BAD")
    assert unreadable.quarantine.reason == "MALFORMED_BATCH"
    assert len({m.partition() for m in of_euro}) == 1
    assert dict(of_euro[0].headers() or []) == {
        "content-type": b'application/x-protobuf; messageType="suho.market.v1.TickBatch"',
        "server": b"twin-1",
        "log-epoch": b"%d" % sink.position.epoch,
        "log-seq": b"1",
    }


async def test_a_sink_killed_anywhere_repeats_and_loses_nothing(
    tick_log: TickLog, bus: Client, nats_engine: Nats, kafka: Kafka, tmp_path: Path
) -> None:
    """Killed with records and position under way, and right after the commit: each message stands once."""
    places = ("kafka.write.2", "sink.stored")
    failpoints = ",".join(f"{place}=kill@{tmp_path / place}" for place in places)
    command = (sys.executable, "-m", "tests.support.kafka_sink", nats_engine.url, kafka.bootstrap)
    batches = list(batch(4000).chunks(200))
    for number in range(len(places)):
        await publish(bus, *batches[5 * number : 5 * number + 5])
        process = await spawn(command, tmp_path / "sink.log", environment={FAILPOINTS: failpoints})
        assert await process.wait() == -signal.SIGKILL, (tmp_path / "sink.log").read_text()
    await publish(bus, *batches[10:])
    async with running(tick_log, kafka) as sink:
        await eventually(lambda: sink.position.seq == 20, 30)
    assert all((tmp_path / place).exists() for place in places)
    assert values(kafka, "EURUSD") == encoded(batches)


async def test_kafka_dies_and_comes_back(tick_log: TickLog, bus: Client, kafka: Kafka) -> None:
    """What is logged meanwhile follows, once and in order; the log keeps it until then."""
    batches = list(batch(4000).chunks(200))
    await publish(bus, *batches[:10])
    async with running(tick_log, kafka) as sink:
        await eventually(lambda: sink.position.seq == 10, 30)
        kafka.kill()
        await publish(bus, *batches[10:])
        await kafka.start()
        await eventually(lambda: sink.position.seq == 20, timeout_s=30)
    assert values(kafka, "EURUSD") == encoded(batches)


async def test_two_sinks_write_once(tick_log: TickLog, bus: Client, kafka: Kafka) -> None:
    """The one that was there is fenced when another starts, and ends; nothing is doubled."""
    batches = list(batch(2000).chunks(200))
    await publish(bus, *batches[:5])
    async with kafka_sink(tick_log, kafka.bootstrap) as zombie:
        first = asyncio.ensure_future(zombie.run())
        await eventually(lambda: zombie.position.seq == 5, 30)
        async with running(tick_log, kafka) as sink:
            await eventually(lambda: sink.position.seq == 5, 30)
            await publish(bus, *batches[5:])
            with pytest.raises(FencedError):
                await first
            await eventually(lambda: sink.position.seq == 10, 30)
    assert values(kafka, "EURUSD") == encoded(batches)


async def test_the_purge_knows_how_far_kafka_got(
    tick_log: TickLog, nats_engine: Nats, bus: Client, kafka: Kafka
) -> None:
    """Also under a newer epoch, as long as the message there is the same; a log restored from an older copy is not."""
    batches = list(batch(800).chunks(200))
    await publish(bus, *batches)
    async with running(tick_log, kafka) as sink:
        await eventually(lambda: sink.position.seq == 4, 30)
    progress = TickProgress(Cluster(kafka.bootstrap, 0), tick_log)
    assert await progress.stored_seq(sink.position.epoch) == 4
    assert await progress.stored_seq((await tick_log.renew(2)).number) == 4
    stream = bus.jetstream()
    config = (await stream.stream_info(tick_log.name)).config
    await delete_stream(nats_engine, bus, tick_log.name)
    await stream.add_stream(config)
    await publish(bus, *batches[:2])
    assert await progress.stored_seq(1) == 0
    async with running(tick_log, kafka) as again:
        await eventually(lambda: again.position.seq == 2, 30)
    assert values(kafka, "EURUSD") == encoded([*batches, *batches[:2]])


async def test_what_the_log_has_forgotten_is_passed(tick_log: TickLog, bus: Client, kafka: Kafka) -> None:
    """Kafka begins where the log does, and goes on behind a hole in it."""
    batches = list(batch(1400).chunks(200))
    await publish(bus, *batches)
    await bus.jetstream().purge_stream(tick_log.name, seq=4)
    await bus.jetstream().delete_msg(tick_log.name, 6)
    async with running(tick_log, kafka) as sink:
        await eventually(lambda: sink.position.seq == 7, 30)
    assert values(kafka, "EURUSD") == encoded([*batches[3:5], batches[6]])


async def test_real_ticks_arrive_exactly(tick_log: TickLog, bus: Client, kafka: Kafka, data_dir: Path) -> None:
    """Count and sums of a real file, read back as ticks; each batch begins where the one before ended."""
    file = replay_file.real(data_dir, "EURUSD")
    ticks = read_ticks(file.path).ticks
    time_msc, empty = ticks["time_msc"].copy(), np.zeros(len(ticks))
    columns = (time_msc, ordinals(time_msc), ticks["bid"].copy(), ticks["ask"].copy(), empty, empty)
    rest = (empty.astype(np.uint64), np.full(len(ticks), 6, np.uint32))
    batches = list(Batch("real-1", "EURUSD", "pc-1", 1, BEFORE_FIRST, *columns, *rest).chunks(2000))
    await publish(bus, *batches)
    async with running(tick_log, kafka) as sink:
        await eventually(lambda: sink.position.seq == len(batches), timeout_s=60)
    found = [codec.decode(tick_pb2.TickBatchTwin.FromString(m.value() or b"")) for m in committed(kafka, TICKS.name)]
    assert [item.prev for item in found] == [BEFORE_FIRST, *(item.last_id for item in found[:-1])]
    bid, ask = (np.concatenate([getattr(item, side) for item in found]) for side in ("bid", "ask"))
    sums = [int(np.rint(prices * 10**file.digits).sum()) for prices in (bid, ask)]
    assert [len(bid), *sums] == [file.ticks, file.bid_points_sum, file.ask_points_sum]
