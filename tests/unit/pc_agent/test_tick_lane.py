"""A tick lane against a bridge that the test plays."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from suho.market.v1 import bridge_pb2 as pb
from suho.market.v1 import tick_pb2

from mesh.market import TickId
from pc_agent.domain.symbol_feed import SymbolFeed
from pc_agent.ticks import tick_lane
from pc_agent.ticks.tick_lane import TickLane
from tests.support import eventually
from tests.unit.pc_agent.domain.test_symbol_feed import ticks

SYMBOL = tick_pb2.SymbolRef(server="s", symbol="EURUSD")
CURSOR = TickId(1_580_515_000_000, 0)


class Call:
    """A stream that takes everything and says what `answers` holds."""

    def __init__(self) -> None:
        self.answers: asyncio.Queue[Any] = asyncio.Queue()
        self.requests: list[pb.StreamTicksRequestTwin] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def write(self, request: pb.StreamTicksRequestTwin) -> None:
        self.requests.append(request)
        await asyncio.sleep(0)
        await self.gate.wait()

    async def initial_metadata(self) -> Any:
        return grpc.aio.Metadata(("suho-instance", "data-bridge-1"))

    async def read(self) -> Any:
        return await self.answers.get()

    async def done_writing(self) -> None:
        await self.answers.put(grpc.aio.EOF)

    def cancel(self) -> None:
        return None

    async def welcome(self, last: TickId, bid: float, ask: float) -> None:
        place = tick_pb2.TickId(time_msc=last.time_msc, ordinal=last.ordinal)
        await self.answers.put(
            pb.StreamTicksResponse(welcome=[pb.Welcome(symbol=SYMBOL, last=place, bid=bid, ask=ask)])
        )


class Channel:
    """Every stream that the lane opens."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def stream_stream(self, *_: Any, **__: Any) -> Any:
        return self._open

    def _open(self) -> Call:
        self.calls.append(Call())
        return self.calls[-1]


class Terminal:
    """Is told what to read, and reads nothing by itself."""

    def __init__(self) -> None:
        self.commands: list[Any] = []

    def send(self, _: str, command: Any) -> None:
        self.commands.append(command)


@asynccontextmanager
async def welcomed_lane(bid: float = 1.1, ask: float = 1.2) -> AsyncIterator[tuple[TickLane, SymbolFeed, Channel]]:
    """A running lane whose one symbol was welcomed at CURSOR."""
    channel: Any = Channel()
    terminal: Any = Terminal()
    lane = TickLane(1, channel, "a", terminal)
    feed = SymbolFeed("s", "EURUSD", "a")
    lane.add(feed)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(lane.run())
        await eventually(lambda: channel.calls)
        await channel.calls[0].welcome(CURSOR, bid, ask)
        await eventually(lambda: feed.welcomed)
        yield lane, feed, channel
        running.cancel()


async def test_a_bridge_that_acknowledges_nothing_is_left_though_ticks_go_on_coming(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The lane asks again how far the bridge got, however busy the market is."""
    monkeypatch.setattr(tick_lane, "_STALLED_S", 0.2)
    async with welcomed_lane() as (lane, feed, channel):

        def goes_on() -> bool:
            feed.offer(ticks(feed, 1, feed.read_last.time_msc + 1))
            lane.wake()
            return len(channel.calls) > 1

        await eventually(goes_on, interval_s=0.01)


async def test_history_goes_behind_live_ticks_and_neither_starves() -> None:
    """While both wait, messages of one kind follow on those of the other; alone, history goes on."""
    async with welcomed_lane() as (lane, feed, channel):
        call = channel.calls[0]
        symbol = tick_pb2.SymbolRef(server="s", symbol="EURUSD")
        refused = pb.HistoryRequest(symbol=symbol, question=pb.HISTORY_QUESTION_DIGEST)
        call.requests.clear()
        call.gate.clear()
        feed.offer(ticks(feed, 7_000, CURSOR.time_msc + 1))
        await call.answers.put(pb.StreamTicksResponse(history=[refused] * 6))
        lane.wake()
        call.gate.set()
        await eventually(lambda: sum(len(request.answers) for request in call.requests) == 6)
    kinds = ["live" if request.batches else "history" for request in call.requests]
    assert kinds == ["live", "history"] * 4 + ["history"] * 2


async def test_a_symbol_is_opened_when_the_stream_stands() -> None:
    """The hello names none: while it is under way a symbol may go to another lane."""
    async with welcomed_lane() as (_, __, channel):
        requests = channel.calls[0].requests
    assert requests[0].HasField("hello")
    assert not requests[0].open
    assert [ref.symbol for ref in requests[1].open] == ["EURUSD"]
