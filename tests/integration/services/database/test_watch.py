"""Late ticks and corrections, marks, incidents, retention, and instances that share the sinks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import grpc
import pytest
from nats.aio.client import Client
from suho.database.v1 import tick_service_pb2 as pb
from suho.market.v1 import tick_pb2

from compose.embedded.nats import Nats
from mesh.bus import open_bus
from mesh.config import SettingsError
from mesh.errors import MeshError, Reason
from mesh.market import codec, subjects
from mesh.market.marks import CROSSED
from services.database.app import Engines, Following, follow, sinks_of
from services.database.clickhouse.durability import sync_inserts
from services.database.clickhouse.incidents import Incidents
from services.database.clickhouse.retention import Retention, keep
from services.database.config import DatabaseSettings
from services.database.domain.incident import Incident
from services.database.postgres.lease import while_leased
from services.database.sinks import SinkState
from tests.integration.services.database.conftest import Stubs
from tests.integration.services.database.sinks import running, sink_of
from tests.integration.services.database.ticks import START_MSC, batch, publish
from tests.support import eventually
from tests.support.streams import delete_stream

pytestmark = pytest.mark.integration


@pytest.fixture
async def bus(settings: DatabaseSettings) -> AsyncIterator[Client]:
    async with open_bus(settings.nats_url.get_secret_value(), "test") as client:
        yield client


async def append(bus: Client, subject: str, message: tick_pb2.TickBatchTwin) -> None:
    await bus.jetstream().publish(subject, message.SerializeToString())


async def test_corrections_are_stored_behind_their_ticks(engines: Engines, bus: Client) -> None:
    """BACKFILL's ticks bear their generation; the row that makes a correction count comes after them, once."""
    late, subject = batch(40), subjects.correction_subject("twin-1", "EURUSD")
    await append(bus, subjects.backfill_subject("twin-1", "EURUSD"), tick_pb2.TickBatchTwin(**codec.fields(late)))
    await append(bus, subject, tick_pb2.TickBatchTwin(**codec.fields(replace(late, generation=1))))
    closing = tick_pb2.TickBatchTwin(generation=1)
    closing.correction.from_msc, closing.correction.to_msc = START_MSC, START_MSC + 20
    closing.correction.count, closing.correction.reason = 40, "audit"
    await append(bus, subject, closing)
    async with running(sink_of(engines, engines.backfill_log)) as sink:
        await eventually(lambda: sink.position.seq == 3)
    counts = "SELECT generation, count() AS n FROM ticks GROUP BY generation ORDER BY generation"
    assert await engines.clickhouse.rows(counts) == [{"generation": 0, "n": 40}, {"generation": 1, "n": 40}]
    stored = await engines.clickhouse.rows("SELECT generation, from_msc, to_msc, count, log_seq FROM tick_corrections")
    assert [tuple(row.values()) for row in stored] == [(1, START_MSC, START_MSC + 20, 40, 3)]
    noted: list[Incident] = []
    async with running(sink_of(engines, engines.backfill_log, noted=noted)) as again:
        await eventually(lambda: again.position.seq == 3)
    assert (again.stored_rows, noted) == (0, [])


async def test_ticks_are_stored_with_utc_and_marks(engines: Engines, settings: DatabaseSettings, bus: Client) -> None:
    """By the broker's rule, beside the time as it came; what is odd becomes an incident that can be listed."""
    own = settings.model_copy(update={"zones": ("twin-*=America/New_York+7",)})
    incidents = Incidents(engines.clickhouse)
    sink = follow(own, engines, incidents)[0].sink
    odd = batch(20)
    odd.bid[3] = odd.ask[3] + 1
    await publish(bus, odd)
    async with running(sink):
        await eventually(lambda: sink.stored_rows == 20)
    shown = "SELECT DISTINCT time_msc - utc_msc AS ahead, marks FROM ticks ORDER BY marks"
    rows = await engines.clickhouse.rows(shown)
    assert [(row["ahead"], row["marks"] & CROSSED) for row in rows] == [(3 * 3_600_000, 0), (3 * 3_600_000, CROSSED)]
    await incidents.flush()
    found = await incidents.newest("twin-1", "", "CROSSED_QUOTES", 10)
    assert [(item.symbol, item.ticks, item.reporter) for item in found] == [("EURUSD", 1, "database-1")]
    assert (await incidents.kinds("", "", 0, 0))[("twin-1", "EURUSD")]["CROSSED_QUOTES"] == 1


