"""An agent with a terminal of its own: streams what it had, and answers about what it has now."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from suho.market.v1 import bridge_pb2 as pb
from suho.market.v1 import tick_pb2

from mesh.channel import direct_channel
from mesh.market import Batch, TickId, codec
from mesh.market.digest import digests
from services.data_bridge import wire
from services.data_bridge.domain.repair import select
from tests.integration.services.data_bridge.agent import STREAM_TICKS
from tests.integration.services.data_bridge.ticks import SERVER


@dataclass
class Terminal:
    """The ticks of each symbol: as they were streamed, and as the history has them now."""

    streamed: dict[str, Batch]
    history: dict[str, Batch] = field(default_factory=dict)
    asked: int = 0
    silent: bool = False
    call: Any = None

    def __post_init__(self) -> None:
        self.history = {**self.streamed, **self.history}

    @asynccontextmanager
    async def streaming(self, port: int, agent: str = "pc-1") -> AsyncIterator[None]:
        """A lane on which everything was streamed and acknowledged, and questions are answered."""
        async with direct_channel([f"127.0.0.1:{port}"]) as channel, asyncio.TaskGroup() as tasks:
            self.call = channel.stream_stream(STREAM_TICKS, response_deserializer=pb.StreamTicksResponse.FromString)()
            await self.call.write(
                pb.StreamTicksRequestTwin(
                    hello=pb.LaneHello(agent=agent, lane=1), open=[_ref(symbol) for symbol in self.streamed]
                ).SerializeToString()
            )
            done = asyncio.Event()
            reading = tasks.create_task(self._read(done))
            async with asyncio.timeout(30):
                await done.wait()
            yield
            reading.cancel()
            self.call.cancel()

    async def say_changed(self, symbol: str, at: TickId) -> None:
        changed = pb.HistoryChanged(symbol=_ref(symbol), at=wire.tick_id(at), bid=1.0, ask=1.5)
        await self._write(pb.StreamTicksRequestTwin(changed=[changed]))

    async def _read(self, done: asyncio.Event) -> None:
        left = {symbol: batch.last_id for symbol, batch in self.streamed.items()}
        while (response := await self.call.read()) is not grpc.aio.EOF:
            for welcome in response.welcome:
                cursor = TickId(welcome.last.time_msc, welcome.last.ordinal)
                await self._stream(welcome.symbol.symbol, cursor)
                if cursor >= left.get(welcome.symbol.symbol, cursor):
                    left.pop(welcome.symbol.symbol, None)
            for ack in response.acks:
                if TickId(ack.last.time_msc, ack.last.ordinal) >= left.get(ack.symbol.symbol, TickId(0, 0)):
                    left.pop(ack.symbol.symbol, None)
            for question in response.history:
                await self._answer(question)
            if not left:
                done.set()

    async def _stream(self, symbol: str, cursor: TickId) -> None:
        rest = self.streamed[symbol].after(cursor)
        for piece in rest.chunks(2000) if rest else ():
            await self._write(pb.StreamTicksRequestTwin(batches=[_twin(piece)]))

    async def _answer(self, asked: pb.HistoryRequest) -> None:
        self.asked += 1
        if self.silent:
            return
        ticks = self.history[asked.symbol.symbol]
        answer = pb.HistoryAnswer(request=asked.request)
        if asked.question == pb.HISTORY_QUESTION_POSITION:
            newest = wire.tick_id(ticks.last_id)
            answer.position.MergeFrom(
                pb.AgentPosition(
                    terminal=newest, read=newest, sent=newest, acknowledged=newest, terminal_connected=True, lane=1
                )
            )
        elif asked.question == pb.HISTORY_QUESTION_DIGEST:
            answer.digests.extend(
                tick_pb2.TickDigest(from_msc=d.from_msc, to_msc=d.to_msc, count=d.count, hash=d.hash)
                for d in digests(ticks.columns(), asked.from_msc, asked.to_msc, asked.bucket_ms)
            )
        else:
            found = select(ticks, (ticks.time_msc >= asked.from_msc) & (ticks.time_msc < asked.to_msc))
            for piece in found.chunks(50) if found else ():
                resent = pb.ResentBatchTwin(request=asked.request, batch=_twin(piece))
                await self._write(pb.StreamTicksRequestTwin(resent=[resent]))
        await self._write(pb.StreamTicksRequestTwin(answers=[answer]))

    async def _write(self, message: pb.StreamTicksRequestTwin) -> None:
        await self.call.write(message.SerializeToString())


def refs(symbols: Iterable[str]) -> list[tick_pb2.SymbolRef]:
    return [_ref(symbol) for symbol in symbols]


def _ref(symbol: str) -> tick_pb2.SymbolRef:
    return tick_pb2.SymbolRef(server=SERVER, symbol=symbol)


def _twin(batch: Batch) -> tick_pb2.TickBatchTwin:
    return tick_pb2.TickBatchTwin(**codec.fields(batch))
