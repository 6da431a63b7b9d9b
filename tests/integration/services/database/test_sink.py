"""The sink against real engines: exact, whatever dies."""

from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from nats.aio.client import Client

from compose.embedded.nats import Nats
from mesh.bus import open_bus
from mesh.market import TickId, subjects
from services.database.app import Engines
from services.database.clickhouse.log_store import LogStore
from services.database.clickhouse.ticks import StoredTicks
from services.database.config import DatabaseSettings
from services.database.domain.log import Range
from services.database.domain.tick import TickStats
from tests.integration.services.database.sinks import running, sink_of
from tests.integration.services.database.ticks import START_MSC, batch, publish, publish_many, publish_refusal
from tests.support import eventually
from tests.support.streams import delete_stream

pytestmark = pytest.mark.integration


class DyingStore(LogStore):
    """Stores, then fails before the sink hears of it: a kill between the insert and what follows."""

    deaths = 0  # of all

    async def store(self, span: Range, epoch: int) -> None:
        await super().store(span, epoch)
        DyingStore.deaths += 1
        raise ConnectionResetError("killed after the insert")


async def stored(engines: Engines, symbol: str = "EURUSD") -> TickStats:
    found = await StoredTicks(engines.clickhouse).audit("", symbol)
    return found[0] if found else TickStats("", symbol)


@pytest.fixture
async def bus(settings: DatabaseSettings) -> AsyncIterator[Client]:
    async with open_bus(settings.nats_url.get_secret_value(), "test") as client:
        yield client


async def test_every_tick_is_stored_once_with_exact_sums(engines: Engines, bus: Client) -> None:
    """Across a month's end and two symbols: raw, stored and distinct are what was published, to the point."""
    whole = batch(30_000)
    pieces = [piece for month in whole.by_month() for piece in month.chunks(700)]
    gold = batch(5_000, "XAU/USD #1")
    await publish(bus, *pieces[:20], *gold.chunks(900), *pieces[20:])
    async with running(sink_of(engines)) as sink:
        await eventually(lambda: sink.stored_rows == 35_000)
    stats = await stored(engines)
    assert (stats.raw, stats.stored, stats.distinct, stats.conflicting) == (30_000, 30_000, 30_000, 0)
    points = sum(130_000 + i % 1000 for i in range(30_000))
    assert (stats.digits, stats.bid_points_sum, stats.ask_points_sum) == (5, points, points + 60_000)
    assert (stats.first, stats.last) == (whole.first_id, whole.last_id)
    assert (await stored(engines, "XAU/USD #1")).distinct == 5_000


async def test_many_small_messages_come_in_one_go(engines: Engines, bus: Client) -> None:
    """More messages than one pull brings, a tick each: nothing interrupts the reading of them."""
    await publish_many(bus, list(batch(5_000, start_msc=1_401_000_000_000).chunks(1)))
    async with running(sink_of(engines)) as sink:
        await eventually(lambda: sink.stored_rows == 5_000, timeout_s=15)
    assert len(await bus.jetstream().consumers_info(subjects.TICKS_STREAM)) == 1
    assert (await stored(engines)).raw == 5_000


async def test_the_position_is_where_the_rows_end(engines: Engines, bus: Client) -> None:
    """A sink that starts anew goes on after the last message of which rows are stored, and stores none again."""
    first, second = batch(600).chunks(300)
    await publish(bus, first)
    async with running(sink_of(engines)) as sink:
        await eventually(lambda: sink.stored_rows == 300)
    await publish(bus, second)
    async with running(sink_of(engines)) as again:
        await eventually(lambda: again.position.seq == 2)
        assert again.stored_rows == 300
    assert (await stored(engines)).raw == 600


async def test_a_death_after_the_insert_doubles_nothing(engines: Engines, bus: Client) -> None:
    """The insert carried the position with it, so each retry goes on behind it."""
    await publish(bus, *batch(900).chunks(300))
    async with running(sink_of(engines, store_class=DyingStore)) as sink:
        await eventually(lambda: sink.position.seq == 3)
        assert sink.stored_rows == 900, "what was stored is told of, however its insert ended"
    assert DyingStore.deaths >= 1
    stats = await stored(engines)
    assert (stats.raw, stats.distinct) == (900, 900)


