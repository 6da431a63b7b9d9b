"""StreamBars."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest
from nats.aio.client import Client
from suho.market.v1 import bar_pb2, bridge_pb2_grpc
from suho.market.v1 import bridge_pb2 as pb

from mesh.channel import direct_channel
from mesh.market import Batch
from mesh.market.bars import BarBuilder, TickCut, TimeCut
from tests.integration.services.data_bridge.conftest import KnownTicks, StartBridge
from tests.integration.services.data_bridge.test_feed import publish, refs
from tests.integration.services.data_bridge.ticks import SERVER, START_MSC, history

pytestmark = pytest.mark.integration

M1 = bar_pb2.BarSpec(timeframe=bar_pb2.TIMEFRAME_M1)
MINUTE_MS = 60_000


def seconds(count: int) -> Batch:
    """A tick each second."""
    return replace(history(count), time_msc=START_MSC + 1000 * np.arange(count), ordinal=np.zeros(count, np.uint32))


@asynccontextmanager
async def bars_of(port: int, **wants: Any) -> AsyncIterator[Any]:
    async with direct_channel([f"127.0.0.1:{port}"]) as channel:
        stub: bridge_pb2_grpc.BridgeServiceAsyncStub = bridge_pb2_grpc.BridgeServiceStub(channel)
        call = stub.StreamBars(pb.StreamBarsRequest(**{"symbols": refs("EURUSD"), "spec": M1, **wants}))
        await call.initial_metadata()
        yield call
        call.cancel()


async def take(call: Any, count: int) -> list[bar_pb2.Bar]:
    bars: list[bar_pb2.Bar] = []
    while len(bars) < count:
        async with asyncio.timeout(30):
            bars += (await call.read()).bars
    return bars


def facts(bar: bar_pb2.Bar) -> tuple[Any, ...]:
    return bar.open_msc, bar.close_msc, bar.open, bar.high, bar.low, bar.close, bar.ticks, bar.spread_min


async def test_the_forming_bar_is_complete_from_its_start(
    start_bridge: StartBridge, log_of_ticks: Client, known_ticks: KnownTicks
) -> None:
    """A subscriber that comes in the middle of a bar gets the whole bar, sees it grow, and gets it closed once."""
    bridge = await start_bridge(bars_interval_ms=1)
    ticks = seconds(200)
    known_ticks.history[SERVER, "EURUSD"] = ticks.slice(0, 70)
    await publish(log_of_ticks, ticks.slice(70, 80))
    async with bars_of(bridge.port) as call:
        (forming,) = await take(call, 1)
        assert (forming.open_msc, forming.ticks, forming.closed) == (START_MSC + MINUTE_MS, 20, False)
        assert (forming.symbol.server, forming.symbol.symbol, forming.spec) == (SERVER, "EURUSD", M1)
        await publish(log_of_ticks, ticks.slice(80, 90))
        (grown,) = await take(call, 1)
        assert (grown.open_msc, grown.ticks, grown.open, grown.closed) == (forming.open_msc, 30, forming.open, False)
        await publish(log_of_ticks, ticks.slice(90, 121))
        closed, following = await take(call, 2)
    assert (closed.open_msc, closed.ticks, closed.closed) == (forming.open_msc, 60, True)
    assert (following.open_msc, following.ticks, following.closed) == (START_MSC + 2 * MINUTE_MS, 1, False)


@pytest.mark.parametrize(
    ("spec", "cut"), [(M1, TimeCut("M1")), (bar_pb2.BarSpec(ticks=7), TickCut(7))], ids=["minutes", "ticks"]
)
async def test_closed_bars_come_once_from_the_past_on(
    start_bridge: StartBridge, log_of_ticks: Client, known_ticks: KnownTicks, spec: bar_pb2.BarSpec, cut: Any
) -> None:
    """Bars from history, log and live ticks are those that a builder makes of all ticks at once."""
    bridge = await start_bridge()
    ticks = seconds(1000)
    known_ticks.history[SERVER, "EURUSD"] = ticks.slice(0, 500)
    await publish(log_of_ticks, ticks.slice(500, 700))
    built = BarBuilder(cut).add(ticks)
    start = START_MSC + 90_000 if cut == TickCut(7) else 1
    early = int(np.searchsorted(built.open_msc, start))
    expected = built.slice(early, built.closed)
    async with bars_of(bridge.port, spec=spec, from_msc=start, closed_only=True) as call:
        for piece in ticks.slice(700, 1000).chunks(33):
            await publish(log_of_ticks, piece)
        bars = await take(call, len(expected))
    assert all(bar.closed for bar in bars)
    columns = ("open_msc", "close_msc", "open", "high", "low", "close", "ticks", "spread_min")
    rows = zip(*(getattr(expected, name).tolist() for name in columns), strict=True)
    assert [facts(bar) for bar in bars] == list(rows)


async def test_a_growing_bar_comes_no_more_often_than_the_interval(
    start_bridge: StartBridge, log_of_ticks: Client
) -> None:
    """Many ticks are one new state of the bar."""
    bridge = await start_bridge(bars_interval_ms=50)
    ticks = history(2000)
    await publish(log_of_ticks, ticks.slice(0, 1))
    states: list[bar_pb2.Bar] = []
    began = time.monotonic()
    async with bars_of(bridge.port) as call:
        for piece in ticks.slice(1, 2000).chunks(10):
            await publish(log_of_ticks, piece)
        while not states or states[-1].ticks < len(ticks):
            states += await take(call, 1)
    intervals = (time.monotonic() - began) / 0.05
    assert len(states) <= intervals + 2


@pytest.mark.parametrize(
    ("wants", "says"),
    [
        ({"symbols": []}, "name each one"),
        ({"symbols": refs("")}, "name each one"),
        ({"spec": bar_pb2.BarSpec()}, "spec is empty"),
        ({"from_msc": -5}, "milliseconds"),
    ],
)
async def test_bars_that_can_not_be_made_are_refused(
    start_bridge: StartBridge, log_of_ticks: Client, wants: dict[str, Any], says: str
) -> None:
    """The refusal says what to do instead."""
    bridge = await start_bridge()
    async with bars_of(bridge.port, **wants) as call:
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert says in await call.details()
