"""A log that is not the one that was stored: the sink walks back, says so, loses nothing and doubles nothing."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from nats.aio.client import Client
from nats.js.api import RawStreamMsg, StreamConfig

from compose.embedded.nats import Nats
from mesh.bus import open_bus
from mesh.market import Batch, subjects
from services.database.app import Engines
from services.database.config import DatabaseSettings
from services.database.domain.incident import Incident
from tests.integration.services.database.sinks import running, sink_of
from tests.integration.services.database.ticks import READ_UNIX_NS, batch, publish
from tests.support import eventually
from tests.support.streams import delete_stream

pytestmark = pytest.mark.integration

STREAM = subjects.TICKS_STREAM
COUNTS = "SELECT uniqExact(time_msc, ordinal) AS ids, uniqExact(log_epoch) AS epochs FROM ticks"
FINAL = "SELECT count() AS rows FROM ticks FINAL"


@pytest.fixture
async def bus(settings: DatabaseSettings) -> AsyncIterator[Client]:
    async with open_bus(settings.nats_url.get_secret_value(), "test") as client:
        yield client


async def copy_of(bus: Client) -> tuple[StreamConfig, list[RawStreamMsg]]:
    """A backup: the stream's configuration with its metadata, and its messages."""
    stream = bus.jetstream()
    info = await stream.stream_info(STREAM)
    return info.config, [await stream.get_msg(STREAM, seq) for seq in range(1, info.state.last_seq + 1)]


async def restore(engine: Nats, bus: Client, config: StreamConfig, messages: list[RawStreamMsg]) -> None:
    """The copy takes the log's place, with its numbers."""
    await delete_stream(engine, bus, STREAM)
    stream = bus.jetstream()
    await stream.add_stream(config)
    for message in messages:
        await stream.publish(message.subject or "", message.data or b"")


def read_anew(*batches: Batch) -> list[Batch]:
    """The same ticks, as an agent sends them again."""
    return [replace(piece, read_unix_ns=READ_UNIX_NS + 1) for piece in batches]


async def stored_up_to(engines: Engines, seq: int) -> list[Incident]:
    """Run a sink until it reached the log's message `seq`; what it had to tell."""
    noted: list[Incident] = []
    async with running(sink_of(engines, noted=noted)) as sink:
        await eventually(lambda: sink.position.seq == seq and sink.position.epoch)
    return noted


async def distinct(engines: Engines) -> tuple[int, int]:
    row = (await engines.clickhouse.rows(COUNTS))[0]
    assert (await engines.clickhouse.rows(FINAL))[0]["rows"] == row["ids"]
    return row["ids"], row["epochs"]


async def test_a_truncated_log_is_walked_back(engines: Engines, nats_engine: Nats, bus: Client) -> None:
    """The log lost its end, which is stored: what comes then is stored behind what is left."""
    pieces = list(batch(600).chunks(100))
    await publish(bus, *pieces[:4])
    await stored_up_to(engines, 4)
    config, messages = await copy_of(bus)
    await restore(nats_engine, bus, config, messages[:2])
    await publish(bus, *read_anew(*pieces[2:]))
    noted = await stored_up_to(engines, 6)
    assert [incident.kind for incident in noted] == ["LOG_RESTORED"]
    assert "agree up to message 2;" in noted[0].detail
    assert await distinct(engines) == (600, 2)


async def test_two_restores_in_a_row(engines: Engines, nats_engine: Nats, bus: Client) -> None:
    """An older copy that then got other messages, twice, its old epoch with it each time."""
    pieces = list(batch(900).chunks(100))
    await publish(bus, *pieces[:2])
    copied = await copy_of(bus)
    await publish(bus, *pieces[2:5])
    await stored_up_to(engines, 5)
    other = list(batch(300, "GBPUSD").chunks(100))
    await restore(nats_engine, bus, *copied)
    await publish(bus, *read_anew(pieces[2]), other[0], *read_anew(*pieces[3:6]))
    assert [incident.kind for incident in await stored_up_to(engines, 7)] == ["LOG_RESTORED"]
    await restore(nats_engine, bus, *copied)
    await publish(bus, other[1], other[2])
    noted = await stored_up_to(engines, 4)
    assert ["agree up to message 2;" in incident.detail for incident in noted] == [True]
    counts = await engines.clickhouse.rows("SELECT symbol, count() AS n FROM ticks FINAL GROUP BY symbol ORDER BY 1")
    assert [row["n"] for row in counts] == [600, 300]
    assert not await stored_up_to(engines, 4)


async def test_an_emptied_log_of_the_same_epoch(engines: Engines, nats_engine: Nats, bus: Client) -> None:
    """Nothing is common: everything that the new log gets is stored."""
    first, second = batch(600).chunks(300)
    await publish(bus, first)
    await stored_up_to(engines, 1)
    config, _ = await copy_of(bus)
    await restore(nats_engine, bus, config, [])
    await publish(bus, second)
    assert [incident.kind for incident in await stored_up_to(engines, 1)] == ["LOG_RESTORED"]
    assert await distinct(engines) == (600, 2)


async def test_a_log_that_is_deleted_under_the_sink(engines: Engines, nats_engine: Nats, bus: Client) -> None:
    """It is declared anew with an epoch of its own, and followed, while the sink runs on."""
    first, second = batch(600).chunks(300)
    await publish(bus, first)
    async with running(sink_of(engines)) as sink:
        await eventually(lambda: sink.stored_rows == 300)
        before = sink.position.epoch
        await delete_stream(nats_engine, bus, STREAM)
        await eventually(lambda: sink.position.epoch > before)
        await publish(bus, second)
        await eventually(lambda: sink.stored_rows == 600)
    assert await distinct(engines) == (600, 2)


async def test_messages_that_left_unstored_are_told_and_passed(engines: Engines, bus: Client) -> None:
    """What stands around the hole is stored; the hole is an incident, once."""
    await publish(bus, *batch(1200).chunks(300))
    await bus.jetstream().delete_msg(STREAM, 3)
    noted = {incident.kind: incident.detail for incident in await stored_up_to(engines, 4)}
    assert "messages 3 to 3" in noted["LOG_GAP"]
    assert "are missing" in noted["HOLE"]
    assert await distinct(engines) == (900, 2)
    await bus.jetstream().purge_stream(STREAM)
    await publish(bus, batch(10, "GBPUSD"))
    await bus.jetstream().purge_stream(STREAM)
    noted = await stored_up_to(engines, 5)
    assert "messages 5 to 5" in noted[0].detail
    assert not await stored_up_to(engines, 5)


async def test_a_log_restored_under_the_sink_is_not_taken_for_stored(
    engines: Engines, nats_engine: Nats, bus: Client
) -> None:
    """Before the sink itself notices, whoever purges by its position hears that nothing is stored."""
    pieces = list(batch(400).chunks(100))
    await publish(bus, *pieces[:2])
    async with running(sink_of(engines)) as sink:
        await eventually(lambda: sink.position.seq == 2)
    position = sink.position
    assert await sink.stored_seq(position.epoch) == 2
    config, _ = await copy_of(bus)
    await restore(nats_engine, bus, config, [])
    assert await sink.stored_seq(position.epoch) == 0
    await publish(bus, *read_anew(*pieces))
    assert await sink.stored_seq(position.epoch) == 0
