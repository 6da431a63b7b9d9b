"""What is known of stored ticks: counts, sums, the newest one."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mesh.market import TickId
from services.database.clickhouse.client import ClickHouse
from services.database.clickhouse.last_ticks import LastTicks
from services.database.clickhouse.quality import StoredQuality
from services.database.clickhouse.ticks import StoredTicks
from services.database.domain.tick import SymbolSummary, TickStats
from tests.integration.services.database.serving.conftest import Served
from tests.integration.services.database.serving.stored import SYMBOL, correct, made, store, within

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]


async def audit(served: Served) -> TickStats:
    (stats,) = await StoredTicks(served.clickhouse).audit(served.server, SYMBOL)
    return stats


async def refuse(served: Served, last: TickId) -> None:
    await served.clickhouse.command(
        "INSERT INTO tick_quarantine (server, symbol, last_time_msc, last_ordinal, count)"
        " SELECT {server:String}, {symbol:String}, {time:Int64}, {ordinal:UInt32}, 1",
        server=served.server,
        symbol=SYMBOL,
        time=last.time_msc,
        ordinal=last.ordinal,
    )


async def test_an_audit_counts_what_stands(served: Served) -> None:
    """Each row once, of the newest generation; identities with two values show; raw counts rows as they came."""
    ticks = made(served.server, 300, seed=41)
    for batch in (ticks, ticks.slice(50, 100), *(replace(ticks.slice(7, 8), bid=np.array([v])) for v in (9.0, 8.0))):
        await store(served.clickhouse, batch)
    stats = await audit(served)
    assert (stats.stored, stats.distinct, stats.conflicting) == (302, 300, 1)
    assert 302 <= stats.raw <= 352  # merges may have been there
    assert (stats.first, stats.last, stats.digits) == (ticks.first_id, ticks.last_id, 5)
    assert stats.ask_points_sum == int(np.round(np.append(ticks.ask, ticks.ask[[7, 7]]) * 1e5).sum())
    cut = int(ticks.time_msc[150])
    better = replace(made(served.server, 20, seed=42, start_msc=cut, gap_ms=1), generation=1)
    await store(served.clickhouse, better)
    await correct(served.clickhouse, served.server, 1, cut, 2**62)
    stats = await audit(served)
    assert (stats.stored, stats.last) == (len(within(ticks, 0, cut)) + 22, better.last_id)
    assert stats.raw >= 322


async def test_sums_fit_whatever_the_prices_are(served: Served) -> None:
    """Where all decimals of many ticks do not, fewer are summed."""
    ticks = made(served.server, 4000, seed=43)
    huge = replace(ticks, bid=np.full(4000, 1e9 / 3), ask=np.full(4000, 1e9 / 3))
    await store(served.clickhouse, huge)
    stats = await audit(served)
    assert stats.digits == 6
    assert stats.bid_points_sum == 4000 * round(1e9 / 3 * 1e6)


async def test_the_newest_tick_is_behind_what_was_refused(served: Served) -> None:
    """A refused tick behind the last stored one is the end, without values; one before it changes nothing."""
    stored = StoredTicks(served.clickhouse)
    assert await stored.last(served.server, SYMBOL) is None
    ticks = made(served.server, 9, seed=44)
    await refuse(served, TickId(5, 3))
    refused = await stored.last(served.server, SYMBOL)
    assert refused is not None
    assert (refused.id, refused.bid, refused.ask) == (TickId(5, 3), 0.0, 0.0)
    await store(served.clickhouse, ticks)
    last = await stored.last(served.server, SYMBOL)
    assert last is not None
    assert (last.id, last.ask, last.flags) == (ticks.last_id, ticks.ask[-1], ticks.flags[-1])
    behind = TickId(ticks.last_id.time_msc, ticks.last_id.ordinal + 1)
    await refuse(served, behind)
    end = await stored.last(served.server, SYMBOL)
    assert end is not None
    assert (end.id, end.bid) == (behind, 0.0)


@pytest.mark.parametrize("change", [-0.01, 0.01])
async def test_the_newest_tick_has_its_corrected_values(served: Served, change: float) -> None:
    """A bridge compares them with the terminal's: what was corrected must not look like a changed history."""
    ticks = made(served.server, 9, seed=46)
    corrected = replace(ticks.slice(5, 9), ask=ticks.ask[5:] + change, generation=1)
    await store(served.clickhouse, ticks)
    await store(served.clickhouse, corrected)
    await served.clickhouse.command("OPTIMIZE TABLE ticks FINAL")
    await correct(served.clickhouse, served.server, 1, int(ticks.time_msc[5]), ticks.last_id.time_msc + 1)
    last = await StoredTicks(served.clickhouse).last(served.server, SYMBOL)
    assert last is not None
    assert (last.id, last.ask) == (ticks.last_id, corrected.ask[-1])


async def test_last_ticks_are_asked_for_by_hundreds(served: Served) -> None:
    """Each gets its own answer, stored, refused or none; together they take a few statements."""
    ticks = made(served.server, 3, seed=47)
    await store(served.clickhouse, ticks)
    asked = Counter[str]()

    class Counting(ClickHouse):
        async def rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
            asked["statements"] += 1
            return await served.clickhouse.rows(sql, **parameters)

    last = LastTicks(Counting(None))  # type: ignore[arg-type]
    names = [SYMBOL, *(f"NONE{number}" for number in range(250)), SYMBOL]
    found = await asyncio.gather(*(last.get(served.server, name) for name in names))
    assert found[0] == found[-1]
    assert found[0] is not None
    assert found[0].id == ticks.last_id
    assert found[1:-1] == [None] * 250
    assert asked["statements"] <= 10


async def test_every_symbol_is_listed(served: Served) -> None:
    """With its rows, and the times between which they lie."""
    ticks = made(served.server, 9, seed=45)
    await store(served.clickhouse, ticks)
    listed = await StoredQuality(served.clickhouse).symbols()
    times = (int(ticks.time_msc[0]), int(ticks.time_msc[-1]))
    assert SymbolSummary(served.server, SYMBOL, 9, *times) in listed
