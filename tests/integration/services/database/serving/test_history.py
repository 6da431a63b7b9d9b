"""GetTicks, GetTickDigests, GetTickQuality: ranges of stored ticks, over gRPC."""

import itertools
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest
from suho.database.v1 import tick_service_pb2 as pb
from suho.market.v1 import tick_pb2

from mesh.errors import MeshError, Reason
from mesh.market import BEFORE_FIRST, Batch, TickId, codec
from mesh.market.batch import COLUMNS
from mesh.market.digest import digests
from tests.integration.services.database.serving.conftest import Served
from tests.integration.services.database.serving.stored import SYMBOL, correct, made, store, within

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]


def reference(served: Served) -> tick_pb2.SymbolRef:
    return tick_pb2.SymbolRef(server=served.server, symbol=SYMBOL)


async def answers(served: Served, **asked: Any) -> list[pb.GetTicksResponseTwin]:
    call = served.ticks.GetTicks(pb.GetTicksRequest(symbol=reference(served), **asked))
    return [pb.GetTicksResponseTwin.FromString(message.SerializeToString()) async for message in call]


async def read(served: Served, **asked: Any) -> list[Batch]:
    return [codec.decode(answer.batch) for answer in await answers(served, **asked)]


def equal(found: list[Batch], *expected: Batch) -> bool:
    one, other = Batch.join(found), Batch.join(expected)
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in COLUMNS)


async def test_stored_ticks_come_back_in_order_once(served: Served) -> None:
    """Late and repeated ones too, in batches of at most 2,000 ticks of one month, each after the one before."""
    ticks = made(served.server, 7001, seed=1)
    await store(served.clickhouse, ticks.slice(3000, 7001))
    await store(served.clickhouse, ticks.slice(0, 5000))
    found = await read(served)
    assert equal(found, ticks)
    assert max(map(len, found)) == 2000
    assert all(batch.month == batch.slice(len(batch) - 1, len(batch)).month for batch in found)
    assert [batch.prev for batch in found] == [BEFORE_FIRST, *(batch.last_id for batch in found[:-1])]


