"""What one more agent and one more symbol cost the bridge: real bridge, log and sink, agents that only send."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import grpc
import numpy as np
import psutil
from suho.market.v1 import bridge_pb2 as pb
from suho.market.v1 import tick_pb2

from bench.platform import running
from bench.race import NoShowError
from mesh.channel import direct_channel
from mesh.market import BEFORE_FIRST, Batch, TickId, codec
from mesh.market.batch import ordinals

_METHOD = "/suho.market.v1.BridgeService/StreamTicks"
_BATCH_TICKS = 20
_MESSAGE_BATCHES = 100
_UNDER_WAY = 8
_MEASURED_S = 4.0
_MB = 1 << 20


@dataclass(frozen=True)
class Point:
    """So many agents with so many symbols each, all sending as fast as they are acknowledged."""

    agents: int
    symbols: int
    ticks_per_s: float
    messages_per_s: float
    batches_per_s: float
    # The bridge's own.
    cpu_us_per_batch: float
    memory_mb: float


async def measure(agents: int, symbols: int) -> Point:
    """One point, on a platform of its own.

    Raises:
        NoShowError: not all agents could send.
    """
    try:
        async with running() as mesh:
            return await _measure(mesh, agents, symbols)
    except* grpc.aio.AioRpcError as group:
        raise NoShowError(f"{agents} agents with {symbols} symbols: a lane ended: {_first(group)}") from None


def _first(group: BaseExceptionGroup[BaseException]) -> str:
    one: BaseException = group
    while isinstance(one, BaseExceptionGroup):
        one = one.exceptions[0]
    return f"{one.code().name} {one.details()}" if isinstance(one, grpc.aio.AioRpcError) else str(one)


async def _measure(mesh: dict[str, Any], agents: int, symbols: int) -> Point:
    bridge = psutil.Process(mesh["programs"]["data-bridge"]["pid"])
    crew = [_Agent(f"bench-{number}", symbols) for number in range(agents)]
    address = f"127.0.0.1:{mesh['ports']['data-bridge']}"
    async with asyncio.TaskGroup() as tasks:
        go = asyncio.Event()
        working = []
        for agent in crew:  # one after another: they come at once only when a bridge has died
            working.append(tasks.create_task(agent.run(address, go)))
            await agent.welcomed.wait()
        go.set()
        for agent in crew:
            await agent.flowing.wait()
        before, cpu, began = _sums(crew), _cpu_s(bridge), time.perf_counter()
        await asyncio.sleep(_MEASURED_S)
        seconds, used = time.perf_counter() - began, _cpu_s(bridge) - cpu
        messages, batches = (later - earlier for later, earlier in zip(_sums(crew), before, strict=True))
        memory = bridge.memory_info().rss / _MB
        for task in working:
            task.cancel()
    return Point(
        agents,
        symbols,
        batches * _BATCH_TICKS / seconds,
        messages / seconds,
        batches / seconds,
        used / max(batches, 1) * 1e6,
        memory,
    )


def _sums(crew: "list[_Agent]") -> tuple[int, int]:
    return sum(agent.messages for agent in crew), sum(agent.batches for agent in crew)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


class _Agent:
    """One lane that sends made-up ticks, message after message, at most eight unacknowledged."""

    def __init__(self, name: str, symbols: int) -> None:
        self._name = name
        self._symbols = [f"SYM{number:03d}" for number in range(symbols)]
        self.welcomed = asyncio.Event()
        self.flowing = asyncio.Event()
        self.messages = 0
        self.batches = 0
        self._room = asyncio.Semaphore(_UNDER_WAY)
        self._owed: list[set[tuple[str, int]]] = []

    async def run(self, address: str, go: asyncio.Event) -> None:
        async with direct_channel([address]) as channel:
            call: Any = channel.stream_stream(
                _METHOD,
                request_serializer=pb.StreamTicksRequestTwin.SerializeToString,
                response_deserializer=pb.StreamTicksResponse.FromString,
            )()
            refs = [tick_pb2.SymbolRef(server=self._name, symbol=symbol) for symbol in self._symbols]
            hello = pb.LaneHello(agent=self._name, lane=1)
            await call.write(pb.StreamTicksRequestTwin(hello=hello, open=refs))
            await self._until_welcomed(call)
            await go.wait()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._hear(call))
                for message in self._messages():
                    await self._room.acquire()
                    await call.write(message)

    async def _until_welcomed(self, call: Any) -> None:
        missing = set(self._symbols)
        while missing:
            response = await call.read()
            missing -= {welcome.symbol.symbol for welcome in response.welcome}
        self.welcomed.set()

    async def _hear(self, call: Any) -> None:
        while True:
            response = await call.read()
            for ack in response.acks:
                self._settle(ack.symbol.symbol, ack.last.time_msc)

    def _settle(self, symbol: str, time_msc: int) -> None:
        """Acknowledgements are cumulative: one may settle batches of several messages."""
        for owed in self._owed:
            settled = {one for one in owed if one[0] == symbol and one[1] <= time_msc}
            owed -= settled
            self.batches += len(settled)
        while self._owed and not self._owed[0]:
            self._owed.pop(0)
            self.messages += 1
            self._room.release()
            self.flowing.set()

    def _messages(self) -> Iterator[pb.StreamTicksRequestTwin]:
        prev = BEFORE_FIRST
        for turn in count():
            time_msc = 1_600_000_000_000 + turn * 1000 + np.arange(_BATCH_TICKS, dtype=np.int64) * 7
            for at in range(0, len(self._symbols), _MESSAGE_BATCHES):
                names = self._symbols[at : at + _MESSAGE_BATCHES]
                batches = [_batch(self._name, name, time_msc, prev) for name in names]
                self._owed.append({(name, int(time_msc[-1])) for name in names})
                yield pb.StreamTicksRequestTwin(batches=batches)
            prev = TickId(int(time_msc[-1]), 0)


def _batch(server: str, symbol: str, time_msc: np.ndarray, prev: TickId) -> tick_pb2.TickBatchTwin:
    size = len(time_msc)
    none, price = np.zeros(size), np.linspace(1.1, 1.2, size)
    batch = Batch(
        server, symbol, server, time.time_ns(), prev, time_msc, ordinals(time_msc), price, price + 0.0001,
        none, none, np.zeros(size, np.uint64), np.full(size, 6, np.uint32),
    )  # fmt: skip
    return tick_pb2.TickBatchTwin(**codec.fields(batch))
