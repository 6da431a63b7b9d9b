"""Lanes into the log: every tick exactly once, and answers that say so."""

import asyncio

import pytest
from nats.aio.client import Client
from suho.market.v1 import tick_pb2

from mesh.market import TickId
from mesh.market.subjects import tick_subject
from tests.integration.services.data_bridge.agent import Agent, lane, last_of, request, status
from tests.integration.services.data_bridge.conftest import KnownTicks, StartBridge, declare_log
from tests.integration.services.data_bridge.ticks import SERVER, history, identities, logged, logged_ticks
from tests.support import eventually

pytestmark = pytest.mark.integration


async def test_ticks_become_durable_and_are_acknowledged(start_bridge: StartBridge, log_of_ticks: Client) -> None:
    """What is acknowledged is in the log, in order, each tick once; a batch's bytes are not changed."""
    bridge = await start_bridge()
    ticks = history(1000)
    async with lane(bridge.port) as client:
        await client.open("EURUSD")
        assert last_of(client.welcome["EURUSD"]) == (0, 0)
        await client.send(ticks)
        await client.until_acked(ticks.last_id)
    messages = await logged(log_of_ticks)
    assert len(messages) == 1
    assert messages[0].count == 1000
    assert await logged_ticks(log_of_ticks) == identities(ticks)


async def test_a_welcome_bears_the_newest_tick(start_bridge: StartBridge, log_of_ticks: Client) -> None:
    """A lane that opens a symbol learns the log's last tick with its quote."""
    bridge = await start_bridge()
    ticks = history(10)
    async with lane(bridge.port) as client:
        await client.open("EURUSD")
        await client.send(ticks)
        await client.until_acked(ticks.last_id)
    async with lane(bridge.port, number=2) as client:
        await client.open("EURUSD")
        welcome = client.welcome["EURUSD"]
    assert last_of(welcome) == ticks.last_id
    assert (welcome.bid, welcome.ask) == (ticks.bid[-1], ticks.ask[-1])


async def test_where_the_log_holds_nothing_the_database_says_how_far_it_got(
    start_bridge: StartBridge, log_of_ticks: Client, known_ticks: KnownTicks
) -> None:
    """The newest stored tick is the cursor of a symbol without a message in the log."""
    stored = TickId(1_772_000_000_000, 3)
    known_ticks.stored[(SERVER, "EURUSD")] = tick_pb2.Tick(
        id=tick_pb2.TickId(time_msc=stored.time_msc, ordinal=stored.ordinal), bid=1.5, ask=1.6
    )
    bridge = await start_bridge()
    ticks = history(5, prev=stored)
    async with lane(bridge.port) as client:
        await client.open("EURUSD")
        assert last_of(client.welcome["EURUSD"]) == stored
        assert client.welcome["EURUSD"].ask == 1.6
        await client.send(ticks)
        await client.until_acked(ticks.last_id)
    assert await logged_ticks(log_of_ticks) == identities(ticks)


async def test_open_waits_for_the_log(start_bridge: StartBridge, bus: Client) -> None:
    """A symbol is welcomed once the database service has declared the log."""
    bridge = await start_bridge()
    async with lane(bridge.port) as client:
        async with asyncio.TaskGroup() as tasks:
            opening = tasks.create_task(client.open("EURUSD"))
            assert not (await asyncio.wait([opening], timeout=0.2))[0]
            await declare_log(bus)
        assert "EURUSD" in client.welcome


async def test_overlaps_are_trimmed_and_old_batches_acknowledged(
    start_bridge: StartBridge, log_of_ticks: Client
) -> None:
    """A batch that repeats ticks adds only what is new."""
    bridge = await start_bridge()
    ticks = history(300)
    async with lane(bridge.port) as client:
        await client.open("EURUSD")
        for start, stop in ((0, 100), (50, 150), (20, 80), (100, 300), (0, 300)):
            await client.send(ticks.slice(start, stop))
        await client.until_acked(ticks.last_id)
    assert await logged_ticks(log_of_ticks) == identities(ticks)


async def test_an_agent_that_is_ahead_is_told_the_cursor_once(start_bridge: StartBridge, log_of_ticks: Client) -> None:
    """Batches after the log's end are refused with the cursor; sent again from there they are taken."""
    bridge = await start_bridge()
    ticks = history(300)
    async with lane(bridge.port) as client:
        await client.open("EURUSD")
        assert last_of(client.welcome["EURUSD"]) == (0, 0)
        await client.send(ticks.slice(0, 100))
        await client.send(ticks.slice(150, 200))
        await client.send(ticks.slice(200, 250))
        while not client.out_of_sync:
            await client.read()
        assert client.out_of_sync == [ticks.id_at(99)]
        await client.send(ticks.slice(100, 300))
        await client.until_acked(ticks.last_id)
        assert len(client.out_of_sync) == 1
    assert await logged_ticks(log_of_ticks) == identities(ticks)


