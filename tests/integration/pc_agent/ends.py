"""What the agent's lanes end at in a test: a bridge that keeps ticks, an engine that hands out signals."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from suho.market.v1 import bridge_pb2 as market
from suho.market.v1 import tick_pb2
from suho.trading.v1 import agent_link_pb2 as link
from suho.trading.v1 import agent_link_pb2_grpc, order_pb2

from mesh.market import BEFORE_FIRST, Batch, TickId, codec


class BridgeEnd:
    """Takes ticks by the contract's rules. `forget` breaks them."""

    def __init__(self) -> None:
        self.batches: dict[str, list[Batch]] = {}
        self.lanes: dict[int, list[str]] = {}
        self.out_of_sync = 0
        self.largest = 0
        # The lane that is asked to go elsewhere next, and how many went when asked.
        self.draining = 0
        self.drained = 0
        self.welcome_values: dict[str, tuple[float, float]] = {}

    def joined(self, symbol: str) -> Batch | None:
        batches = self.batches.get(symbol)
        return Batch.join(batches) if batches else None

    def count(self, symbol: str) -> int:
        return sum(len(batch) for batch in self.batches.get(symbol, ()))

    def cursor(self, symbol: str) -> TickId:
        batches = self.batches.get(symbol)
        return batches[-1].last_id if batches else BEFORE_FIRST

    def forget(self, symbol: str) -> None:
        """Lose the newest batch, as a log restored from a backup would."""
        self.batches[symbol].pop()

    async def stream(self, requests: AsyncIterator[market.StreamTicksRequestTwin], _: Any) -> AsyncIterator[Any]:
        lane, went = 0, False
        async for request in requests:
            if request.HasField("hello"):
                lane = request.hello.lane
                self.lanes[lane] = []
            self.lanes[lane] += [ref.symbol for ref in request.open]
            response = market.StreamTicksResponse(welcome=[self._welcome(ref) for ref in request.open])
            self.largest = max(self.largest, sum(batch.count for batch in request.batches))
            for message in request.batches:
                self._take(codec.decode(message), response)
            asked = self.draining and lane == self.draining
            if asked:
                self.draining = 0
                response.drain.reason = "the test wants the lane elsewhere"
            yield response
            went |= asked
        self.drained += went

    def _welcome(self, ref: tick_pb2.SymbolRef) -> market.Welcome:
        batches = self.batches.get(ref.symbol)
        bid, ask = (batches[-1].bid[-1], batches[-1].ask[-1]) if batches else (0.0, 0.0)
        bid, ask = self.welcome_values.get(ref.symbol, (bid, ask))
        return market.Welcome(symbol=ref, last=self._id(ref.symbol), bid=bid, ask=ask)

    def _id(self, symbol: str) -> tick_pb2.TickId:
        return tick_pb2.TickId(**self.cursor(symbol)._asdict())

    def _take(self, batch: Batch, response: market.StreamTicksResponse) -> None:
        ref = tick_pb2.SymbolRef(server=batch.server, symbol=batch.symbol)
        cursor = self.cursor(batch.symbol)
        if batch.prev > cursor:
            self.out_of_sync += 1
            response.out_of_sync.append(market.OutOfSync(symbol=ref, cursor=self._id(batch.symbol)))
            return
        if (new := batch.after(cursor)) is not None:
            self.batches.setdefault(batch.symbol, []).append(new)
        response.acks.append(market.TickAck(symbol=ref, last=self._id(batch.symbol)))