async def test_an_incident_is_stored_once(engines: Engines) -> None:
    """The same id again changes nothing, within a batch or later; the newest comes first."""
    incidents = Incidents(engines.clickhouse)
    first = Incident("a", 1, "HOLE", "Demo", "EURUSD", detail="it's ☃", reporter="x")
    await incidents.report(first)
    await incidents.report(replace(first, detail="other"))
    incidents.note(replace(first, at_unix_ms=9))
    incidents.note(replace(first, id="b", at_unix_ms=2))
    incidents.note(replace(first, id="b", at_unix_ms=3))
    await incidents.flush()
    assert [(item.id, item.at_unix_ms) for item in await incidents.newest("Demo", "", "", 10)] == [("b", 2), ("a", 1)]
    assert (await incidents.newest("", "", "", 10))[1] == first
    assert not await incidents.newest("", "GBPUSD", "", 10)


@asynccontextmanager
async def instance(engines: Engines, name: str, following: Following) -> AsyncIterator[Following]:
    """What one instance runs for one log."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(while_leased(engines.postgres.dsn, following.lease, name, following.run))
        yield following
        task.cancel()


async def test_two_instances_share_the_sinks(engines: Engines, settings: DatabaseSettings, bus: Client) -> None:
    """One holds a log's lease and stores; the other says who it is, and takes over when that connection is gone."""
    incidents = Incidents(engines.clickhouse)
    ours, theirs = (follow(settings, engines, incidents) for _ in range(2))
    sinks = sinks_of(engines, theirs)

    async def ticks_sink() -> SinkState:
        return (await sinks.states(await sinks.logs()))[0]

    before, after = batch(200).chunks(100)
    async with instance(engines, "one", ours[0]) as one:
        await publish(bus, before)
        await eventually(lambda: one.sink.stored_rows == 100)
        async with instance(engines, "two", theirs[0]) as two, instance(engines, "two", theirs[1]) as late:
            await eventually(lambda: late.sink.following)
            state = await ticks_sink()
            assert (state.holder, state.stored_seq, state.stored_rows) == ("one", 1, 0)
            async with engines.postgres.connection() as connection:

                async def taken_over() -> bool:
                    """One's connection ends a moment after it is told so, and One must not be the first to be back."""
                    await connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'one'"
                    )
                    return two.sink.following and not one.sink.following

                await eventually(taken_over)
            await publish(bus, after)
            await eventually(lambda: two.sink.stored_rows == 100)
            assert (await ticks_sink()).holder == "two"
    assert await engines.clickhouse.rows("SELECT count() AS n FROM ticks") == [{"n": 200}]


async def test_status_says_that_the_log_is_away(service: Stubs, nats_engine: Nats, bus: Client) -> None:
    """Not an inner fault: whoever asks is to ask again."""
    await delete_stream(nats_engine, bus, subjects.BACKFILL_STREAM)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.ticks.GetSinkStatus(pb.GetSinkStatusRequest())
    assert MeshError.of(caught.value).reason is Reason.LOG_UNAVAILABLE


async def test_retention_is_changed_only_when_it_differs(engines: Engines) -> None:
    """Given, given again, given otherwise, taken away; an unknown volume is a wrong setting."""
    tables = "SELECT engine_full, metadata_modification_time AS changed FROM system.tables WHERE name = 'ticks'"
    tables += " AND database = currentDatabase()"

    async def told(retention: Retention) -> str:
        await keep(engines.clickhouse, retention)
        return str((await engines.clickhouse.rows(tables))[0])

    once = await told(Retention(36_500, 0, ""))
    assert "toIntervalDay(36500)" in once
    assert await told(Retention(36_500, 0, "")) == once
    assert "toIntervalDay(40000)" in await told(Retention(40_000, 0, ""))
    assert "TTL" not in await told(Retention(0, 0, ""))
    with pytest.raises(SettingsError, match="cold_volume"):
        await keep(engines.clickhouse, Retention(0, 30, "nowhere"))


async def test_inserts_reach_the_disk_when_told_so(engines: Engines) -> None:
    """A setting of the tables, changed where it differs and taken back; ticks are stored either way."""

    async def synced(wanted: bool) -> int:
        await sync_inserts(engines.clickhouse, wanted)
        tables = "SELECT countIf(position(engine_full, 'fsync_part_directory = 1') > 0) AS n FROM system.tables"
        return int((await engines.clickhouse.rows(f"{tables} WHERE database = currentDatabase()"))[0]["n"])

    assert [await synced(True), await synced(True)] == [3, 3]
    await engines.clickhouse.command("INSERT INTO ticks (server, symbol) SELECT 'a', 'b'")
    assert await synced(False) == 0
