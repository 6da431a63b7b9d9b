"""The database service as a process: killed, restarted, stopped, misled."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from nats.aio.client import Client
from suho.database.v1 import tick_service_pb2 as pb
from suho.database.v1 import tick_service_pb2_grpc
from suho.hub.v1 import registry_pb2

from mesh.bus import open_bus
from mesh.channel import direct_channel
from mesh.market import Batch, subjects
from services.database.app import Engines, open_engines
from services.database.config import DatabaseSettings
from services.database.domain.migration import MigrationError
from services.database.migrations import migrations
from services.database.postgres import pool
from tests.integration.services.database.ticks import batch, publish
from tests.support import eventually
from tests.support.hub import run_hub

pytestmark = pytest.mark.integration

_COUNT = "SELECT count() AS raw, uniqExact(symbol, time_msc, ordinal) AS d FROM ticks"


def write_config(folder: Path, settings: DatabaseSettings) -> Path:
    """The settings as a file that names only what differs from the defaults."""
    plain = {
        "port": settings.port,
        "hubs": list(settings.hubs),
        "postgres_dsn": settings.postgres_dsn.get_secret_value(),
        "clickhouse_url": settings.clickhouse_url,
        "clickhouse_user": settings.clickhouse_user,
        "clickhouse_password": settings.clickhouse_password.get_secret_value(),
        "valkey_url": settings.valkey_url.get_secret_value(),
        "nats_url": settings.nats_url.get_secret_value(),
        "log_max_bytes": settings.log_max_bytes,
        "backfill_max_bytes": settings.backfill_max_bytes,
    }
    path = folder / "database.toml"
    path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in plain.items()), "utf-8")
    return path


@asynccontextmanager
async def program(config: Path, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m services.database`, killed at the end of the block if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.database", "--config", str(config), env={**os.environ, **environment}
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
async def bus(settings: DatabaseSettings) -> AsyncIterator[Client]:
    async with open_bus(settings.nats_url.get_secret_value(), "test") as client:
        yield client


async def counted(engines: Engines) -> tuple[int, int]:
    """(raw, distinct) of all ticks."""
    row = (await engines.clickhouse.rows(_COUNT))[0]
    return row["raw"], row["d"]


async def test_killed_again_and_again_it_stores_every_tick_once(
    engines: Engines, settings: DatabaseSettings, bus: Client, tmp_path: Path
) -> None:
    """SIGKILL between an insert and what follows, then anywhere: after the last start everything is there once."""
    config = write_config(tmp_path, settings)
    pieces: list[Batch] = list(batch(60_000, start_msc=1_401_000_000_000).chunks(200))
    await publish(bus, *pieces[:100])
    async with program(config, SUHO_FAILPOINTS=f"sink.stored=kill@{tmp_path / 'died'}") as first:
        assert await asyncio.wait_for(first.wait(), 60) == -signal.SIGKILL
    raw, _ = await counted(engines)
    async with program(config) as second:
        await publish(bus, *pieces[100:200])
        await eventually(lambda: _more_than(engines, raw), timeout_s=30, interval_s=0.1)
        second.kill()
    async with program(config) as last:
        await publish(bus, *pieces[200:])
        await eventually(lambda: _more_than(engines, 59_999), timeout_s=30, interval_s=0.1)
        last.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(last.wait(), 30) == 0
    raw, distinct = await counted(engines)
    assert (raw, distinct) == (60_000, 60_000)


async def _more_than(engines: Engines, rows: int) -> bool:
    return (await counted(engines))[1] > rows


async def test_a_restored_log_is_told_and_followed(
    engines: Engines, settings: DatabaseSettings, bus: Client, tmp_path: Path
) -> None:
    """The program goes on in a new epoch and lists the incident; its status names both logs, and who stores them."""
    await engines.clickhouse.command(
        "INSERT INTO ticks (server, symbol, time_msc, log_epoch, log_seq) SELECT 's', 'X', 1, {epoch:UInt64}, 77",
        epoch=(await engines.tick_log.declare()).number,
    )
    await publish(bus, batch(10))
    async with run_hub() as hub:
        config = write_config(tmp_path, settings.model_copy(update={"hubs": (hub.address,)}))
        async with program(config):

            async def ready() -> registry_pb2.Instance | None:
                return (await hub.instances()).get("database-1")

            instance = await eventually(ready, timeout_s=60)
            async with direct_channel([f"127.0.0.1:{instance.addresses[0].port}"]) as channel:
                ticks = tick_service_pb2_grpc.TickServiceStub(channel)

                async def stored() -> pb.GetSinkStatusResponse | None:
                    status = await ticks.GetSinkStatus(pb.GetSinkStatusRequest())
                    both = all(sink.holder for sink in status.sinks)
                    return status if status.stored_seq == 1 and both else None

                async def listed() -> list[pb.TickIncident]:
                    return list((await ticks.ListTickIncidents(pb.ListTickIncidentsRequest())).incidents)

                status = await eventually(stored, timeout_s=30)
                assert [(sink.log, sink.store, sink.holder) for sink in status.sinks] == [
                    ("TICKS", "clickhouse", "database-1"),
                    ("BACKFILL", "clickhouse", "database-1"),
                ]
                assert [log.last_seq for log in status.logs] == [1, 0]
                incident = (await eventually(listed))[0]
                assert (incident.kind, incident.reporter) == ("LOG_RESTORED", "database-1")
                assert "was stored up to message 77" in incident.detail


async def test_a_refused_password_ends_the_program(settings: DatabaseSettings, tmp_path: Path) -> None:
    """It exits with 78, and waits for nothing: the same settings can not work later."""
    wrong = settings.postgres_dsn.get_secret_value().replace("@", "wrong@")
    config = write_config(tmp_path, settings.model_copy(update={"postgres_dsn": type(settings.postgres_dsn)(wrong)}))
    async with program(config) as process:
        assert await asyncio.wait_for(process.wait(), 60) == 78


async def test_instances_that_start_at_once_migrate_once(settings: DatabaseSettings) -> None:
    """Empty databases, three instances: each finds the schema complete, and every migration is recorded once."""
    dsn = settings.postgres_dsn.get_secret_value()
    connection = await asyncpg.connect(dsn)
    await connection.execute("DROP SCHEMA IF EXISTS public, reference CASCADE; CREATE SCHEMA public")
    fresh = settings.model_copy(update={"clickhouse_url": f"{settings.clickhouse_url}_fresh"})

    async def start() -> int:
        async with open_engines(fresh) as engines:
            recorded = await engines.clickhouse.rows("SELECT count() AS n FROM schema_migrations")
            return int(recorded[0]["n"])

    recorded = await asyncio.gather(start(), start(), start())
    assert set(recorded) == {len(migrations("clickhouse"))}
    assert await connection.fetchval("SELECT count(*) FROM schema_migrations") == len(migrations("postgres"))
    await connection.close()


async def test_a_changed_migration_is_refused(engines: Engines) -> None:
    """What was applied under a name must still be what the file says."""
    async with engines.postgres.transaction() as connection:
        await connection.execute("UPDATE schema_migrations SET checksum = 'other'")
        with pytest.raises(MigrationError, match=r"0001_accounts_and_orders\.sql was changed"):
            await pool.migrate(connection, migrations("postgres"))
        await connection.execute("TRUNCATE schema_migrations")
        for migration in migrations("postgres"):
            await connection.execute(
                "INSERT INTO schema_migrations VALUES ($1, $2)", migration.name, migration.checksum
            )


async def test_the_log_is_declared_as_designed(engines: Engines, bus: Client) -> None:
    """On disk, refusing when full, forgetting nothing by age; its epoch stays when it is declared again."""
    info = await bus.jetstream().stream_info(subjects.TICKS_STREAM)
    config = info.config
    assert (config.storage, config.discard, config.max_age, config.allow_direct) == ("file", "new", 0, True)
    assert config.subjects == ["ticks.>"]
    assert (config.metadata or {})[subjects.EPOCH_METADATA] == str((await engines.tick_log.declare()).number)
    late = (await bus.jetstream().stream_info(subjects.BACKFILL_STREAM)).config
    assert (late.subjects, late.discard) == (["backfill.>", "corrections.>"], "new")
