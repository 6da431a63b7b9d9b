"""Stored ticks, served over gRPC from a real ClickHouse and a real cache; each test has a server's name of its own."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from suho.database.v1 import tick_service_pb2_grpc

from compose.embedded.clickhouse import ClickHouse as Engine
from compose.embedded.valkey import Valkey
from mesh.channel import direct_channel
from mesh.config import ServerSettings
from mesh.server import open_server
from services.database.clickhouse.bar_keeper import BarKeeper
from services.database.clickhouse.bars import StoredBars
from services.database.clickhouse.client import ClickHouse, migrate, open_clickhouse
from services.database.clickhouse.digests import TickDigests
from services.database.clickhouse.history import TickHistory
from services.database.clickhouse.incidents import Incidents
from services.database.clickhouse.quality import StoredQuality
from services.database.migrations import migrations
from services.database.recent import RecentTicks
from services.database.servicers.tick_service import tick_service
from services.database.servicers.ticks_bars import BarServicer
from services.database.servicers.ticks_cache import CacheServicer
from services.database.servicers.ticks_history import HistoryServicer
from services.database.servicers.ticks_watch import WatchServicer
from services.database.valkey import NewestTicks, open_valkey

_servers = iter(f"serving-{number}" for number in range(1_000_000))


@dataclass(frozen=True)
class Served:
    """`server` is the test's own; nothing is stored of it yet."""

    server: str
    clickhouse: ClickHouse
    recent: RecentTicks
    bars: BarKeeper
    ticks: "tick_service_pb2_grpc.TickServiceAsyncStub"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def clickhouse(clickhouse_engine: Engine) -> AsyncIterator[ClickHouse]:
    async with open_clickhouse(
        f"{clickhouse_engine.url}/suho_serving", clickhouse_engine.user, clickhouse_engine.password
    ) as opened:
        await migrate(opened, migrations("clickhouse"))
        yield opened


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cache(valkey_engine: Valkey) -> AsyncIterator[Redis]:
    async with open_valkey(valkey_engine.url.removesuffix("0") + "7") as opened:
        yield opened


@pytest.fixture
def server() -> str:
    return next(_servers)


@pytest_asyncio.fixture(loop_scope="session")
async def served(clickhouse: ClickHouse, cache: Redis, server: str) -> AsyncIterator[Served]:
    settings = ServerSettings(instance="database-1", port=0, hubs=("127.0.0.1:1",))
    quality, history = StoredQuality(clickhouse), TickHistory(clickhouse)
    recent, bars = RecentTicks(cache, history.last), BarKeeper(clickhouse)
    service = tick_service(
        CacheServicer(NewestTicks(cache), recent).handlers(),
        HistoryServicer(history, TickDigests(clickhouse)).handlers(),
        BarServicer(StoredBars(clickhouse, history, bars.settle)).handlers(),
        WatchServicer(quality, Incidents(clickhouse)).handlers(),
    )
    async with (
        open_server(settings, [service]) as opened,
        direct_channel([f"127.0.0.1:{opened.port}"]) as channel,
    ):
        yield Served(server, clickhouse, recent, bars, tick_service_pb2_grpc.TickServiceStub(channel))
