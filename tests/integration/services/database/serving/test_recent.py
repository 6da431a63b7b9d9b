"""GetRecentTicks: the newest ticks of a symbol, from the cache or, where it does not hold them, from ClickHouse."""

from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest
from redis.asyncio import Redis
from suho.database.v1 import tick_service_pb2 as pb
from suho.market.v1 import tick_pb2

from mesh.errors import MeshError, Reason
from mesh.market import Batch, codec
from mesh.market.batch import COLUMNS
from services.database.clickhouse.history import TickHistory
from services.database.recent import RecentTicks
from tests.integration.services.database.serving.conftest import Served
from tests.integration.services.database.serving.stored import SYMBOL, correct, made, store

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]


async def recent(served: Served, count: int) -> Batch | None:
    symbol = tick_pb2.SymbolRef(server=served.server, symbol=SYMBOL)
    answer = await served.ticks.GetRecentTicks(pb.GetRecentTicksRequest(symbol=symbol, count=count))
    if not answer.HasField("batch"):
        return None
    return codec.decode(tick_pb2.TickBatchTwin.FromString(answer.batch.SerializeToString()))


def newest(found: Batch | None, expected: Batch, count: int) -> bool:
    if found is None:
        return False
    last = expected.slice(max(len(expected) - count, 0), len(expected))
    return all(np.array_equal(getattr(found, name), getattr(last, name)) for name in COLUMNS)


async def offer(served: Served, *batches: Batch) -> None:
    """Stored, then told."""
    for batch in batches:
        await store(served.clickhouse, batch)
    served.recent.offer(batches)
    await served.recent.flush()


async def test_the_newest_ticks_are_those_last_stored(served: Served) -> None:
    """Whatever was asked before, and more than the cache was told of; the whole of them after many offers."""
    ticks = made(served.server, 6000, seed=21)
    assert await recent(served, 10) is None
    await offer(served, ticks.slice(0, 30))
    for start in range(30, 6000, 995):
        await offer(served, *ticks.slice(start, start + 995).chunks(400))
        for count in (1, 100, 1000):
            assert newest(await recent(served, count), ticks.slice(0, start + 995), count)


async def test_a_cache_that_lost_everything_is_filled_again(served: Served, cache: Redis) -> None:
    """From ClickHouse, each tick once although it is stored twice; then it answers alone."""
    ticks = made(served.server, 1500, seed=22)
    await store(served.clickhouse, ticks)
    await offer(served, ticks.slice(0, 1500))
    await cache.flushdb()
    assert newest(await recent(served, 1000), ticks, 1000)
    gone = "ALTER TABLE ticks DELETE WHERE server = {s:String} SETTINGS mutations_sync = 1"
    await served.clickhouse.command(gone, s=served.server)
    assert newest(await recent(served, 1000), ticks, 1000)


async def test_a_symbol_with_few_ticks_is_not_looked_for_again(served: Served) -> None:
    """The cache knows where a symbol begins."""
    ticks = made(served.server, 20, seed=23)
    await store(served.clickhouse, ticks)
    assert newest(await recent(served, 500), ticks, 500)
    await store(served.clickhouse, made(served.server, 5, seed=24, start_msc=5))
    assert newest(await recent(served, 500), ticks, 500)
    assert newest(await recent(served, 20), ticks, 20)
    assert newest(await recent(served, 7), ticks, 7)


async def test_what_was_offered_twice_or_late_changes_nothing(served: Served) -> None:
    """A sink that stores again tells again."""
    ticks = made(served.server, 50, seed=25)
    await offer(served, ticks)
    for again in (ticks.slice(10, 20), ticks, ticks.slice(49, 50)):
        await offer(served, again)
        assert newest(await recent(served, 50), ticks, 50)


async def test_ticks_behind_a_hole_begin_anew(served: Served) -> None:
    """What the cache was not told of comes from ClickHouse."""
    ticks = made(served.server, 90, seed=26)
    await offer(served, ticks.slice(0, 40))
    await store(served.clickhouse, ticks.slice(40, 60))
    await offer(served, ticks.slice(60, 90))
    assert newest(await recent(served, 90), ticks, 90)


async def test_a_correction_is_seen(served: Served) -> None:
    """Once it was told of."""
    ticks = made(served.server, 90, seed=27)
    await offer(served, ticks)
    assert newest(await recent(served, 30), ticks, 30)
    better = replace(ticks.slice(80, 90), ask=np.full(10, 7.0), generation=1)
    await store(served.clickhouse, better)
    await correct(served.clickhouse, served.server, 1, int(ticks.time_msc[80]), 2**62)
    served.recent.changed(served.server, SYMBOL)
    await served.recent.flush()
    found = await recent(served, 30)
    assert found is not None
    assert found.ask[-10:].tolist() == [7.0] * 10


@pytest.mark.parametrize("count", [0, 1001])
async def test_a_count_beyond_the_cache_is_refused(served: Served, count: int) -> None:
    """With a sentence."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await recent(served, count)
    assert MeshError.of(caught.value).reason is Reason.INVALID_ARGUMENT


async def test_what_the_cache_missed_while_away_comes_from_clickhouse(served: Served) -> None:
    """What was offered then is let go, and nothing is wrong when the cache is back."""
    ticks = made(served.server, 9000, seed=28)
    await store(served.clickhouse, ticks)
    away = Away()
    unheard = RecentTicks(away, TickHistory(served.clickhouse).last)  # type: ignore[arg-type]
    unheard.offer(list(ticks.chunks(700)))
    with pytest.raises(MeshError):
        await unheard.flush()
    await offer(served, ticks.slice(8000, 9000))
    assert newest(await recent(served, 1000), ticks, 1000)


class Away:
    """A cache that does not answer."""

    def register_script(self, script: str) -> Any:
        async def call(**_: Any) -> None: ...

        return call

    def pipeline(self, transaction: bool) -> Any:
        raise ConnectionError("away")
