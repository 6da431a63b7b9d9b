"""Puts the database service together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from suho.database.v1 import order_service_pb2_grpc, tick_service_pb2_grpc
from suho.hub.v1 import registry_pb2

from mesh.bus import open_bus
from mesh.clock import unix_ns
from mesh.errors import MeshError
from mesh.server import Service, instance_of, open_server, serve, service
from mesh.session import HubSession, open_session
from mesh.waiting import until_available
from services.database.clickhouse import client as clickhouse_client
from services.database.clickhouse.client import ClickHouse, open_clickhouse
from services.database.clickhouse.log_store import IncompleteInsertError, LogStore
from services.database.clickhouse.ticks import StoredTicks
from services.database.config import DatabaseSettings
from services.database.domain.log import LogMismatchError
from services.database.jetstream import INTERRUPTED, TickLog
from services.database.migrations import migrations
from services.database.postgres import pool as postgres_pool
from services.database.postgres.accounts import Accounts
from services.database.postgres.lease import SINK_LEASE, while_leased
from services.database.postgres.orders import Orders
from services.database.postgres.outbox import Outbox
from services.database.postgres.pool import Postgres, migration_lock, open_postgres
from services.database.postgres.reports import Reports
from services.database.servicers.orders import OrderServicer
from services.database.servicers.ticks import TickServicer
from services.database.sink import Sink
from services.database.valkey import NewestTicks, open_valkey

PROGRAM = "database"

# After these the sink tries again, from the stored position.
TRANSIENT = (*INTERRUPTED, *clickhouse_client.FAILED, MeshError, IncompleteInsertError)

_TICK_SERVICE = "suho.database.v1.TickService"
_ORDER_SERVICE = "suho.database.v1.OrderService"


@dataclass(frozen=True)
class Engines:
    """The engines, ready, their schemas up to date."""

    postgres: Postgres
    clickhouse: ClickHouse
    newest: NewestTicks
    tick_log: TickLog


async def main(settings: DatabaseSettings, stop: asyncio.Event) -> None:
    """Serve until `stop`; waits for engines that are not there yet."""
    async with open_engines(settings) as engines:
        await _serve(settings, engines, stop)


@asynccontextmanager
async def open_engines(settings: DatabaseSettings) -> AsyncIterator[Engines]:
    """Wait for every engine, migrate, and close them at the end of the block."""
    secret = settings.clickhouse_password.get_secret_value()
    async with (
        open_postgres(settings.postgres_dsn.get_secret_value(), settings.postgres_connections) as postgres,
        open_clickhouse(settings.clickhouse_url, settings.clickhouse_user, secret) as clickhouse,
        open_valkey(settings.valkey_url.get_secret_value()) as newest,
        open_bus(settings.nats_url.get_secret_value(), PROGRAM) as bus,
    ):
        async with migration_lock(postgres) as connection:
            await postgres_pool.migrate(connection, migrations("postgres"))
            await clickhouse_client.migrate(clickhouse, migrations("clickhouse"))
        tick_log = TickLog(bus, settings.log_max_bytes)
        await until_available("the tick log", tick_log.declare, INTERRUPTED)
        yield Engines(postgres, clickhouse, newest, tick_log)


async def _serve(settings: DatabaseSettings, engines: Engines, stop: asyncio.Event) -> None:
    store = LogStore(engines.clickhouse, unix_ns)
    sink = Sink(engines.tick_log, store, settings.sink_max_bytes, TRANSIENT)
    outbox = Outbox(engines.postgres)
    async with (
        open_server(settings, services(engines, sink, outbox)) as server,
        open_session(settings, instance_of(settings, PROGRAM, server)) as session,
        asyncio.TaskGroup() as tasks,
    ):
        serving = tasks.create_task(serve(server, session, stop), name="serve")
        background = [
            tasks.create_task(outbox.listen(), name="outbox"),
            tasks.create_task(
                while_leased(engines.postgres.dsn, SINK_LEASE, lambda: _store_ticks(sink, session)), name="sink"
            ),
        ]
        await serving
        for task in background:
            task.cancel()


def services(engines: Engines, sink: Sink, outbox: Outbox) -> list[Service]:
    """What is served."""
    postgres = engines.postgres
    orders = OrderServicer(Accounts(postgres), Orders(postgres), Reports(postgres), outbox)
    ticks = TickServicer(StoredTicks(engines.clickhouse), engines.newest, sink, engines.tick_log)
    return [
        service(tick_service_pb2_grpc.add_TickServiceServicer_to_server, ticks, _TICK_SERVICE),
        service(order_service_pb2_grpc.add_OrderServiceServicer_to_server, orders, _ORDER_SERVICE),
    ]


async def _store_ticks(sink: Sink, session: HubSession) -> None:
    """Run the sink; when it stops for good, say so, and go on answering."""
    try:
        await sink.run()
    except LogMismatchError as mismatch:
        await session.set_status(registry_pb2.INSTANCE_STATUS_DOWN, f"sink stopped: {mismatch}")
