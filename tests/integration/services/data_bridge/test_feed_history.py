"""Subscribers that begin in the past, fall behind, or want only the newest."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest
from nats.aio.client import Client
from suho.market.v1 import bridge_pb2 as pb
from suho.market.v1 import bridge_pb2_grpc

from mesh.channel import direct_channel
from mesh.market import Batch, TickId, codec
from mesh.market.subjects import TICKS_STREAM, tick_subject
from tests.integration.services.data_bridge.conftest import KnownTicks, StartBridge
from tests.integration.services.data_bridge.test_feed import publish, refs, subscription, take
from tests.integration.services.data_bridge.ticks import SERVER, START_MSC, history, identities

pytestmark = pytest.mark.integration

KEY = (SERVER, "EURUSD")


async def leave_log(bus: Client, keep: int) -> None:
    """All but the newest `keep` messages of EURUSD leave the log."""
    await bus.jetstream().purge_stream(TICKS_STREAM, subject=tick_subject(*KEY), keep=keep)


async def take_until_live(call: Any, symbols: int = 1) -> tuple[list[Batch], list[str]]:
    """What comes until so many symbols are live, and the servers of those."""
    batches: list[Batch] = []
    live: list[str] = []
    while len(live) < symbols:
        async with asyncio.timeout(30):
            response = await call.read()
        batches += [codec.decode(message) for message in response.batches]
        live += [ref.server for ref in response.live]
    return batches, live


async def test_a_subscriber_begins_in_the_past_and_goes_on_live(
    start_bridge: StartBridge, log_of_ticks: Client, known_ticks: KnownTicks
) -> None:
    """From the store, then from the log, then live: each tick once, in order; it is told when that is so."""
    bridge = await start_bridge()
    ticks = history(9000)
    known_ticks.history[KEY] = ticks.slice(0, 6000)
    for piece in ticks.slice(0, 8000).chunks(100):
        await publish(log_of_ticks, piece)
    await leave_log(log_of_ticks, 30)
    start = START_MSC + 1000
    async with subscription(bridge.port, "EURUSD", from_msc=start) as call:
        seen, live = await take_until_live(call)
        assert live == [SERVER]
        assert identities(*seen) == identities(ticks.slice(3000, 8000))
        await publish(log_of_ticks, ticks.slice(8000, 9000))
        seen = await take(call, 1000)
    assert identities(*seen) == identities(ticks.slice(8000, 9000))


async def test_ticks_that_come_during_the_replay_are_not_lost(
    start_bridge: StartBridge, log_of_ticks: Client, known_ticks: KnownTicks
) -> None:
    """Where the past ends and the live ticks begin nothing is missing and nothing comes twice."""
    bridge = await start_bridge()
    ticks = history(60_000)
    known_ticks.history[KEY] = ticks.slice(0, 30_000)
    await publish(log_of_ticks, ticks.slice(29_900, 30_000))
    async with subscription(bridge.port, "EURUSD", from_msc=1) as call, asyncio.TaskGroup() as tasks:

        async def go_on() -> None:
            for piece in ticks.slice(30_000, 60_000).chunks(50):
                await publish(log_of_ticks, piece)

        tasks.create_task(go_on())
        seen = await take(call, len(ticks))
    assert np.array_equal(np.concatenate([batch.time_msc for batch in seen]), ticks.time_msc)
    assert np.array_equal(np.concatenate([batch.ordinal for batch in seen]), ticks.ordinal)
    assert [batch.prev for batch in seen[1:]] == [batch.last_id for batch in seen[:-1]]


async def test_what_left_the_log_meanwhile_comes_from_the_store(
    start_bridge: StartBridge, log_of_ticks: Client, known_ticks: KnownTicks
) -> None:
    """A subscriber that was paused so long that the log forgot gets its ticks all the same."""
    bridge = await start_bridge(subscriber_bytes=1 << 16)
    ticks = history(200_000)
    known_ticks.history[KEY] = ticks.slice(0, 199_000)
    async with subscription(bridge.port, "EURUSD") as call:
        for piece in ticks.chunks(1000):
            await publish(log_of_ticks, piece)
        await leave_log(log_of_ticks, 1)
        seen = await take(call, len(ticks))
    assert known_ticks.history_calls > 0
    assert np.array_equal(np.concatenate([batch.time_msc for batch in seen]), ticks.time_msc)


async def test_the_past_waits_for_a_store_that_is_away(
    start_bridge: StartBridge, log_of_ticks: Client, known_ticks: KnownTicks
) -> None:
    """Who asked for the past gets it when the store is back; others get live ticks meanwhile."""
    bridge = await start_bridge()
    ticks = history(100)
    known_ticks.history[KEY] = ticks
    known_ticks.history_is_away = True
    await publish(log_of_ticks, history(10, "GBPUSD"))
    async with subscription(bridge.port, "EURUSD", from_msc=1) as call, subscription(bridge.port, "GBPUSD") as other:
        live = history(10, "GBPUSD", START_MSC + 9_000_000, history(10).last_id)
        await publish(log_of_ticks, live)
        assert identities(*await take(other, 10)) == identities(live)
        known_ticks.history_is_away = False
        assert identities(*await take(call, 100)) == identities(ticks)


async def test_a_symbol_of_two_servers_is_replayed_from_both(
    start_bridge: StartBridge, log_of_ticks: Client, known_ticks: KnownTicks
) -> None:
    """No server means every one that is known; each has a past of its own."""
    bridge = await start_bridge()
    ticks = history(20)
    for server in (SERVER, "replay-2"):
        known_ticks.history[server, "EURUSD"] = replace(ticks, server=server)
        await publish(log_of_ticks, replace(ticks, server=server))
    async with subscription(bridge.port, "EURUSD", from_msc=START_MSC) as call:
        seen, live = await take_until_live(call, symbols=2)
    assert sorted(live) == ["replay-2", SERVER]
    for server in live:
        assert identities(*(batch for batch in seen if batch.server == server)) == identities(ticks)


@pytest.mark.parametrize(
    ("symbols", "wants", "says"),
    [
        ((), {"from_msc": 1}, "name each one"),
        (("",), {"from_msc": 1}, "name each one"),
        (("EURUSD",), {"from_msc": -1}, "milliseconds"),
        (("EURUSD",), {"from_msc": 1, "conflation": pb.Conflation()}, "leave out"),
    ],
)
async def test_a_past_that_can_not_be_asked_for_is_refused(
    start_bridge: StartBridge, log_of_ticks: Client, symbols: tuple[str, ...], wants: dict[str, Any], says: str
) -> None:
    """The refusal says what to do instead."""
    bridge = await start_bridge()
    async with direct_channel([f"127.0.0.1:{bridge.port}"]) as channel:
        stub: bridge_pb2_grpc.BridgeServiceAsyncStub = bridge_pb2_grpc.BridgeServiceStub(channel)
        call: Any = stub.Subscribe(pb.SubscribeRequest(symbols=refs(*symbols), **wants), timeout=30)
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert says in await call.details()


async def test_a_conflated_subscriber_gets_the_newest_and_hears_what_it_missed(
    start_bridge: StartBridge, log_of_ticks: Client
) -> None:
    """One tick of each symbol at a time, the last one in the end, and every other counted."""
    bridge = await start_bridge()
    ticks = {symbol: history(20_000, symbol) for symbol in ("EURUSD", "GBPUSD")}
    got = dict.fromkeys(ticks, 0)
    missed = dict.fromkeys(ticks, 0)
    newest: dict[str, TickId] = {}
    began = time.monotonic()
    async with subscription(bridge.port, *ticks, conflation=pb.Conflation(interval_ms=20)) as call:
        for start in range(0, 20_000, 200):
            for batch in ticks.values():
                await publish(log_of_ticks, batch.slice(start, start + 200))
        while any(newest.get(symbol) != batch.last_id for symbol, batch in ticks.items()):
            async with asyncio.timeout(30):
                response = await call.read()
            for batch in map(codec.decode, response.batches):
                assert len(batch) == 1
                got[batch.symbol] += 1
                newest[batch.symbol] = batch.last_id
            for item in response.missed:
                missed[item.symbol.symbol] += item.ticks
    intervals = (time.monotonic() - began) / 0.02
    for symbol in ticks:
        assert got[symbol] + missed[symbol] == 20_000
        assert got[symbol] <= intervals + 2, "more came than one in 20 ms"
