"""Bridges on a real NATS, with a database service that answers what a test lets it know."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
import pytest_asyncio
from nats.aio.client import Client
from nats.js.api import DiscardPolicy
from pydantic import SecretStr
from suho.database.v1 import tick_service_pb2 as db
from suho.database.v1 import tick_service_pb2_grpc
from suho.market.v1 import tick_pb2

from compose.embedded.nats import Nats
from mesh.bus import open_bus
from mesh.channel import direct_channel
from mesh.market import Batch, TickId, codec
from mesh.market.subjects import TICKS_STREAM, all_ticks
from mesh.server import MeshServer
from services.data_bridge.app import open_bridge
from services.data_bridge.config import BridgeSettings
from tests.support.streams import delete_stream

StartBridge = Callable[..., Awaitable[MeshServer]]
# A bridge that the machine lets wait for seconds is taken to be alive, and takes the log to be there.
PATIENT = {"source_ttl_s": 60, "publish_timeout_ms": 20_000}


class KnownTicks(tick_service_pb2_grpc.TickServiceServicer):
    """The database's TickService, of which the test decides what is stored."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], tick_pb2.Tick] = {}
        self.newest: dict[str, tick_pb2.Tick] = {}
        self.history: dict[tuple[str, str], Batch] = {}
        self.history_calls = 0
        self.history_is_away = False
        self.calls = 0
        self.failing = False

    async def GetLastTick(self, request: db.GetLastTickRequest, _: Any) -> db.GetLastTickResponse:
        return db.GetLastTickResponse(tick=self.stored.get((request.symbol.server, request.symbol.symbol)))

    async def GetTicks(self, request: db.GetTicksRequest, context: Any) -> AsyncIterator[db.GetTicksResponse]:
        self.history_calls += 1
        if self.history_is_away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "ClickHouse is away")
        if request.from_msc < 0:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "give a range that begins at 0 or later")
        stored = self.history.get((request.symbol.server, request.symbol.symbol))
        start = max(TickId(request.after.time_msc, request.after.ordinal), TickId(request.from_msc - 1, 2**32 - 1))
        found = stored.after(start) if stored else None
        for piece in found.slice(0, min(request.limit or len(found), len(found))).chunks(2000) if found else ():
            twin = db.GetTicksResponseTwin(batch=tick_pb2.TickBatchTwin(**codec.fields(piece)))
            yield db.GetTicksResponse.FromString(twin.SerializeToString())

    async def ListSymbols(self, _: db.ListSymbolsRequest, __: Any) -> db.ListSymbolsResponse:
        symbols = [tick_pb2.SymbolRef(server=server, symbol=symbol) for server, symbol in self.history]
        return db.ListSymbolsResponse(symbols=[db.StoredSymbol(symbol=symbol) for symbol in symbols])

    async def PutNewestTicks(self, request: db.PutNewestTicksRequest, context: Any) -> db.PutNewestTicksResponse:
        self.calls += 1
        if self.failing:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the cache is away")
        if len(request.ticks) > 1000:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "send at most 1000")
        self.newest.update({tick.symbol: tick for tick in request.ticks})
        return db.PutNewestTicksResponse()


async def declare_log(bus: Client) -> None:
    await bus.jetstream().add_stream(
        name=TICKS_STREAM, subjects=[all_ticks()], discard=DiscardPolicy.NEW, allow_direct=True
    )


@pytest_asyncio.fixture
async def bus(nats_engine: Nats) -> AsyncIterator[Client]:
    """NATS, without a log."""
    async with open_bus(nats_engine.url, "test") as client:
        await delete_stream(nats_engine, client, TICKS_STREAM)
        yield client


@pytest_asyncio.fixture
async def log_of_ticks(bus: Client) -> Client:
    """NATS, with an empty log."""
    await declare_log(bus)
    return bus


@pytest.fixture
def known_ticks() -> KnownTicks:
    return KnownTicks()


@pytest_asyncio.fixture
async def start_bridge(nats_engine: Nats, known_ticks: KnownTicks) -> AsyncIterator[StartBridge]:
    """Starts bridges, as many as a test wants; settings by keyword."""
    database = grpc.aio.server()
    tick_service_pb2_grpc.add_TickServiceServicer_to_server(known_ticks, database)
    port = database.add_insecure_port("127.0.0.1:0")
    await database.start()
    async with AsyncExitStack() as stack:
        channel = await stack.enter_async_context(direct_channel([f"127.0.0.1:{port}"]))

        async def start(**changes: Any) -> MeshServer:
            own = {"instance": "bridge-1", "port": 0, "nats_url": SecretStr(nats_engine.url), **PATIENT}
            given = {**own, **changes}
            return await stack.enter_async_context(open_bridge(BridgeSettings(**given), channel))

        yield start
    await database.stop(None)