async def test_refused_ticks_are_counted(engines: Engines, bus: Client) -> None:
    """A marker moves the position and is counted; the ticks around it are stored."""
    before, refused, after = batch(900).chunks(300)
    await publish(bus, before)
    await publish_refusal(bus, before.last_id, refused.last_id, 300)
    await publish(bus, after)
    async with running(sink_of(engines)) as sink:
        await eventually(lambda: sink.position.seq == 3)
    stats = await stored(engines)
    assert (stats.distinct, stats.quarantined) == (600, 300)
    async with running(sink_of(engines)) as again:
        await eventually(lambda: again.position.seq == 3)


async def test_an_unreadable_message_is_counted_and_passed(engines: Engines, bus: Client) -> None:
    """What can not be decoded, or has no symbol's subject, becomes a marker; the sink goes on."""
    strange = ("ticks.twin-1.EURUSD", "ticks.one-name", "ticks.=FF.EURUSD")
    for subject in strange:
        await bus.jetstream().publish(subject, b"\xff\xff not a batch")
    await publish(bus, batch(10))
    async with running(sink_of(engines)) as sink:
        await eventually(lambda: sink.position.seq == 4)
    rows = await engines.clickhouse.rows("SELECT symbol, reason FROM tick_quarantine ORDER BY log_seq")
    assert rows == [{"symbol": symbol, "reason": "MALFORMED_BATCH"} for symbol in ("EURUSD", "", "")]


async def test_two_values_of_one_identity_stay_visible(engines: Engines, bus: Client) -> None:
    """Repeated rows collapse; rows that disagree are both kept, even after merging, and counted as conflicting."""
    ticks = batch(100)
    await publish(bus, ticks, ticks, batch(2, start_msc=START_MSC - 50), ticks.slice(0, 3))
    other = batch(100)
    other.bid[:7] += 0.001
    await publish(bus, other)
    async with running(sink_of(engines)) as sink:
        await eventually(lambda: sink.position.seq == 5)
    await engines.clickhouse.command("OPTIMIZE TABLE ticks FINAL")
    stats = await stored(engines)
    assert (stats.distinct, stats.stored, stats.conflicting) == (102, 109, 7)


async def test_a_log_made_anew_has_its_own_epoch(engines: Engines, nats_engine: Nats, bus: Client) -> None:
    """Numbers begin at 1 again, in another epoch: everything in the new log is stored."""
    first, second = batch(600).chunks(300)
    await publish(bus, first)
    async with running(sink_of(engines)) as sink:
        await eventually(lambda: sink.position.seq == 1)
    await delete_stream(nats_engine, bus, subjects.TICKS_STREAM)
    await engines.tick_log.declare()
    await publish(bus, second)
    async with running(sink_of(engines)) as again:
        await eventually(lambda: again.stored_rows == 300)
        assert again.position.epoch > sink.position.epoch
    assert (await stored(engines)).distinct == 600


async def test_the_newest_stored_tick(engines: Engines, bus: Client) -> None:
    """The last tick by identity, with its values; none of a symbol never seen."""
    ticks = batch(101)
    await publish(bus, *ticks.chunks(50))
    async with running(sink_of(engines)) as sink:
        await eventually(lambda: sink.stored_rows == 101)
    reader = StoredTicks(engines.clickhouse)
    last = await reader.last("twin-1", "EURUSD")
    assert last is not None
    assert (last.id, last.bid, last.flags) == (TickId(*ticks.last_id), ticks.bid[-1], 6)
    assert await reader.last("twin-1", "GBPUSD") is None
    latency = sink.latency
    assert latency.p99_ms >= latency.p50_ms > 0


def test_batches_follow_on() -> None:
    """The made-up ticks are what a bridge would publish: each batch begins where the one before ended."""
    assert all(one.last_id == two.prev for one, two in pairwise(batch(100).chunks(30)))
