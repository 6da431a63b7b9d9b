"""Source leases: one agent streams a symbol, others stand by and go on where the log ends."""

import asyncio
import signal

import pytest
from nats.aio.client import Client

from compose.embedded.nats import Nats
from tests.integration.services.data_bridge.agent import Agent, lane, status
from tests.integration.services.data_bridge.conftest import StartBridge
from tests.integration.services.data_bridge.test_program import program, reachable
from tests.integration.services.data_bridge.ticks import history, identities, logged_ticks
from tests.support import eventually, free_port

pytestmark = pytest.mark.integration

SOON = {"source_grace_ms": 50}


async def test_the_next_agent_goes_on_where_the_first_was_cut(start_bridge: StartBridge, log_of_ticks: Client) -> None:
    """Two agents at two bridges: the second stands by; when the first dies it is welcomed at the log's end."""
    bridges = [await start_bridge(instance=f"bridge-{n}", **SOON) for n in (1, 2)]
    ticks = history(900)
    async with lane(bridges[1].port, agent="pc-2") as second:
        async with lane(bridges[0].port, agent="pc-1") as first:
            await first.open("EURUSD")
            await second.send(opened=["EURUSD"])
            assert await second.until_standing_by() == "pc-1"
            known = [(await status(bridge.port)).symbols[0] for bridge in bridges]
            assert [(one.agent, list(one.standing_by)) for one in known] == [("pc-1", []), ("pc-1", ["pc-2"])]
            await first.send(ticks.slice(0, 300))
            await first.until_acked(ticks.id_at(299))
            await second.send(history(700))  # out of turn: neither taken nor answered
            for piece in ticks.slice(300, 600).chunks(100):
                await first.send(piece)
        start = ticks.index_after(await second.until_welcome())
        assert start >= 300
        await second.send(ticks.slice(start, 900))
        await second.until_acked(ticks.last_id)
    assert await logged_ticks(log_of_ticks) == identities(ticks)
    assert (await status(bridges[1].port)).symbols[0].conflicts == 0


async def test_an_agent_takes_its_own_lease_along(start_bridge: StartBridge, log_of_ticks: Client) -> None:
    """The same agent at another bridge streams there at once, with the old stream still open."""
    bridges = [await start_bridge(instance=f"bridge-{n}", source_grace_ms=60_000) for n in (1, 2)]
    ticks = history(600)
    async with lane(bridges[0].port) as old, lane(bridges[1].port, number=2) as new:
        await old.open("EURUSD")
        for piece in ticks.slice(0, 400).chunks(100):
            await old.send(piece)
        await new.open("EURUSD")
        assert await old.until_standing_by() == "pc-1"
        start = ticks.index_after(await new.until_welcome())
        await old.send(ticks.slice(start, start + 50))
        await new.send(ticks.slice(start, 600))
        await new.until_acked(ticks.last_id)
    assert await logged_ticks(log_of_ticks) == identities(ticks)


async def test_a_symbol_changes_hands_within_a_bridge(start_bridge: StartBridge, log_of_ticks: Client) -> None:
    """A closed symbol goes to the agent that waits; one that is opened again by its own agent stays."""
    bridge = await start_bridge(**SOON)
    async with lane(bridge.port) as first, lane(bridge.port, agent="pc-2") as second:
        await first.open("EURUSD")
        await second.send(opened=["EURUSD"])
        assert await second.until_standing_by() == "pc-1"
        await first.send(closed=["EURUSD"], opened=["EURUSD"])
        await first.send(closed=["EURUSD"])
        await second.until_welcome()
        await first.send(opened=["EURUSD"])
        assert await first.until_standing_by() == "pc-2"


async def test_a_bridge_that_stops_gives_its_leases_back(start_bridge: StartBridge, log_of_ticks: Client) -> None:
    """Agents told to move go on elsewhere, with publishes in flight, without gap or double."""
    bridges = [await start_bridge(instance=f"bridge-{n}") for n in (1, 2)]
    agent = Agent(history(30_000), chunk=50)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(agent.deliver(*(bridge.port for bridge in bridges)))
        await eventually(lambda: agent.acked > agent.ticks.id_at(5_000), interval_s=0.001)
        bridges[0].draining.set()
    assert agent.reconnects == 1
    assert await logged_ticks(log_of_ticks) == identities(agent.ticks)


async def test_paused_and_killed_bridges_are_taken_over_from(
    start_bridge: StartBridge, nats_engine: Nats, log_of_ticks: Client
) -> None:
    """A bridge that sleeps longer than its life loses its leases and publishes nothing late; a killed one too."""
    other = await start_bridge(instance="bridge-2", **SOON)
    ticks = history(2000)
    port = free_port()
    settings = ("--port", str(port), "--source-ttl-s", "1", "--source-grace-ms", "50")
    async with lane(other.port, agent="pc-2") as second:  # the program has no database to ask where the log begins
        await second.open("EURUSD")
        await second.send(ticks.slice(0, 50))
        await second.until_acked(ticks.id_at(49))
    async with program(nats_engine.url, *settings) as process:
        await eventually(lambda: reachable(port), 30)
        async with lane(port) as first:
            await first.open("EURUSD")
            await first.send(ticks.slice(50, 100))
            await first.until_acked(ticks.id_at(99))
            process.send_signal(signal.SIGSTOP)
            await first.send(ticks.slice(100, 1000))
            async with lane(other.port, agent="pc-2") as second:
                await second.open("EURUSD")
                await second.send(ticks.slice(100, 200))
                await second.until_acked(ticks.id_at(199))
                process.send_signal(signal.SIGCONT)
                assert await first.until_standing_by() == "pc-2"
                await second.send(ticks.slice(200, 1500))
                await second.until_acked(ticks.id_at(1499))
            assert await first.until_welcome() == ticks.id_at(1499)
            assert first.acked["EURUSD"] == ticks.id_at(99)
            process.kill()
        async with lane(other.port, agent="pc-2") as second:
            await second.open("EURUSD")
            await second.send(ticks.slice(1500, 2000))
            await second.until_acked(ticks.last_id)
    assert await logged_ticks(log_of_ticks) == identities(ticks)
