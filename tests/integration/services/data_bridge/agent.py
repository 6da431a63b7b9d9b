"""An agent for tests: one lane by hand, and one that keeps at it until everything is durable."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
from suho.market.v1 import bridge_pb2 as pb
from suho.market.v1 import bridge_pb2_grpc, tick_pb2

from mesh.channel import direct_channel
from mesh.market import BEFORE_FIRST, Batch, TickId, codec
from tests.integration.services.data_bridge.ticks import SERVER

STREAM_TICKS = "/suho.market.v1.BridgeService/StreamTicks"


def request(*batches: Batch, opened: Sequence[str] = (), closed: Sequence[str] = ()) -> pb.StreamTicksRequestTwin:
    return pb.StreamTicksRequestTwin(
        open=[tick_pb2.SymbolRef(server=SERVER, symbol=symbol) for symbol in opened],
        close=[tick_pb2.SymbolRef(server=SERVER, symbol=symbol) for symbol in closed],
        batches=[tick_pb2.TickBatchTwin(**codec.fields(batch)) for batch in batches],
    )


class LaneEndedError(Exception):
    """The bridge ended the stream."""


class LaneClient:
    """A lane driven by hand; what the bridge answered, by symbol."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.welcome: dict[str, pb.Welcome] = {}
        self.acked: dict[str, TickId] = {}
        self.out_of_sync: list[TickId] = []
        self.stand_by: dict[str, str] = {}
        self.drained = False
        self.ended = False

    async def send(self, *batches: Batch, **symbols: Sequence[str]) -> None:
        await self.call.write(request(*batches, **symbols).SerializeToString())

    async def open(self, *symbols: str) -> None:
        for symbol in symbols:
            self.welcome.pop(symbol, None)
        await self.send(opened=symbols)
        while not self.welcome.keys() >= set(symbols):
            await self.read()
            if self.ended:
                raise LaneEndedError(await self.call.details())

    async def until_standing_by(self, symbol: str = "EURUSD") -> str:
        """For whom."""
        while symbol not in self.stand_by:
            await self.read()
        return self.stand_by[symbol]

    async def until_welcome(self, symbol: str = "EURUSD") -> TickId:
        """Where it is to go on."""
        while symbol not in self.welcome:
            await self.read()
        return last_of(self.welcome[symbol])

    async def read(self) -> None:
        async with asyncio.timeout(30):
            response = await self.call.read()
        if response is grpc.aio.EOF:
            self.ended = True
            return
        for welcome in response.welcome:
            self.welcome[welcome.symbol.symbol] = welcome
            self.stand_by.pop(welcome.symbol.symbol, None)
        for told in response.stand_by:
            self.stand_by[told.symbol.symbol] = told.holder
            self.welcome.pop(told.symbol.symbol, None)
        for ack in response.acks:
            self.acked[ack.symbol.symbol] = TickId(ack.last.time_msc, ack.last.ordinal)
        self.out_of_sync += [TickId(o.cursor.time_msc, o.cursor.ordinal) for o in response.out_of_sync]
        self.drained = self.drained or response.HasField("drain")

    async def until_acked(self, last: TickId, symbol: str = "EURUSD") -> None:
        while self.acked.get(symbol, BEFORE_FIRST) < last:
            await self.read()
            if self.ended:
                raise LaneEndedError(await self.call.details())

    async def refusal(self) -> tuple[grpc.StatusCode, str]:
        """How the bridge ended the stream."""
        async with asyncio.timeout(30):
            return await self.call.code(), await self.call.details()


@asynccontextmanager
async def lane(port: int, number: int = 1, agent: str = "pc-1") -> AsyncIterator[LaneClient]:
    """A lane that has said hello."""
    async with direct_channel([f"127.0.0.1:{port}"]) as channel:
        call: Any = channel.stream_stream(STREAM_TICKS, response_deserializer=pb.StreamTicksResponse.FromString)()
        client = LaneClient(call)
        await call.write(pb.StreamTicksRequestTwin(hello=pb.LaneHello(agent=agent, lane=number)).SerializeToString())
        yield client
        call.cancel()


class Agent:
    """Delivers a symbol's history over whatever bridges there are, as the contract says: it rewinds when told,
    reconnects when cut, and keeps nothing but what the terminal remembers."""

    def __init__(self, ticks: Batch, chunk: int = 100) -> None:
        self.ticks = ticks
        self.chunk = chunk
        self.acked = BEFORE_FIRST
        self.reconnects = -1
        self._call: Any = None

    @property
    def done(self) -> bool:
        """Everything is durable."""
        return self.acked >= self.ticks.last_id

    def cut(self) -> None:
        """The connection dies."""
        if self._call is not None:
            self._call.cancel()

    async def deliver(self, *ports: int) -> None:
        while not self.done:
            self.reconnects += 1
            port = ports[self.reconnects % len(ports)]
            try:
                async with lane(port) as client:
                    self._call = client.call
                    await client.open(self.ticks.symbol)
                    await self._feed(client)
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError, LaneEndedError):
                continue
            except asyncio.CancelledError:  # the call's, unless it is the test that ends
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise

    async def _feed(self, client: LaneClient) -> None:
        symbol = self.ticks.symbol
        sent = last_of(client.welcome[symbol])
        under_way: list[TickId] = []
        while not self.done:
            start = self.ticks.index_after(sent)
            if start < len(self.ticks) and len(under_way) < 8:
                piece = self.ticks.slice(start, min(start + self.chunk, len(self.ticks)))
                await client.send(piece)
                sent = piece.last_id
                under_way.append(sent)
                continue
            told = len(client.out_of_sync)
            await client.read()
            if client.ended:
                raise LaneEndedError
            self.acked = max(self.acked, client.acked.get(symbol, BEFORE_FIRST))
            under_way = [last for last in under_way if last > self.acked]
            if len(client.out_of_sync) > told:
                sent, under_way = client.out_of_sync[-1], []


def last_of(welcome: pb.Welcome) -> TickId:
    return TickId(welcome.last.time_msc, welcome.last.ordinal)


async def status(port: int) -> pb.GetBridgeStatusResponse:
    async with direct_channel([f"127.0.0.1:{port}"]) as channel:
        stub: bridge_pb2_grpc.BridgeServiceAsyncStub = bridge_pb2_grpc.BridgeServiceStub(channel)
        return await stub.GetBridgeStatus(pb.GetBridgeStatusRequest(), timeout=30)
