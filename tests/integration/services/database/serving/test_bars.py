"""GetBars: bars of stored ticks are the builder's on the same ticks, late, repeated and corrected ones included."""

import asyncio
import gzip
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from suho.database.v1 import tick_service_pb2 as pb
from suho.market.v1 import bar_pb2, tick_pb2

from mesh.errors import MeshError, Reason
from mesh.market import BEFORE_FIRST, Batch, bar_codec
from mesh.market.bars import BAR_COLUMNS, DAY_MS, TIMEFRAMES, BarBuilder, Bars
from mesh.market.batch import ordinals
from services.database.clickhouse.bar_keeper import BarKeeper
from tests.integration.services.database.serving.conftest import Served
from tests.integration.services.database.serving.stored import START_MSC, SYMBOL, correct, made, store, within
from tests.support import eventually

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

SPECS = [
    *(bar_pb2.BarSpec(timeframe=number) for number in range(1, len(TIMEFRAMES) + 1)),  # type: ignore[arg-type]
    bar_pb2.BarSpec(ticks=37),
    bar_pb2.BarSpec(volume=2e6),
    bar_pb2.BarSpec(range=0.0004),
]
M1, H1, DAILY_TICKS = SPECS[0], SPECS[11], SPECS[-3]


async def bars(served: Served, spec: bar_pb2.BarSpec, **asked: Any) -> Bars:
    symbol = tick_pb2.SymbolRef(server=served.server, symbol=SYMBOL)
    call = served.ticks.GetBars(pb.GetBarsRequest(symbol=symbol, spec=spec, **asked))
    answers = [pb.GetBarsResponseTwin.FromString(message.SerializeToString()).bars async for message in call]
    return Bars.join([bar_codec.decode(answer) for answer in answers])


def built(spec: bar_pb2.BarSpec, *batches: Batch) -> Bars:
    return BarBuilder(bar_codec.cut(spec)).add(Batch.join(batches))


def same(found: Bars, expected: Bars) -> bool:
    columns = [(getattr(found, name), getattr(expected, name)) for name in BAR_COLUMNS]
    return found.last_closed == expected.last_closed and all(np.array_equal(one, other) for one, other in columns)


async def keep(served: Served, batch: Batch) -> None:
    """Stored, then told."""
    await store(served.clickhouse, batch)
    served.bars.stored(served.server, SYMBOL, batch.first_id.time_msc, batch.last_id.time_msc + 1)


async def test_stored_bars_are_the_builders(served: Served) -> None:
    """For every timeframe and every other cut, over a month's end; after repeated and late ticks and a correction."""
    ticks = made(served.server, 5000, seed=31, gap_ms=20_000)
    await keep(served, ticks.slice(0, 3000))
    await bars(served, M1)
    await keep(served, ticks.slice(3500, 5000))
    await bars(served, M1)
    await keep(served, ticks.slice(2000, 4000))
    for spec in SPECS:
        assert same(await bars(served, spec), built(spec, ticks)), spec
    cut, end = int(ticks.time_msc[1000]), int(ticks.time_msc[2500])
    better = replace(made(served.server, 90, seed=32, start_msc=cut, gap_ms=100), generation=1)
    await keep(served, better)
    await correct(served.clickhouse, served.server, 1, cut, end)
    served.bars.stored(served.server, SYMBOL, cut, end)
    for spec in SPECS[::5] + SPECS[-3:]:
        expected = built(spec, within(ticks, 0, cut), better, within(ticks, end, 2**62))
        assert same(await bars(served, spec), expected), spec


