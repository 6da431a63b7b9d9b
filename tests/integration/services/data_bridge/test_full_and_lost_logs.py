"""A log that is full, that was replaced, and symbols that nobody opens any more."""

import asyncio

import pytest
from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.js.api import DiscardPolicy, StreamConfig
from suho.market.v1 import tick_pb2

from compose.embedded.nats import Nats
from mesh.market.subjects import TICKS_STREAM, all_ticks, tick_subject
from services.data_bridge import app
from tests.integration.services.data_bridge.agent import Agent, lane, status
from tests.integration.services.data_bridge.conftest import StartBridge, declare_log
from tests.integration.services.data_bridge.ticks import SERVER, history, identities, logged_ticks
from tests.support import eventually
from tests.support.streams import delete_stream

pytestmark = pytest.mark.integration


async def test_agents_wait_for_a_full_log(start_bridge: StartBridge, bus: Client) -> None:
    """Nothing is dropped, nothing beyond a lane's eight messages is read, and ticks flow when there is room again."""
    stream = StreamConfig(name=TICKS_STREAM, subjects=[all_ticks()], discard=DiscardPolicy.NEW, max_bytes=100_000)
    await bus.jetstream().add_stream(stream)
    bridge = await start_bridge()
    agent = Agent(history(8_000), chunk=20)  # small, so that few are refused together
    published = await bus.subscribe(tick_subject(SERVER, "EURUSD"))
    async with asyncio.TaskGroup() as tasks:
        delivery = tasks.create_task(agent.deliver(bridge.port))
        await until_tried_again(published)
        assert (await bus.jetstream().stream_info(TICKS_STREAM)).state.bytes > 90_000
        stuck = agent.acked
        assert not (await asyncio.wait([delivery], timeout=0.1))[0]
        assert agent.acked <= agent.ticks.id_at(agent.ticks.index_after(stuck) + 160)
        stream.max_bytes = 10_000_000
        await bus.jetstream().update_stream(stream)
    assert agent.reconnects == 0
    assert await logged_ticks(bus) == identities(agent.ticks)


async def until_tried_again(published: Subscription) -> None:
    """Who subscribes hears also what the log refused: that comes once more, the same or with what came behind it."""
    seen: set[tuple[int, int]] = set()
    while True:
        message = tick_pb2.TickBatchTwin.FromString((await published.next_msg(30)).data)
        follows_on = (message.prev.time_msc, message.prev.ordinal)
        if follows_on in seen:
            return
        seen.add(follows_on)


async def test_what_a_log_lost_is_sent_again_without_waiting_for_a_tick(
    start_bridge: StartBridge, nats_engine: Nats, log_of_ticks: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that begins anew is noticed while the symbol is idle."""
    monkeypatch.setattr(app, "_LOG_WATCH_S", 0.02)
    bridge = await start_bridge()
    ticks = history(100)
    async with lane(bridge.port) as client:
        await client.open("EURUSD")
        for piece in ticks.chunks(10):
            await client.send(piece)
        await client.until_acked(ticks.last_id)
        await looked_again(log_of_ticks)
        await delete_stream(nats_engine, log_of_ticks, TICKS_STREAM)
        await declare_log(log_of_ticks)
        while not client.out_of_sync:
            await client.read()
        await client.send(ticks)
        client.acked.clear()
        await client.until_acked(ticks.last_id)
    assert client.out_of_sync == [(0, 0)]
    assert await logged_ticks(log_of_ticks) == identities(ticks)


async def looked_again(bus: Client) -> None:
    """Who watches the log has seen it as it is: asked, had the answer, and asks again."""
    looks = await bus.subscribe(f"$JS.API.STREAM.INFO.{TICKS_STREAM}")
    for _ in range(2):
        await looks.next_msg(30)
    await looks.unsubscribe()


async def test_a_symbol_that_nobody_opens_leaves_memory_and_keeps_its_record(
    start_bridge: StartBridge, log_of_ticks: Client
) -> None:
    """No task waits for it; its status is answered, and goes on when it is opened again."""
    bridge = await start_bridge(idle_symbol_s=0.03, source_grace_ms=0)
    ticks = history(200)
    for part in ticks.chunks(100):
        async with lane(bridge.port) as client:
            await client.open("EURUSD")
            await client.send(part)
            await client.until_acked(part.last_id)
        await eventually(lambda: "publish EURUSD" not in {task.get_name() for task in asyncio.all_tasks()})
        [known] = (await status(bridge.port)).symbols
        assert (known.published_ticks, known.agent, known.lane) == (ticks.index_after(part.last_id), "", 0)