async def test_a_range_a_beginning_and_a_limit_are_kept(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """[from, to), behind `after`, at most `limit`; also where pages end within a millisecond."""
    monkeypatch.setattr("services.database.clickhouse.history._PAGE", 7)
    ticks = made(served.server, 100, seed=2)
    await store(served.clickhouse, ticks)
    from_msc, to_msc = int(ticks.time_msc[10]), int(ticks.time_msc[60])
    assert equal(await read(served, from_msc=from_msc, to_msc=to_msc), within(ticks, from_msc, to_msc))
    for place, limit in itertools.product((0, 33, 98), (0, 1, 6, 7, 8, 30)):
        at = ticks.id_at(place)
        after = tick_pb2.TickId(time_msc=at.time_msc, ordinal=at.ordinal)
        found = await read(served, after=after, limit=limit)
        assert equal(found, ticks.slice(place + 1, min(place + 1 + limit, 100) if limit else 100))
        assert found[0].prev == at
    assert await answers(served, from_msc=to_msc + 10**9) == []


async def test_a_correction_shows_only_its_own_ticks(served: Served) -> None:
    """Where it stands; before it is closed nothing of it counts, and all generations show everything."""
    ticks = made(served.server, 600, seed=3)
    middle = [int(ticks.time_msc[place]) for place in (200, 300, 400)]
    first = replace(made(served.server, 60, seed=4, start_msc=middle[0], gap_ms=1), generation=1)
    second = replace(made(served.server, 60, seed=5, start_msc=middle[1], gap_ms=1), generation=2)
    for batch in (ticks, first, second):
        await store(served.clickhouse, batch)
    assert equal(await read(served), ticks)
    await correct(served.clickhouse, served.server, 1, middle[0], middle[2])
    await correct(served.clickhouse, served.server, 2, middle[1], middle[2])
    found = await read(served)
    before, after = within(ticks, 0, middle[0]), within(ticks, middle[2], 2**62)
    assert equal(found, before, within(first, middle[0], middle[1]), second, after)
    assert {batch.generation for batch in found} == {0, 1, 2}
    every = await read(served, all_generations=True)
    assert [sum(len(b) for b in every if b.generation == g) for g in (0, 1, 2)] == [600, 60, 60]


async def test_annotations_are_given_when_asked_for(served: Served) -> None:
    """UTC and marks stand beside the batch, one for each tick."""
    ticks = made(served.server, 10, seed=6)
    await store(served.clickhouse, ticks, utc_msc=np.int64(77), marks=np.uint32(5))
    (answer,) = await answers(served, annotated=True)
    assert np.frombuffer(answer.utc_msc, "<i8").tolist() == [77] * 10
    assert np.frombuffer(answer.marks, "<u4").tolist() == [5] * 10
    (plain,) = await answers(served)
    assert (plain.utc_msc, plain.marks) == (b"", b"")


@pytest.mark.parametrize("bucket_ms", [1, 60_000, 7_200_000])
async def test_digests_are_those_of_the_same_ticks_elsewhere(served: Served, bucket_ms: int) -> None:
    """In SQL as in numpy, bit by bit, over the newest generation and each row once."""
    ticks = made(served.server, 900, seed=7, gap_ms=1 if bucket_ms == 1 else 5000)
    odd = np.array([-0.0, 0.0, 5e-324, -1.7e308, float(2**53)])
    ticks = replace(ticks, last=np.resize(odd, 900), volume=ticks.volume | np.uint64(2**63))
    from_msc, cut, to_msc = int(ticks.time_msc[5]), int(ticks.time_msc[500]), int(ticks.time_msc[-9]) + 1
    better = replace(made(served.server, 80, seed=8, start_msc=cut, gap_ms=1), generation=3)
    for batch in (ticks, ticks.slice(100, 700), better):
        await store(served.clickhouse, batch)
    asked = {"from_msc": from_msc, "to_msc": to_msc, "bucket_ms": bucket_ms}
    for generation, standing in ((0, [ticks]), (3, [within(ticks, 0, cut), better])):
        if generation:
            await correct(served.clickhouse, served.server, generation, cut, 2**62)
        answer = await served.ticks.GetTickDigests(pb.GetTickDigestsRequest(symbol=reference(served), **asked))
        expected = digests(Batch.join(standing).columns(), **asked)
        assert [(d.from_msc, d.to_msc, d.count, d.hash) for d in answer.digests] == [
            (d.from_msc, d.to_msc, d.count, d.hash) for d in expected
        ]
        assert answer.generation == generation


async def test_quality_counts_marks_refusals_and_incidents(served: Served) -> None:
    """Of each symbol; what was reported is listed, once."""
    ticks = made(served.server, 30, seed=9)
    await store(served.clickhouse, ticks.slice(0, 10), marks=np.uint32(1 | 16))
    await store(served.clickhouse, ticks.slice(10, 30), marks=np.uint32(16))
    await served.clickhouse.command(
        "INSERT INTO tick_quarantine (server, symbol, last_time_msc, count) SELECT {server:String}, 'EURUSD', 5, 4",
        server=served.server,
    )
    incident = pb.TickIncident(id=f"{served.server}-1", at_unix_ms=5, kind="HOLE", symbol=reference(served), ticks=3)
    for _ in range(2):
        await served.ticks.ReportTickIncident(pb.ReportTickIncidentRequest(incident=incident))
    (quality,) = (await served.ticks.GetTickQuality(pb.GetTickQualityRequest(server=served.server))).symbols
    assert (quality.ticks, quality.crossed, quality.zero_price, quality.spikes) == (30, 10, 30, 0)
    assert (quality.quarantined, dict(quality.incidents)) == (4, {"HOLE": 1})
    listed = await served.ticks.ListTickIncidents(pb.ListTickIncidentsRequest(server=served.server))
    assert list(listed.incidents) == [incident]


@pytest.mark.parametrize(
    "asked",
    [{"from_msc": -1}, {"from_msc": 9, "to_msc": 9}, {"to_msc": 10, "bucket_ms": 0}, {"to_msc": 10**9, "bucket_ms": 1}],
)
async def test_a_range_that_is_none_is_refused(served: Served, asked: dict[str, int]) -> None:
    """With a sentence."""
    request = pb.GetTickDigestsRequest(symbol=reference(served), **({"bucket_ms": 1000} | asked))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served.ticks.GetTickDigests(request)
    assert MeshError.of(caught.value).reason is Reason.INVALID_ARGUMENT


async def test_ticks_after_an_identity_are_never_given_twice(served: Served) -> None:
    """An identity that has two values is shown with both, in one page."""
    ticks = made(served.server, 20, seed=10)
    await store(served.clickhouse, ticks)
    await store(served.clickhouse, replace(ticks.slice(7, 8), bid=np.array([9.0])))
    found = Batch.join(await read(served))
    assert len(found) == 21
    assert found.id_at(7) == found.id_at(8) == ticks.id_at(7)
    assert TickId(*ticks.id_at(8)) == found.id_at(9)