@pytest.mark.parametrize("spec", [M1, H1, DAILY_TICKS], ids=["M1", "H1", "ticks"])
async def test_a_range_and_a_limit_are_kept(
    served: Served, spec: bar_pb2.BarSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole bars that open in it: the first so many, or the last; the last one closed when a later tick is there."""
    monkeypatch.setattr("services.database.clickhouse.bars._PAGE", 5)
    ticks = made(served.server, 400, seed=33, start_msc=START_MSC, gap_ms=900_000)
    await keep(served, ticks)
    every = built(spec, ticks)
    count = len(every)
    assert count > 11
    for limit in (1, 5, 6, count, count + 1):
        assert same(await bars(served, spec, limit=limit), every.slice(0, limit))
        assert same(await bars(served, spec, limit=-limit), every.slice(max(count - limit, 0), count))
    first, end = int(every.open_msc[3]), int(every.open_msc[10])
    assert same(await bars(served, spec, from_msc=first, to_msc=end), every.slice(3, 10))
    assert same(await bars(served, spec, from_msc=first - 1, to_msc=end + 1, limit=-2), every.slice(9, 11))
    assert same(await bars(served, spec, from_msc=first + 1, to_msc=end, limit=2), every.slice(4, 6))
    assert not len(await bars(served, spec, from_msc=int(ticks.time_msc[-1]) + DAY_MS))


async def test_a_keeper_that_starts_finds_what_is_stale(served: Served) -> None:
    """Ticks and corrections that nobody computed; a minute that lost its ticks is gone."""
    ticks = made(served.server, 300, seed=34, gap_ms=60_000)
    await keep(served, ticks.slice(0, 200))
    await bars(served, M1)
    await store(served.clickhouse, ticks.slice(200, 300))
    await looked(served, built(M1, ticks))
    middle = int(ticks.time_msc[100]) // 60_000 * 60_000
    await correct(served.clickhouse, served.server, 1, middle, middle + 600_000)
    await looked(served, built(M1, within(ticks, 0, middle), within(ticks, middle + 600_000, 2**62)))
    await correct(served.clickhouse, served.server, 2, middle, 2**62)  # all that is to come
    await looked(served, built(M1, within(ticks, 0, middle)))


async def test_symbols_are_computed_together(served: Served) -> None:
    """However they are called; each by its own corrections, in its own stretch of time."""
    ticks = replace(made(served.server, 300, seed=35), bid=np.full(300, 1.1))
    others = [replace(ticks, symbol=name) for name in ("it's", "100%s", "{a:String}", "\\")]
    for batch in (ticks, *others):
        await store(served.clickhouse, batch)
    edge = int(ticks.time_msc[150]) // 60_000 * 60_000
    await correct(served.clickhouse, served.server, 1, edge, 2**62)
    for batch in (ticks, *others[:-1]):
        served.bars.stored(served.server, batch.symbol, batch.first_id.time_msc, batch.last_id.time_msc + 1)
    served.bars.stored(served.server, others[-1].symbol, ticks.first_id.time_msc, edge)
    before = int((ticks.time_msc < edge).sum())
    expected = {SYMBOL: before, others[-1].symbol: before, **{batch.symbol: 300 for batch in others[:-1]}}
    count = "SELECT symbol, sum(ticks) AS ticks FROM bars_m1 FINAL WHERE server = {server:String} GROUP BY symbol"
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(served.bars.run())

        async def computed() -> bool:
            rows = await served.clickhouse.rows(count, server=served.server)
            return {row["symbol"]: row["ticks"] for row in rows} == expected

        served.bars._doubted = False  # only what was told
        await eventually(computed)
        running.cancel()


async def looked(served: Served, expected: Bars) -> None:
    """Wait until a new keeper has brought the bars to what is expected."""

    async def there() -> bool:
        return same(await bars(served, M1), expected)

    assert not await there()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(BarKeeper(served.clickhouse).run())
        await eventually(there)
        running.cancel()


@pytest.mark.parametrize("asked", [{"spec": bar_pb2.BarSpec()}, {"limit": -(10**6)}, {"from_msc": 5, "to_msc": 4}])
async def test_a_question_for_no_bars_is_refused(served: Served, asked: dict[str, Any]) -> None:
    """With a sentence."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await bars(served, **({"spec": M1} | asked))
    assert MeshError.of(caught.value).reason is Reason.INVALID_ARGUMENT


async def test_bars_of_real_ticks_are_the_builders(served: Served, data_dir: Path) -> None:
    """Every timeframe."""
    ticks = real(served.server, data_dir)
    await keep(served, ticks)
    for spec in SPECS[:-2]:
        assert same(await bars(served, spec), built(spec, ticks)), spec


def real(server: str, folder: Path) -> Batch:
    """A week of gold: `date,ms_of_day_utc,bid,ask`."""
    text = gzip.decompress(next(folder.glob("lean_oanda_xauusd_ticks_*.csv.gz")).read_bytes()).decode()
    dates, rest = np.loadtxt(io.StringIO(text), "U10", delimiter=",", skiprows=1, usecols=0), io.StringIO(text)
    ms, bid, ask = np.loadtxt(rest, delimiter=",", skiprows=1, usecols=(1, 2, 3), unpack=True)
    time_msc = dates.astype("datetime64[ms]").astype(np.int64) + ms.astype(np.int64)
    empty = np.zeros(len(bid))
    counts, flags = np.zeros(len(bid), np.uint64), np.full(len(bid), 6, np.uint32)
    columns = (time_msc, ordinals(time_msc), bid, ask, empty, empty, counts, flags)
    return Batch(server, SYMBOL, "pc-1", 1, BEFORE_FIRST, *columns)
