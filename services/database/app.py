"""Puts the database service together."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from nats.aio.client import Client
from suho.database.v1 import order_service_pb2_grpc, reference_service_pb2_grpc

from mesh.bus import open_bus
from mesh.clock import unix_ms, unix_ns
from mesh.draining import Draining
from mesh.errors import MeshError
from mesh.market import subjects
from mesh.server import Service, instance_of, open_server, serve, service
from mesh.session import open_session
from mesh.waiting import until_available
from services.database import kafka
from services.database.cached_preferences import CachedPreferences
from services.database.clickhouse import client as clickhouse_client
from services.database.clickhouse.bar_keeper import BarKeeper
from services.database.clickhouse.bars import StoredBars
from services.database.clickhouse.client import ClickHouse, open_clickhouse
from services.database.clickhouse.digests import TickDigests
from services.database.clickhouse.durability import sync_inserts
from services.database.clickhouse.history import TickHistory
from services.database.clickhouse.incidents import Incidents
from services.database.clickhouse.log_store import IncompleteInsertError, LogStore
from services.database.clickhouse.quality import StoredQuality
from services.database.clickhouse.reference_history import ReferenceHistory
from services.database.clickhouse.retention import keep
from services.database.clickhouse.ticks import StoredTicks
from services.database.config import DatabaseSettings
from services.database.domain.alarm import Alarm
from services.database.domain.liveness import Liveness
from services.database.domain.log import MarkerRange, Range, TickRange, touched
from services.database.domain.quality import Monitor
from services.database.jetstream import INTERRUPTED, TickLog
from services.database.log_contents import LogContents
from services.database.migrations import migrations
from services.database.postgres import pool as postgres_pool
from services.database.postgres.lease import BACKFILL_SINK_LEASE, TICKS_SINK_LEASE, holder, while_leased
from services.database.postgres.outbox import Outbox
from services.database.postgres.pool import Postgres, migration_lock, open_postgres
from services.database.postgres.reference import ReferenceRecords
from services.database.purge import Progress, Purge
from services.database.recent import RecentTicks
from services.database.servicers.orders import OrderServicer
from services.database.servicers.reference import ReferenceServicer
from services.database.servicers.tick_service import tick_service
from services.database.servicers.ticks import TickServicer
from services.database.servicers.ticks_bars import BarServicer
from services.database.servicers.ticks_cache import CacheServicer
from services.database.servicers.ticks_history import HistoryServicer
from services.database.servicers.ticks_watch import WatchServicer
from services.database.sink import Sink
from services.database.sinks import SinkEntry, Sinks
from services.database.valkey import NewestTicks, open_valkey

if TYPE_CHECKING:
    from services.database.kafka.app import KafkaSinks

PROGRAM = "database"

# After these the sink tries again, from the stored position.
TRANSIENT = (*INTERRUPTED, *clickhouse_client.FAILED, MeshError, IncompleteInsertError)

_ORDER_SERVICE = "suho.database.v1.OrderService"
_REFERENCE_SERVICE = "suho.database.v1.ReferenceService"


@dataclass(frozen=True)
class Engines:
    """The engines, ready, their schemas up to date."""

    postgres: Postgres
    clickhouse: ClickHouse
    newest: NewestTicks
    recent: RecentTicks
    bars: BarKeeper
    bus: Client
    tick_log: TickLog
    backfill_log: TickLog
    records: ReferenceRecords
    preferences: CachedPreferences
    history: ReferenceHistory


@dataclass(frozen=True)
class Following:
    """One log on its way into ClickHouse: what runs under one lease."""

    lease: int
    log: TickLog
    store: LogStore
    sink: Sink
    purge: Purge
    bars: BarKeeper

    async def run(self) -> None:
        self.bars.doubt()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.sink.run(), name="sink")
            tasks.create_task(self.purge.run(), name="purge")


async def main(settings: DatabaseSettings, stop: asyncio.Event) -> None:
    """Serve until `stop`; waits for engines that are not there yet."""
    kafka.require(settings)
    async with open_engines(settings) as engines:
        await _serve(settings, engines, stop)


@asynccontextmanager
async def open_engines(settings: DatabaseSettings) -> AsyncIterator[Engines]:
    """Wait for every engine, migrate, and close them at the end of the block."""
    secret = settings.clickhouse_password.get_secret_value()
    async with (
        open_postgres(settings.postgres_dsn.get_secret_value(), settings.postgres_connections) as postgres,
        open_clickhouse(settings.clickhouse_url, settings.clickhouse_user, secret) as clickhouse,
        open_valkey(settings.valkey_url.get_secret_value()) as cache,
        open_bus(settings.nats_url.get_secret_value(), PROGRAM) as bus,
    ):
        async with migration_lock(postgres) as connection:
            await postgres_pool.migrate(connection, migrations("postgres"))
            await clickhouse_client.migrate(clickhouse, migrations("clickhouse"))
            await keep(clickhouse, settings.retention())
            await sync_inserts(clickhouse, settings.clickhouse_fsync)
        tick_log = TickLog(bus, subjects.TICKS_STREAM, settings.log_max_bytes, "log_max_bytes")
        backfill_log = TickLog(bus, subjects.BACKFILL_STREAM, settings.backfill_max_bytes, "backfill_max_bytes")
        for log in (tick_log, backfill_log):
            await until_available(f"the log {log.name}", log.declare, INTERRUPTED)
        recent = RecentTicks(cache, TickHistory(clickhouse).last)
        records = ReferenceRecords(postgres)
        yield Engines(
            postgres,
            clickhouse,
            NewestTicks(cache),
            recent,
            BarKeeper(clickhouse),
            bus,
            tick_log,
            backfill_log,
            records,
            CachedPreferences(cache, records, settings.preferences_session_s),
            ReferenceHistory(postgres, clickhouse),
        )


async def _serve(settings: DatabaseSettings, engines: Engines, stop: asyncio.Event) -> None:
    draining = Draining()
    outbox = Outbox(engines.postgres, draining)
    async with kafka.open_if_configured(settings, engines.tick_log, engines.postgres, outbox, TRANSIENT) as second:
        await _serve_with(settings, engines, outbox, second, draining, stop)


async def _serve_with(
    settings: DatabaseSettings,
    engines: Engines,
    outbox: Outbox,
    second: "KafkaSinks | None",
    draining: Draining,
    stop: asyncio.Event,
) -> None:
    incidents = Incidents(engines.clickhouse)
    followings = follow(settings, engines, incidents, [second.progress] if second else [])
    sinks = sinks_of(engines, followings, second.entries(engines.tick_log, engines.postgres) if second else [])
    dsn = engines.postgres.dsn
    async with (
        open_server(settings, services(engines, sinks, incidents, outbox), draining) as server,
        open_session(settings, instance_of(settings, PROGRAM, server)) as session,
        asyncio.TaskGroup() as tasks,
    ):
        serving = tasks.create_task(serve(server, session, stop), name="serve")
        background = [
            tasks.create_task(outbox.listen(), name="outbox"),
            tasks.create_task(outbox.end_watches(), name="drain the outbox"),
            tasks.create_task(incidents.run(), name="incidents"),
            tasks.create_task(engines.recent.run(), name="recent ticks"),
            tasks.create_task(engines.bars.run(), name="bars"),
            tasks.create_task(engines.history.run(), name="reference history"),
            *(
                tasks.create_task(while_leased(dsn, one.lease, settings.instance, one.run), name=one.log.name)
                for one in followings
            ),
        ]
        if second:
            background.append(tasks.create_task(second.run(dsn, settings.instance), name="kafka"))
        await serving
        for task in background:
            task.cancel()


def follow(
    settings: DatabaseSettings, engines: Engines, incidents: Incidents, others: Sequence[Progress] = ()
) -> list[Following]:
    """Each log with its sink; TICKS first, whose purge waits for `others` too."""
    keep_s = settings.log_keep_hours * 3600
    return [
        _following(settings, engines, incidents, engines.tick_log, TICKS_SINK_LEASE, keep_s, others),
        _following(settings, engines, incidents, engines.backfill_log, BACKFILL_SINK_LEASE, None, ()),
    ]


def _following(
    settings: DatabaseSettings,
    engines: Engines,
    incidents: Incidents,
    log: TickLog,
    lease: int,
    keep_s: float | None,
    others: Sequence[Progress],
) -> Following:
    monitor = monitor_of(settings, incidents, live=log is engines.tick_log)
    store = LogStore(engines.clickhouse, log.name, monitor, unix_ns)
    sink = Sink(
        log,
        store,
        settings.sink_max_bytes,
        TRANSIENT,
        incidents.note,
        settings.instance,
        _teller(engines, log),
        pause_s=settings.sink_pause_ms / 1000,
    )
    contents = LogContents(engines.bus, log.name)
    purge = Purge(log, contents, [sink, *others], keep_s, settings.purge_every_s, TRANSIENT, unix_ms)
    return Following(lease, log, store, sink, purge, engines.bars)


def _teller(engines: Engines, log: TickLog) -> Callable[[Range], None]:
    """Tells what goes by stored ticks of each range that is stored."""

    def tell(span: Range) -> None:
        if isinstance(span, MarkerRange):
            return
        for message in span.messages:
            engines.bars.stored(*touched(message))
        if isinstance(span, TickRange) and log is engines.tick_log:
            engines.recent.offer([message.batch for message in span.messages])
            return
        for server, symbol in {message.identity[:2] for message in span.messages}:
            engines.recent.changed(server, symbol)

    return tell


def monitor_of(settings: DatabaseSettings, incidents: Incidents, live: bool) -> Monitor:
    """What marks ticks on their way into the store, and alerts."""
    zones, sessions = settings.zone_rules(), settings.session_rules()
    alarm = Alarm(unix_ms, incidents.note, settings.instance, int(settings.alert_every_s * 1000))
    liveness = Liveness(alarm, zones.of, sessions, settings.stale_after_s) if live else None
    return Monitor(zones.of, sessions, settings.spike_threshold, alarm, liveness)


def sinks_of(engines: Engines, followings: Sequence[Following], others: Sequence[SinkEntry] = ()) -> Sinks:
    """Every sink, as it is seen from outside."""
    entries = [
        SinkEntry(one.log, "clickhouse", one.sink, one.store, partial(holder, engines.postgres, one.lease))
        for one in followings
    ]
    return Sinks([*entries, *others], INTERRUPTED)


def services(engines: Engines, sinks: Sinks, incidents: Incidents, outbox: Outbox) -> list[Service]:
    """What is served."""
    orders = OrderServicer(engines.postgres, outbox)
    stored, quality = StoredTicks(engines.clickhouse), StoredQuality(engines.clickhouse)
    history = TickHistory(engines.clickhouse)
    ticks = tick_service(
        TickServicer(stored, quality, sinks).handlers(),
        CacheServicer(engines.newest, engines.recent).handlers(),
        HistoryServicer(history, TickDigests(engines.clickhouse)).handlers(),
        BarServicer(StoredBars(engines.clickhouse, history, engines.bars.settle)).handlers(),
        WatchServicer(quality, incidents).handlers(),
    )
    return [
        ticks,
        service(order_service_pb2_grpc.add_OrderServiceServicer_to_server, orders, _ORDER_SERVICE),
        service(
            reference_service_pb2_grpc.add_ReferenceServiceServicer_to_server,
            ReferenceServicer(engines.records, engines.preferences, engines.history),
            _REFERENCE_SERVICE,
        ),
    ]