class EngineEnd(agent_link_pb2_grpc.AgentLinkServiceServicer):
    """Hands out what `submit` queued, contiguous from the agent's place; keeps and acknowledges reports."""

    def __init__(self) -> None:
        self.epoch = 7
        self.valid_for_ms = 5_000
        self.hello: link.AgentHello | None = None
        self.signals: list[link.Signal] = []
        self.reports: list[order_pb2.ExecutionReport] = []
        self.acknowledged = 0
        self.missing: list[link.MissingSignals] = []
        self.handed_out = 0
        self.skip: set[int] = set()
        self._changed = asyncio.Condition()

    async def submit(self, signal_id: str, symbol: str, valid_ms: int = 20_000, **fields: Any) -> None:
        assert self.hello is not None
        values = {"side": order_pb2.ORDER_SIDE_BUY, "volume": "0.10", "seq": len(self.signals) + 1} | fields
        signal = link.Signal(
            signal_id=signal_id,
            account=self.hello.account,
            epoch=self.epoch,
            symbol=symbol,
            not_after_unix_ms=time.time_ns() // 1_000_000 + valid_ms,
            committed_unix_ns=time.time_ns(),
            **values,
        )
        async with self._changed:
            self.signals.append(signal)
            self._changed.notify_all()

    def states(self, signal_id: str) -> list[str]:
        """Of its reports, each once, in order of arrival."""
        seen = dict.fromkeys(report.report_id for report in self.reports if report.signal_id == signal_id)
        by_id = {report.report_id: report for report in self.reports}
        return [order_pb2.OrderState.Name(by_id[i].state).removeprefix("ORDER_STATE_") for i in seen]

    def last(self, signal_id: str) -> order_pb2.ExecutionReport:
        return [report for report in self.reports if report.signal_id == signal_id][-1]

    async def StreamSignals(self, request_iterator: Any, context: Any) -> AsyncIterator[link.StreamSignalsResponse]:
        answers: asyncio.Queue[link.StreamSignalsResponse | None] = asyncio.Queue()
        hello = (await anext(request_iterator)).hello
        self.hello = hello
        yield link.StreamSignalsResponse(
            joined=link.Joined(engine="engine", epoch=self.epoch, valid_for_ms=self.valid_for_ms)
        )
        after = hello.last_seq if hello.epoch == self.epoch else 0
        async with asyncio.TaskGroup() as tasks:
            relay = tasks.create_task(self._relay(after, answers))
            reader = tasks.create_task(self._read(request_iterator, answers))
            try:
                while (answer := await answers.get()) is not None:
                    yield answer
            finally:
                relay.cancel()
                reader.cancel()

    async def _relay(self, after: int, answers: asyncio.Queue[Any]) -> None:
        while True:
            for signal in self.signals[after:]:
                after += 1
                if signal.seq not in self.skip:
                    await self._hand_out(signal, answers)
            async with self._changed:
                while len(self.signals) <= after:
                    await self._changed.wait()

    async def _hand_out(self, signal: link.Signal, answers: asyncio.Queue[Any]) -> None:
        sent = link.Signal()
        sent.CopyFrom(signal)
        sent.redelivered = signal.redelivered or signal.seq <= self.handed_out
        self.handed_out = max(self.handed_out, signal.seq)
        await answers.put(link.StreamSignalsResponse(signals=link.Signals(signals=[sent])))

    async def _read(self, requests: Any, answers: asyncio.Queue[Any]) -> None:
        async for request in requests:
            match request.WhichOneof("kind"):
                case "signal_ack":
                    self.acknowledged = request.signal_ack.seq
                case "reports":
                    self.reports += request.reports.reports
                    ids = [report.report_id for report in request.reports.reports]
                    await answers.put(link.StreamSignalsResponse(report_acks=link.ReportAcks(report_ids=ids)))
                case "missing":
                    self.missing.append(request.missing)
                    for signal in self.signals[request.missing.from_seq - 1 : request.missing.to_seq]:
                        await answers.put(link.StreamSignalsResponse(signals=link.Signals(signals=[signal])))
                case "clock":
                    reply = link.ClockReply(
                        agent_unix_ns=request.clock.agent_unix_ns,
                        engine_unix_ns=time.time_ns(),
                        valid_for_ms=self.valid_for_ms,
                    )
                    await answers.put(link.StreamSignalsResponse(clock=reply))
        await answers.put(None)


@asynccontextmanager
async def serve(bridge: BridgeEnd, engine: EngineEnd) -> AsyncIterator[tuple[int, int]]:
    """Both on free ports, a server each: (bridge, engine)."""
    handler = grpc.stream_stream_rpc_method_handler(
        bridge.stream, market.StreamTicksRequestTwin.FromString, market.StreamTicksResponse.SerializeToString
    )
    servers = grpc.aio.server(), grpc.aio.server()
    generic = grpc.method_handlers_generic_handler("suho.market.v1.BridgeService", {"StreamTicks": handler})
    servers[0].add_generic_rpc_handlers((generic,))
    agent_link_pb2_grpc.add_AgentLinkServiceServicer_to_server(engine, servers[1])
    ports = [server.add_insecure_port("127.0.0.1:0") for server in servers]
    for server in servers:
        await server.start()
    try:
        yield ports[0], ports[1]
    finally:
        for server in servers:
            await server.stop(None)