async def test_batches_of_several_symbols_share_a_message(start_bridge: StartBridge, log_of_ticks: Client) -> None:
    """Each symbol of a message goes to its own subject and is acknowledged by itself."""
    bridge = await start_bridge()
    symbols = ("EURUSD", "XAU.USD #1")
    async with lane(bridge.port) as client:
        await client.open(*symbols)
        await client.send(*(history(50, symbol) for symbol in symbols))
        for symbol in symbols:
            await client.until_acked(history(50, symbol).last_id, symbol)
    for symbol in symbols:
        assert len(await logged_ticks(log_of_ticks, symbol)) == 50


async def test_a_symbol_that_moves_to_another_lane_continues_there(
    start_bridge: StartBridge, log_of_ticks: Client
) -> None:
    """What came on the old lane is settled before the new one is welcomed."""
    bridge = await start_bridge()
    ticks = history(20_000)
    async with lane(bridge.port, 1) as old, lane(bridge.port, 2) as new:
        await old.open("EURUSD")
        for start in range(0, 8000, 1000):
            await old.send(ticks.slice(start, start + 1000))
        await eventually(lambda: old.acked or old.read())  # on their way, not all of them settled
        await new.open("EURUSD")
        cursor = last_of(new.welcome["EURUSD"])
        assert cursor >= ticks.id_at(999)
        start = ticks.index_after(cursor)
        await new.send(ticks.slice(start, start + 1000))
        await new.until_acked(ticks.id_at(start + 999))
    assert await logged_ticks(log_of_ticks) == identities(ticks.slice(0, start + 1000))


async def test_nothing_is_lost_or_doubled_when_connections_die(start_bridge: StartBridge, log_of_ticks: Client) -> None:
    """An agent whose connection is cut again and again delivers every tick once."""
    bridge = await start_bridge()
    agent = Agent(history(20_000), chunk=50)
    async with asyncio.TaskGroup() as tasks:
        delivery = tasks.create_task(agent.deliver(bridge.port))
        for share in (0.1, 0.3, 0.5, 0.7):
            goal = agent.ticks.id_at(int(share * len(agent.ticks)))
            await eventually(lambda goal=goal: agent.acked > goal or delivery.done(), interval_s=0.001)
            agent.cut()
    assert agent.reconnects >= 3
    assert await logged_ticks(log_of_ticks) == identities(agent.ticks)


async def test_another_writer_is_built_upon(start_bridge: StartBridge, log_of_ticks: Client) -> None:
    """What a bridge publishes late is refused by compare-and-set; what the other wrote is trimmed off."""
    bridge = await start_bridge()
    ticks = history(1000)
    async with lane(bridge.port) as client:
        await client.open("EURUSD")
        others = request(ticks.slice(0, 600)).batches[0].SerializeToString()
        await log_of_ticks.jetstream().publish(tick_subject(SERVER, "EURUSD"), others)
        await client.send(ticks)
        await client.until_acked(ticks.last_id)
    assert await logged_ticks(log_of_ticks) == identities(ticks)
    [known] = (await status(bridge.port)).symbols
    assert (known.conflicts, known.published_ticks) == (1, 400)


async def test_newest_ticks_reach_the_cache_and_its_failures_stop_nothing(
    start_bridge: StartBridge, log_of_ticks: Client, known_ticks: KnownTicks
) -> None:
    """The cache gets the latest tick of each symbol, coalesced, also after it was away."""
    bridge = await start_bridge(newest_interval_ms=20)
    known_ticks.failing = True
    ticks = history(6000)
    async with lane(bridge.port) as client:
        await client.open("EURUSD")
        for start in range(0, 6000, 1000):
            await client.send(ticks.slice(start, start + 1000))
        await client.until_acked(ticks.last_id)
    known_ticks.failing = False

    def cached() -> TickId:
        tick = known_ticks.newest["EURUSD"].id
        return TickId(tick.time_msc, tick.ordinal)

    await eventually(lambda: known_ticks.newest and cached() == ticks.last_id)
    assert known_ticks.newest["EURUSD"].bid == ticks.bid[-1]


async def test_the_newest_ticks_of_many_symbols_reach_the_cache(
    start_bridge: StartBridge, log_of_ticks: Client, known_ticks: KnownTicks
) -> None:
    """More symbols than the database takes in one call gathered while it was away: all arrive."""
    bridge = await start_bridge()
    known_ticks.failing = True
    symbols = [f"S{number}" for number in range(1001)]
    async with lane(bridge.port) as client:
        await client.open(*symbols)
        await client.send(*(history(1, symbol) for symbol in symbols))
        for symbol in symbols:
            await client.until_acked(history(1).last_id, symbol)
    known_ticks.failing = False
    await eventually(lambda: len(known_ticks.newest) == len(symbols))
