"""The engine with the database's own OrderService on a real PostgreSQL."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import grpc
import pytest_asyncio
from suho.database.v1 import order_service_pb2_grpc
from suho.trading.v1 import trading_pb2_grpc

from compose.embedded.nats import Nats
from compose.embedded.postgres import Postgres
from mesh.bus import open_bus
from mesh.channel import direct_channel
from mesh.draining import Draining
from mesh.server import open_server, service
from services.database.config import DatabaseSettings
from services.database.migrations import migrations
from services.database.postgres.outbox import Outbox
from services.database.postgres.pool import migrate, migration_lock, open_postgres
from services.database.servicers.orders import OrderServicer
from services.trading_engine.app import Engine, open_engine
from services.trading_engine.config import EngineSettings
from tests.support import free_port
from tests.support.order_tables import empty_order_tables


@asynccontextmanager
async def order_service(dsn: str, port: int) -> AsyncIterator[None]:
    """The database's OrderService alone."""
    async with open_postgres(dsn, 5) as postgres:
        outbox = Outbox(postgres, Draining())
        servicer = OrderServicer(postgres, outbox)
        offered = service(
            order_service_pb2_grpc.add_OrderServiceServicer_to_server, servicer, "suho.database.v1.OrderService"
        )
        async with open_server(DatabaseSettings(port=port), [offered]), asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(outbox.listen())
            yield
            listening.cancel()


@dataclass
class DatabaseUnderTest:
    """May go away and come back at the same address."""

    dsn: str
    nats_url: str
    port: int
    _running: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def start(self) -> None:
        await self._running.enter_async_context(order_service(self.dsn, self.port))

    async def stop(self) -> None:
        await self._running.aclose()


@dataclass
class EngineUnderTest:
    """An engine and a channel to it."""

    engine: Engine
    channel: grpc.aio.Channel

    @property
    def trading(self) -> "trading_pb2_grpc.TradingServiceAsyncStub":
        return trading_pb2_grpc.TradingServiceStub(self.channel)


@asynccontextmanager
async def running_engine(database: DatabaseUnderTest, **settings: object) -> AsyncIterator[EngineUnderTest]:
    """An engine of its own on `database`."""
    chosen = EngineSettings.model_validate({"instance": "engine-1", "port": 0, **settings})
    async with (
        open_bus(database.nats_url, chosen.instance) as bus,
        direct_channel([f"127.0.0.1:{database.port}"]) as to_database,
        open_engine(chosen, to_database, bus) as engine,
        direct_channel([f"127.0.0.1:{engine.server.port}"]) as channel,
    ):
        yield EngineUnderTest(engine, channel)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def order_tables(postgres_engine: Postgres) -> str:
    """A database with the tables; its DSN."""
    name = f"test_{secrets.token_hex(4)}"
    connection = await asyncpg.connect(postgres_engine.dsn)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    dsn = urlunsplit(urlsplit(postgres_engine.dsn)._replace(path=f"/{name}"))
    async with open_postgres(dsn, 2) as postgres, migration_lock(postgres) as held:
        await migrate(held, migrations("postgres"))
    return dsn


@pytest_asyncio.fixture
async def database(order_tables: str, nats_engine: Nats) -> AsyncIterator[DatabaseUnderTest]:
    """The OrderService, with nothing in its tables."""
    connection = await asyncpg.connect(order_tables)
    await empty_order_tables(connection)
    await connection.close()
    tested = DatabaseUnderTest(order_tables, nats_engine.url, free_port())
    await tested.start()
    yield tested
    await tested.stop()


@pytest_asyncio.fixture
async def engine(database: DatabaseUnderTest) -> AsyncIterator[EngineUnderTest]:
    async with running_engine(database) as tested:
        yield tested
