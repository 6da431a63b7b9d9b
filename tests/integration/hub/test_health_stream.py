"""The health history in JetStream: shared by all hubs, each event once, and in nobody's way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from compose.embedded.nats import Nats
from hub.domain.history import KEPT_OF_ONE, HealthEvent, HistoryAwayError
from hub.domain.status import Status
from hub.health.history import STREAM, StreamHistory
from mesh.bus import open_bus
from mesh.clock import unix_ms
from tests.support.proxy import cuttable_proxy
from tests.support.streams import delete_stream
from tests.support.waiting import eventually, free_port

pytestmark = pytest.mark.integration


def event(instance_id: str, number: int, key: str = "") -> HealthEvent:
    at = unix_ms() + number
    return HealthEvent(key or f"{instance_id}/{at}", instance_id, at, "hub-1", Status.DOWN, "why", 3, 2, 1.5, "error")


@asynccontextmanager
async def history(url: str, timeout_s: float = 5) -> AsyncIterator[StreamHistory]:
    async with open_bus(url, "test") as bus, asyncio.TaskGroup() as tasks:
        made = StreamHistory(bus, timeout_s)
        running = tasks.create_task(made.run())
        yield made
        running.cancel()


async def holds(kept: StreamHistory, instance_id: str, wanted: list[HealthEvent]) -> bool:
    """Whether these are its events; while nobody answers, it is not known."""
    try:
        return await kept.read(instance_id, 0) == wanted
    except HistoryAwayError:
        return False


async def test_what_one_hub_notes_every_hub_reads_and_an_event_told_twice_is_one(nats_engine: Nats) -> None:
    """Whatever letters an id has; from a time on, if one is asked for."""
    async with history(nats_engine.url) as one, history(nats_engine.url) as other:
        told = [event("a..b", number) for number in range(3)]
        for item in told:
            one.note(item)
            other.note(item)
        one.note(event("a", 0))

        await eventually(lambda: holds(other, "a..b", told))
        assert await one.read("a..b", told[1].unix_ms) == told[1:]
        assert await one.read("nobody", 0) == []


async def test_the_stream_is_bounded_and_a_noisy_instance_takes_nothing_from_the_others(nats_engine: Nats) -> None:
    """By age, by size, and by instance; a stream of other bounds is brought up to date."""
    async with open_bus(nats_engine.url, "test") as bus:
        await delete_stream(nats_engine, bus, STREAM)
        await bus.jetstream().add_stream(name=STREAM, subjects=["suho.health.*"], max_age=7)
        async with history(nats_engine.url) as kept:
            kept.note(event("echo-1", 0))

            async def bounded() -> bool:
                config = (await bus.jetstream().stream_info(STREAM)).config
                return (config.max_age, config.max_msgs_per_subject) == (24 * 3600, KEPT_OF_ONE)

            await eventually(bounded)


async def test_without_nats_noting_costs_nothing_and_reading_says_so(nats_engine: Nats) -> None:
    """What was noted meanwhile is kept when NATS is back."""
    port = free_port()
    async with cuttable_proxy(port, nats_engine.port) as proxy:
        url = nats_engine.url.replace(f":{nats_engine.port}", f":{port}")
        async with history(url, timeout_s=0.5) as kept:
            kept.note(before := event("cut-1", 0))

            await eventually(lambda: holds(kept, "cut-1", [before]))
            proxy.silent = True
            kept.note(meanwhile := event("cut-1", 1))
            with pytest.raises(HistoryAwayError, match="does not answer"):
                await kept.read("cut-1", 0)
            proxy.silent = False
            proxy.cut_one()
            await eventually(lambda: holds(kept, "cut-1", [before, meanwhile]))
