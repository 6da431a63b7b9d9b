"""TickService over gRPC: the cache, the counts, the sink's state."""

import asyncio
from typing import Any

import grpc
import pytest
from suho.database.v1 import tick_service_pb2 as pb
from suho.market.v1 import bar_pb2, tick_pb2

from mesh.bus import open_bus
from mesh.errors import MeshError, Reason
from services.database.config import DatabaseSettings
from tests.integration.services.database.conftest import Stubs
from tests.integration.services.database.ticks import batch, publish
from tests.support import eventually

pytestmark = pytest.mark.integration


def tick(symbol: str, time_msc: int, ordinal: int = 0, **fields: Any) -> tick_pb2.Tick:
    values: dict[str, Any] = {"bid": 1.1, "ask": 1.2, "flags": 6}
    identity = tick_pb2.TickId(time_msc=time_msc, ordinal=ordinal)
    return tick_pb2.Tick(server="cache-test", symbol=symbol, id=identity, **(values | fields))


def bad(symbol: str = "BAD", time_msc: int = 5, **fields: Any) -> tick_pb2.Tick:
    return tick(symbol, time_msc, **fields)


async def put(service: Stubs, *ticks: tick_pb2.Tick) -> None:
    await service.ticks.PutNewestTicks(pb.PutNewestTicksRequest(ticks=ticks))


async def newest(service: Stubs, symbol: str) -> tick_pb2.Tick:
    reference = tick_pb2.SymbolRef(server="cache-test", symbol=symbol)
    return (await service.ticks.GetNewestTick(pb.GetNewestTickRequest(symbol=reference))).tick


async def test_a_tick_comes_back_from_the_cache_to_the_bit(service: Stubs) -> None:
    """Every value survives, large volumes and awkward doubles too."""
    sent = tick("BITS", 1_700_000_000_123, 4, bid=0.1 + 0.2, last=5e-324, volume=2**64 - 1, volume_real=1e15 / 3)
    await put(service, sent)
    assert await newest(service, "BITS") == sent


async def test_the_cache_never_goes_back(service: Stubs) -> None:
    """Older ticks are ignored, by time and within a millisecond by ordinal, in whatever order writers bring them."""
    await asyncio.gather(*(put(service, tick("BACK", 1000 + n // 3, n % 3)) for n in reversed(range(60))))
    assert (await newest(service, "BACK")).id == tick_pb2.TickId(time_msc=1019, ordinal=2)
    await put(service, tick("BACK", 1019, 1), tick("BACK", 999, 9), tick("BACK", 1020))
    assert (await newest(service, "BACK")).id == tick_pb2.TickId(time_msc=1020)


async def test_a_symbol_never_seen_has_no_tick(service: Stubs) -> None:
    """No tick is an answer, not an error."""
    assert not (await newest(service, "NEVER")).ListFields()


@pytest.mark.parametrize("fields", [{"bid": float("nan")}, {"time_msc": 0}, {"time_msc": 2**60}, {"symbol": ""}])
async def test_a_bad_tick_is_not_cached(service: Stubs, fields: dict[str, Any]) -> None:
    """It is refused with a sentence."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await put(service, bad(**fields))
    assert MeshError.of(caught.value).reason is Reason.INVALID_ARGUMENT


async def test_stats_and_status_tell_how_far_the_sink_is(service: Stubs, settings: DatabaseSettings) -> None:
    """Cheap counts, the full audit and the sink's status agree with what was published."""
    async with open_bus(settings.nats_url.get_secret_value(), "test") as bus:
        await publish(bus, *batch(500).chunks(100))
    empty = await service.ticks.GetSinkStatus(pb.GetSinkStatusRequest())
    assert (empty.stored_seq, empty.log_last_seq, empty.tick_stored_p99_ms) == (0, 5, 0)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(service.sink.run())
        await eventually(lambda: service.sink.position.seq == 5)
        running.cancel()
    counts = (await service.ticks.GetTickStats(pb.GetTickStatsRequest(counts_only=True))).stats
    assert [(item.symbol.symbol, item.raw, item.distinct) for item in counts] == [("EURUSD", 500, 0)]
    audit = (await service.ticks.GetTickStats(pb.GetTickStatsRequest(server="twin-1"))).stats
    assert [(item.stored, item.distinct, item.digits, item.conflicting) for item in audit] == [(500, 500, 5, 0)]
    status = await service.ticks.GetSinkStatus(pb.GetSinkStatusRequest())
    assert (status.stored_seq, status.stored_rows, status.stopped_reason) == (5, 500, "")
    assert status.tick_stored_p99_ms >= status.tick_stored_p50_ms > 0
    symbol = tick_pb2.SymbolRef(server="twin-1", symbol="EURUSD")
    last = await service.ticks.GetLastTick(pb.GetLastTickRequest(symbol=symbol))
    assert last.tick.id == audit[0].last
    # What goes by stored ticks was told of them.
    minutes = pb.GetBarsRequest(symbol=symbol, spec=bar_pb2.BarSpec(timeframe=bar_pb2.TIMEFRAME_M1))
    assert [list(answer.bars.ticks) async for answer in service.ticks.GetBars(minutes)] == [[500]]
    recent = await service.ticks.GetRecentTicks(pb.GetRecentTicksRequest(symbol=symbol, count=7))
    assert recent.batch.time_msc[-1] == last.tick.id.time_msc
