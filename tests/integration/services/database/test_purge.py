"""Messages leave a log by the positions of its sinks."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client
from nats.js.errors import APIError

from compose.embedded.nats import Nats
from mesh.bus import open_bus
from mesh.clock import unix_ms
from mesh.market import Batch, subjects
from services.database.app import TRANSIENT, Engines
from services.database.config import DatabaseSettings
from services.database.domain.purge import LogState
from services.database.jetstream import TickLog
from services.database.log_contents import LogContents
from services.database.purge import Purge
from tests.integration.services.database.sinks import running, sink_of
from tests.integration.services.database.ticks import batch, publish
from tests.support import eventually
from tests.support.streams import delete_stream

pytestmark = pytest.mark.integration

DAY_S = 86_400.0


@pytest.fixture
async def bus(settings: DatabaseSettings) -> AsyncIterator[Client]:
    async with open_bus(settings.nats_url.get_secret_value(), "test") as client:
        yield client


class Kafka:
    """Another sink, wherever it got."""

    def __init__(self, seq: int) -> None:
        self.seq = seq

    async def stored_seq(self, epoch: int) -> int:
        return self.seq


class Stored(Kafka):
    """One that is never behind."""

    async def stored_seq(self, epoch: int) -> int:
        return 10**9


def purge_of(bus: Client, log: TickLog, *sinks: Kafka, keep_s: float | None = DAY_S) -> Purge:
    return Purge(log, LogContents(bus, log.name), sinks, keep_s, 60, TRANSIENT, unix_ms)


async def numbers(bus: Client, log: TickLog) -> list[int]:
    """Of the messages that the log still holds."""
    stream, (first, last) = bus.jetstream(), await log.bounds()
    found = []
    for seq in range(first, last + 1):
        try:
            found.append((await stream.get_msg(log.name, seq)).seq or 0)
        except APIError:
            continue
    return found


async def purged(purge: Purge, log: TickLog) -> LogState:
    await purge.once(await log.state())
    return await log.state()


async def test_old_messages_go_once_every_sink_has_them(engines: Engines, bus: Client) -> None:
    """Young ones stay; of the old ones those that all have stored go, but the newest of each symbol stays."""
    log = engines.tick_log
    await publish(bus, batch(10, "XAUUSD"), *batch(90).chunks(10), *batch(20, "GBPUSD").chunks(10))
    everything = list(range(1, 13))
    await purged(purge_of(bus, log, Stored(0), Kafka(12)), log)
    assert await numbers(bus, log) == everything
    state = await purged(purge_of(bus, log, Stored(0), Kafka(8), keep_s=0), log)
    assert await numbers(bus, log) == [1, 8, 9, 10, 11, 12]
    assert state.purged_seq == 7
    state = await purged(purge_of(bus, log, Stored(0), Kafka(12), keep_s=0), log)
    assert await numbers(bus, log) == [1, 10, 12]
    assert state.purged_seq == 11


async def test_nothing_goes_before_a_sink_knows_its_position(engines: Engines, bus: Client) -> None:
    """A sink that just started has stored nothing that it knows of."""
    await publish(bus, *batch(30).chunks(10))
    await purged(purge_of(bus, engines.tick_log, Stored(0), Kafka(0), keep_s=0), engines.tick_log)
    assert await numbers(bus, engines.tick_log) == [1, 2, 3]


async def test_late_ticks_go_as_soon_as_they_are_stored(engines: Engines, bus: Client) -> None:
    """All but the message at the position, which proves at the next start that the log is the same."""
    log, stream = engines.backfill_log, bus.jetstream()
    for piece in range(4):
        await stream.publish(subjects.backfill_subject("twin-1", f"S{piece}"), b"x")
    await purged(purge_of(bus, log, Kafka(3), keep_s=None), log)
    assert await numbers(bus, log) == [3, 4]
    await purged(purge_of(bus, log, Kafka(3), keep_s=None), log)


async def until_full(bus: Client, pieces: list[Batch]) -> int:
    """Publish; how many the log took."""
    for count, piece in enumerate(pieces):
        try:
            await publish(bus, piece)
        except APIError:
            return count
    raise AssertionError("the log never got full")


async def test_a_full_log_flows_again(engines: Engines, bus: Client) -> None:
    """It refuses when full; what is stored goes, down to half and no further; then it takes ticks again."""
    small = TickLog(bus, subjects.TICKS_STREAM, 1 << 20, "log_max_bytes")
    await small.declare()
    pieces = list(batch(60_000).chunks(500))
    await publish(bus, batch(500, "GBPUSD"))
    count = await until_full(bus, pieces)
    purge = purge_of(bus, small, Stored(0), Kafka(count + 1))
    state = await purged(purge, small)
    assert state.emptied
    assert state.bytes > 0.3 * state.max_bytes
    assert (await numbers(bus, small))[:2] == [1, state.purged_seq + 1]
    await publish(bus, *pieces[count : count + 10])
    async with running(sink_of(engines, small)) as sink:
        await eventually(lambda: sink.position.seq == count + 11)
    rows = await engines.clickhouse.rows("SELECT uniqExact(symbol, time_msc, ordinal) AS n FROM ticks")
    left = count + 11 - state.purged_seq
    assert rows == [{"n": left * 500}]


async def test_it_runs_by_itself_and_waits_for_a_log_that_is_away(
    engines: Engines, nats_engine: Nats, bus: Client
) -> None:
    """A log that can not be asked puts a purge off; the next one is done."""
    await publish(bus, *batch(40).chunks(10))
    log = engines.tick_log
    sink = Kafka(0)
    purge = Purge(log, LogContents(bus, log.name), [sink], 0, 0.05, TRANSIENT, unix_ms)
    config = (await bus.jetstream().stream_info(log.name)).config
    await delete_stream(nats_engine, bus, log.name)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(purge.run())
        await asyncio.sleep(0.1)
        await bus.jetstream().add_stream(config)
        await publish(bus, *batch(40).chunks(10))
        sink.seq = 4

        async def emptied() -> bool:
            return await numbers(bus, log) == [4]

        await eventually(emptied)
        task.cancel()


async def test_the_newest_of_each_subject_is_known_without_its_data(engines: Engines, bus: Client) -> None:
    """Counts and numbers by subject, of names that need encoding too."""
    await publish(bus, batch(10), batch(10, "XAU/USD #1"), *batch(30).chunks(10))
    assert await LogContents(bus, engines.tick_log.name).newest_of_each() == {
        subjects.tick_subject("twin-1", "EURUSD"): (4, 5),
        subjects.tick_subject("twin-1", "XAU/USD #1"): (1, 2),
    }
