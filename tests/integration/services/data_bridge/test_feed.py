"""Live ticks: for programs as columns, for people one by one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
import pytest
from nats.aio.client import Client
from nats.js.errors import APIError
from suho.market.v1 import bridge_pb2 as pb
from suho.market.v1 import bridge_pb2_grpc, tick_pb2

from compose.embedded.nats import Nats
from mesh.bus import open_bus
from mesh.channel import direct_channel
from mesh.draining import Draining
from mesh.errors import MeshError
from mesh.market import Batch, codec
from mesh.market.subjects import tick_subject
from services.data_bridge.domain.progress import SymbolKey
from services.data_bridge.feed import Feed
from services.data_bridge.feed_history import TickHistory
from services.data_bridge.jetstream import TickLog
from services.data_bridge.subscription import Subscription
from services.data_bridge.tick_message import TickMessage, UnreadableMessages, read_message
from tests.integration.services.data_bridge.agent import Agent
from tests.integration.services.data_bridge.conftest import StartBridge
from tests.integration.services.data_bridge.ticks import SERVER, history, identities
from tests.support import eventually

pytestmark = pytest.mark.integration


def refs(*symbols: str) -> list[tick_pb2.SymbolRef]:
    return [tick_pb2.SymbolRef(symbol=symbol) for symbol in symbols]


@asynccontextmanager
async def subscription(port: int, *symbols: str, **wants: Any) -> AsyncIterator[Any]:
    """A Subscribe call that misses nothing from here on; `wants` are fields of its request."""
    async with direct_channel([f"127.0.0.1:{port}"]) as channel:
        subscribe: Any = channel.unary_stream(
            "/suho.market.v1.BridgeService/Subscribe",
            request_serializer=pb.SubscribeRequest.SerializeToString,
            response_deserializer=pb.SubscribeResponseTwin.FromString,
        )
        call = subscribe(pb.SubscribeRequest(symbols=refs(*symbols), **wants))
        await call.initial_metadata()
        yield call
        call.cancel()


async def take(call: Any, count: int) -> list[Batch]:
    """Batches until `count` ticks have come."""
    batches: list[Batch] = []
    while sum(len(batch) for batch in batches) < count:
        async with asyncio.timeout(30):
            response = await call.read()
        batches += [codec.decode(message) for message in response.batches]
    return batches


def message_of(batch: Batch) -> bytes:
    return tick_pb2.TickBatchTwin(**codec.fields(batch)).SerializeToString()


async def publish(bus: Client, batch: Batch) -> None:
    await bus.jetstream().publish(tick_subject(batch.server, batch.symbol), message_of(batch))


async def refuse(bus: Client, batch: Batch) -> None:
    """What a bridge that was thought dead publishes late: the log refuses it, subscribers hear it."""
    headers = {"Nats-Expected-Last-Subject-Sequence": "1000000"}
    with pytest.raises(APIError):
        await bus.jetstream().publish(tick_subject(batch.server, batch.symbol), message_of(batch), headers=headers)


async def test_a_subscriber_sees_every_tick_once_whichever_bridge_wrote_it(
    start_bridge: StartBridge, log_of_ticks: Client
) -> None:
    """An agent moves between two bridges, old messages come late; a subscriber gets the ticks once, in order."""
    bridges = [await start_bridge(instance=f"bridge-{n}") for n in (1, 2)]
    agent = Agent(history(6000), chunk=60)
    async with subscription(bridges[0].port, "EURUSD") as call, asyncio.TaskGroup() as tasks:
        delivery = tasks.create_task(agent.deliver(*(bridge.port for bridge in bridges)))
        for share in (0.2, 0.5, 0.8):
            goal = int(share * len(agent.ticks))
            reached = agent.ticks.id_at(goal)
            await eventually(lambda reached=reached: agent.acked > reached or delivery.done(), interval_s=0.001)
            agent.cut()
            await refuse(log_of_ticks, agent.ticks.slice(goal - 500, goal + 30))
        seen = await take(call, len(agent.ticks))
    assert identities(*seen) == identities(agent.ticks)


async def test_a_subscriber_gets_only_what_it_asked_for(start_bridge: StartBridge, log_of_ticks: Client) -> None:
    """Symbols are filtered; none named means all."""
    bridge = await start_bridge()
    async with subscription(bridge.port, "EURUSD", "XAU.USD") as some, subscription(bridge.port) as every:
        for symbol in ("GBPUSD", "EURUSD", "XAU.USD"):
            await publish(log_of_ticks, history(10, symbol))
        assert {batch.symbol for batch in await take(some, 20)} == {"EURUSD", "XAU.USD"}
        assert {batch.symbol for batch in await take(every, 30)} == {"EURUSD", "XAU.USD", "GBPUSD"}


async def test_what_a_subscriber_missed_comes_from_the_log(log_of_ticks: Client) -> None:
    """A message that begins beyond what came before it is preceded by what lies between."""
    ticks = history(3000)
    pieces = list(ticks.chunks(100))
    for piece in pieces:
        await publish(log_of_ticks, piece)
        await publish(log_of_ticks, history(2, f"N{piece.first_id.time_msc}"))
    seen: list[Batch] = []
    async with direct_channel(["127.0.0.1:1"]) as nobody:
        following = Subscription(TickHistory(TickLog(log_of_ticks, 2.0), nobody, UnreadableMessages()), 1 << 24)
        for piece in (pieces[3], pieces[20], pieces[10], pieces[29]):
            following.hear(read_message(SymbolKey(SERVER, "EURUSD"), message_of(piece)))
        while sum(len(batch) for batch in seen) < 2700:
            seen += [message.decode() for message in (await following.read()).messages]
    assert identities(*seen) == identities(ticks.slice(300, 3000))


async def test_a_subscriber_that_does_not_read_is_paused_and_loses_nothing(
    start_bridge: StartBridge, log_of_ticks: Client
) -> None:
    """What waits for a subscriber is bounded; beyond it the log waits for it."""
    bridge = await start_bridge(subscriber_bytes=1 << 16)
    ticks = history(200_000)
    async with subscription(bridge.port, "EURUSD") as call:
        for piece in ticks.slice(0, 190_000).chunks(2000):
            await publish(log_of_ticks, piece)
        seen = await take(call, 190_000)
        await publish(log_of_ticks, ticks.slice(190_000, 200_000))
        seen += await take(call, 10_000)
    assert np.array_equal(np.concatenate([batch.time_msc for batch in seen]), ticks.time_msc)
    assert np.array_equal(np.concatenate([batch.ordinal for batch in seen]), ticks.ordinal)


async def test_a_foreign_message_ends_no_subscription(start_bridge: StartBridge, log_of_ticks: Client) -> None:
    """What no bridge wrote is skipped, live and in the log."""
    bridge = await start_bridge()
    ticks = history(30)
    async with subscription(bridge.port) as call:
        for subject in ("ticks.twin-1.EURUSD", "ticks.twin-1", "ticks.a.b.c", "ticks.=FF.EURUSD"):
            await log_of_ticks.jetstream().publish(subject, b"hello")
        await publish(log_of_ticks, ticks.slice(0, 10))
        seen = await take(call, 10)
        # Lost on the way: it is read from the log, among foreign ones.
        await log_of_ticks.jetstream().publish("ticks.twin-1.EURUSD", message_of(history(3, "GBPUSD")))
        await publish(log_of_ticks, ticks.slice(20, 30))
        await log_of_ticks.jetstream().publish("ticks.twin-1.EURUSD", message_of(ticks.slice(10, 20))[:-1])
        seen += await take(call, 10)
    assert identities(*seen) == identities(ticks.slice(0, 10), ticks.slice(20, 30))


class Ear:
    """Hears."""

    def __init__(self) -> None:
        self.heard = asyncio.Event()

    def hear(self, message: TickMessage) -> None:
        self.heard.set()

    def end(self, failure: MeshError) -> None:
        """Nothing to end."""


async def test_nothing_is_missed_from_the_first_moment(nats_engine: Nats, log_of_ticks: Client) -> None:
    """Who listens hears what another connection publishes right then."""
    async with open_bus(nats_engine.url, "feed") as bus:
        feed = Feed(bus, UnreadableMessages(), Draining())
        for _ in range(200):
            ear = Ear()
            async with feed.listening(ear, [SymbolKey(SERVER, "EURUSD")]):
                await publish(log_of_ticks, history(1))
                async with asyncio.timeout(30):
                    await ear.heard.wait()


async def tail(port: int, symbol: str, limit: int, then: Any = None) -> list[tick_pb2.Tick]:
    async with direct_channel([f"127.0.0.1:{port}"]) as channel:
        stub: bridge_pb2_grpc.BridgeServiceAsyncStub = bridge_pb2_grpc.BridgeServiceStub(channel)
        call = stub.TailTicks(pb.TailTicksRequest(symbols=refs(symbol), limit=limit), timeout=30)
        await call.initial_metadata()
        if then is not None:
            await then
        return [response.tick async for response in call]


async def test_people_read_ticks_one_by_one(start_bridge: StartBridge, log_of_ticks: Client) -> None:
    """TailTicks gives readable ticks and ends after `limit` of them."""
    bridge = await start_bridge()
    ticks = history(20)
    await publish(log_of_ticks, ticks.slice(0, 10))
    seen = await tail(bridge.port, "EURUSD", 7, publish(log_of_ticks, ticks.slice(10, 20)))
    assert [(tick.id.time_msc, tick.id.ordinal) for tick in seen] == identities(ticks.slice(10, 17))
    assert np.array_equal([tick.ask for tick in seen], ticks.ask[10:17])
    assert {(tick.server, tick.symbol, tick.flags) for tick in seen} == {(SERVER, "EURUSD", 6)}


async def test_a_symbol_that_nobody_knows_is_an_error_for_people(
    start_bridge: StartBridge, log_of_ticks: Client
) -> None:
    """A misspelled symbol is not a silent market."""
    bridge = await start_bridge()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await tail(bridge.port, "EURUDS", 1)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert "EURUDS" in (refused.value.details() or "")


async def test_a_name_too_long_for_the_bus_is_refused(start_bridge: StartBridge, log_of_ticks: Client) -> None:
    """NATS would end the connection of a bridge that asked for it; the bridge serves on."""
    bridge = await start_bridge()
    async with direct_channel([f"127.0.0.1:{bridge.port}"]) as channel:
        stub: bridge_pb2_grpc.BridgeServiceAsyncStub = bridge_pb2_grpc.BridgeServiceStub(channel)
        long = refs("x" * 5000)
        calls: list[Any] = [
            stub.Subscribe(pb.SubscribeRequest(symbols=long), timeout=30),
            stub.TailTicks(pb.TailTicksRequest(symbols=long), timeout=30),
        ]
        assert [await call.code() for call in calls] == [grpc.StatusCode.INVALID_ARGUMENT] * 2
        await stub.GetBridgeStatus(pb.GetBridgeStatusRequest(), timeout=30)
