"""The database service on real engines, emptied for each test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest_asyncio
from pydantic import SecretStr
from redis.asyncio import Redis
from suho.common.v1 import account_pb2
from suho.database.v1 import order_service_pb2 as pb
from suho.database.v1 import order_service_pb2_grpc, tick_service_pb2_grpc
from suho.trading.v1 import order_pb2

from compose.embedded.clickhouse import ClickHouse
from compose.embedded.nats import Nats
from compose.embedded.postgres import Postgres
from compose.embedded.valkey import Valkey
from mesh.bus import open_bus
from mesh.channel import direct_channel
from mesh.draining import Draining
from mesh.market import subjects
from mesh.server import open_server
from services.database.app import Engines, follow, open_engines, services, sinks_of
from services.database.clickhouse.incidents import Incidents
from services.database.config import DatabaseSettings
from services.database.postgres.outbox import Outbox
from services.database.sink import Sink
from tests.support.order_tables import empty_order_tables
from tests.support.streams import delete_stream

# One for all tests, emptied for each: PostgreSQL takes long to make and to let go of many.
DATABASE = "suho_test"
TABLES = ("ticks", "tick_quarantine", "bars_m1", "tick_corrections", "tick_incidents")
ACCOUNT = account_pb2.AccountRef(server="twin-1", login=1000001)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def database_dsn(postgres_engine: Postgres) -> str:
    await ensure_database(postgres_engine.dsn, DATABASE)
    return urlunsplit(urlsplit(postgres_engine.dsn)._replace(path=f"/{DATABASE}"))


@pytest_asyncio.fixture
async def settings(
    database_dsn: str, clickhouse_engine: ClickHouse, valkey_engine: Valkey, nats_engine: Nats
) -> DatabaseSettings:
    """Settings for databases that only these tests use; the log is gone, the cache is empty."""
    async with Redis.from_url(valkey_engine.url) as cache:
        await cache.flushdb()
    async with open_bus(nats_engine.url, "test") as bus:
        for stream in (subjects.TICKS_STREAM, subjects.BACKFILL_STREAM):
            await delete_stream(nats_engine, bus, stream)
    return DatabaseSettings(
        instance="database-1",
        port=0,
        hubs=("127.0.0.1:1",),
        postgres_dsn=SecretStr(database_dsn),
        clickhouse_url=f"{clickhouse_engine.url}/{DATABASE}",
        clickhouse_user=clickhouse_engine.user,
        clickhouse_password=SecretStr(clickhouse_engine.password),
        valkey_url=SecretStr(valkey_engine.url),
        nats_url=SecretStr(nats_engine.url),
        log_max_bytes=256 << 20,
        backfill_max_bytes=64 << 20,
    )


@pytest_asyncio.fixture
async def engines(settings: DatabaseSettings) -> AsyncIterator[Engines]:
    async with open_engines(settings) as opened:
        async with opened.postgres.connection() as connection:
            await empty_order_tables(connection)
        await asyncio.gather(*(opened.clickhouse.command(f"TRUNCATE TABLE {table}") for table in TABLES))
        yield opened


async def ensure_database(dsn: str, name: str) -> None:
    connection = await asyncpg.connect(dsn)
    with suppress(asyncpg.DuplicateDatabaseError):
        await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()


@dataclass(frozen=True)
class Stubs:
    """The service, over gRPC."""

    orders: "order_service_pb2_grpc.OrderServiceAsyncStub"
    ticks: "tick_service_pb2_grpc.TickServiceAsyncStub"
    sink: Sink
    incidents: Incidents
    draining: Draining


@pytest_asyncio.fixture
async def service(settings: DatabaseSettings, engines: Engines) -> AsyncIterator[Stubs]:
    """The service's calls, with a sink that does not run until a test runs it."""
    incidents = Incidents(engines.clickhouse)
    followings = follow(settings, engines, incidents)
    draining = Draining()
    outbox = Outbox(engines.postgres, draining)
    async with (
        open_server(settings, services(engines, sinks_of(engines, followings), incidents, outbox)) as server,
        direct_channel([f"127.0.0.1:{server.port}"]) as channel,
        asyncio.TaskGroup() as tasks,
    ):
        running = [tasks.create_task(work) for work in (outbox.listen(), outbox.end_watches())]
        yield Stubs(
            order_service_pb2_grpc.OrderServiceStub(channel),
            tick_service_pb2_grpc.TickServiceStub(channel),
            followings[0].sink,
            incidents,
            draining,
        )
        for task in running:
            task.cancel()


@pytest_asyncio.fixture
async def account(service: Stubs) -> pb.Account:
    """A demo account, just made known."""
    request = pb.UpsertAccountRequest(account=ACCOUNT, trade_mode=order_pb2.TRADE_MODE_DEMO)
    return (await service.orders.UpsertAccount(request)).account
