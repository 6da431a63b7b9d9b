"""NATS dies and comes back; bridges leave."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from nats.aio.client import Client
from pydantic import SecretStr

from compose.embedded.alone import running
from compose.embedded.nats import Nats
from compose.embedded.ports import free_ports
from mesh.bus import open_bus
from tests.integration.services.data_bridge.agent import Agent, lane, status
from tests.integration.services.data_bridge.conftest import StartBridge, declare_log
from tests.integration.services.data_bridge.test_feed import subscription, take
from tests.integration.services.data_bridge.ticks import history, identities, logged_ticks
from tests.support import eventually

pytestmark = pytest.mark.integration


@pytest_asyncio.fixture
async def mortal_nats(tmp_path: Path) -> AsyncIterator[Nats]:
    """A NATS that a test may kill; not started."""
    yield Nats(tmp_path / "nats", free_ports(1)[0], "secret")


async def test_nats_is_killed_and_restarted_under_load(
    start_bridge: StartBridge, mortal_nats: Nats, tmp_path: Path
) -> None:
    """Every tick is in the log once after NATS died with SIGKILL twice; lanes stay, and ticks flow again."""
    agents = [Agent(history(60_000, symbol), chunk=100) for symbol in ("EURUSD", "XAUUSD")]
    where = SecretStr(mortal_nats.url)
    delivery: list[asyncio.Task[None]] = []
    async with asyncio.TaskGroup() as tasks:
        for life in range(3):
            async with running(mortal_nats.program(), tmp_path / f"nats-{life}.log") as process:
                if not delivery:
                    async with open_bus(mortal_nats.url, "test") as bus:
                        await declare_log(bus)
                    bridge = await start_bridge(nats_url=where, publish_timeout_ms=300, source_ttl_s=3)
                    delivery = [tasks.create_task(agent.deliver(bridge.port)) for agent in agents]
                if life < 2:
                    so_far = [agent.acked for agent in agents]
                    await moved_on(agents, so_far)
                    process.send(signal.SIGKILL)
                    await process.wait()
                    continue
                await asyncio.gather(*delivery)
                async with open_bus(mortal_nats.url, "test") as bus:
                    for agent in agents:
                        assert await logged_ticks(bus, agent.ticks.symbol) == identities(agent.ticks)
    assert [agent.reconnects for agent in agents] == [0, 0]


async def moved_on(agents: list[Agent], so_far: list[tuple[int, int]]) -> None:
    def some_more() -> bool:
        return all(agent.done or agent.acked > before for agent, before in zip(agents, so_far, strict=True))

    await eventually(some_more, 30, interval_s=0.002)


async def test_a_bridge_that_drains_sends_lanes_elsewhere(start_bridge: StartBridge, log_of_ticks: Client) -> None:
    """LaneDrain is said, what is under way acknowledged, the stream ended well; until it is back others are refused."""
    bridge = await start_bridge()
    ticks = history(2000)
    async with lane(bridge.port) as client, subscription(bridge.port) as call:
        await client.open("EURUSD")
        for piece in ticks.chunks(500):
            await client.send(piece)
        bridge.draining.set()
        while not client.ended:
            await client.read()
        assert client.drained
        assert await client.call.code() is grpc.StatusCode.OK
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await take(call, 2001)
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
        taken = await logged_ticks(log_of_ticks)
        assert taken[-1] == client.acked["EURUSD"]
        async with lane(bridge.port) as late:
            code, details = await late.refusal()
        assert code is grpc.StatusCode.UNAVAILABLE
        assert "another" in details
        bridge.draining.clear()
        async with lane(bridge.port) as again, subscription(bridge.port):
            await again.open("EURUSD")


async def test_a_lane_ends_when_the_agent_ends_it(start_bridge: StartBridge, log_of_ticks: Client) -> None:
    """A half-closed lane is acknowledged to the end and forgotten."""
    bridge = await start_bridge()
    ticks = history(100)
    async with lane(bridge.port, number=3) as client:
        await client.open("EURUSD")
        [known] = (await status(bridge.port)).lanes
        assert (known.agent, known.lane, known.symbols) == ("pc-1", 3, 1)
        await client.send(ticks)
        await client.call.done_writing()
        while not client.ended:
            await client.read()
        assert client.acked["EURUSD"] == ticks.last_id
        assert await client.call.code() is grpc.StatusCode.OK
    assert not (await status(bridge.port)).lanes


async def test_what_was_accepted_is_published_after_the_lane_broke(
    start_bridge: StartBridge, log_of_ticks: Client
) -> None:
    """A connection that dies loses nothing that the bridge had read."""
    bridge = await start_bridge()
    ticks = history(2000)
    async with lane(bridge.port) as client:
        await client.open("EURUSD")
        for piece in ticks.chunks(500):
            await client.send(piece)
        await client.until_acked(ticks.id_at(499))
    await eventually(lambda: quiet(bridge.port))
    taken = await logged_ticks(log_of_ticks)
    assert taken == identities(ticks)[: len(taken)]
    assert len(taken) >= 500


async def quiet(port: int) -> bool:
    return not (await status(port)).lanes
