"""What the agent's lanes end at in a test: a bridge that keeps ticks, an engine that hands out signals."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from suho.common.v1 import account_pb2
from suho.market.v1 import bridge_pb2 as market
from suho.market.v1 import tick_pb2
from suho.trading.v1 import agent_link_pb2 as link
from suho.trading.v1 import agent_link_pb2_grpc, order_pb2

from mesh.market import BEFORE_FIRST, Batch, TickId, codec


class BridgeEnd:
    """Takes ticks by the contract's rules. `forget` breaks them.

    `violations`: what no agent may do, such as to send a symbol on two lanes.
    """

    def __init__(self) -> None:
        self.batches: dict[str, list[Batch]] = {}
        self.lanes: dict[int, list[str]] = {}
        self.closed: list[tuple[int, str]] = []
        self.violations: list[str] = []
        self.counts: dict[str, list[market.SymbolCount]] = {}
        self.changed: list[market.HistoryChanged] = []
        self.resent: dict[int, list[Batch]] = {}
        self.answers: dict[int, market.HistoryAnswer] = {}
        self.out_of_sync = 0
        self.largest = 0
        # The lane that is asked to go elsewhere next, and how many went when asked.
        self.draining = 0
        self.drained = 0
        self.welcome_values: dict[str, tuple[float, float]] = {}
        # Lanes whose streams are refused, and symbols that another agent streams.
        self.refused: set[int] = set()
        self.others: set[str] = set()
        # Of these, nothing is acknowledged once so many ticks are there.
        self.hold_at: dict[str, int] = {}
        self._held: dict[int, list[market.TickAck]] = {}
        self._open: dict[int, set[str]] = {}
        self._calls: dict[int, asyncio.Queue[market.StreamTicksResponse | None]] = {}

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

    def lane_of(self, symbol: str) -> int:
        """The lane on which it is open; 0: none."""
        return next((lane for lane, symbols in self._open.items() if symbol in symbols), 0)

    def break_lane(self, lane: int) -> None:
        """End its stream, and refuse it until it is taken out of `refused`."""
        self.refused.add(lane)
        self._calls[lane].put_nowait(None)

    def release(self) -> None:
        """Acknowledge what was held back, and hold nothing more."""
        self.hold_at.clear()
        for lane, acks in self._held.items():
            self._say(lane, market.StreamTicksResponse(acks=acks))
        self._held.clear()

    def let(self, ref: tick_pb2.SymbolRef) -> None:
        """It is this agent's turn."""
        self.others.discard(ref.symbol)
        self._say(self.lane_of(ref.symbol), market.StreamTicksResponse(welcome=[self._welcome(ref)]))

    def ask(self, ref: tick_pb2.SymbolRef, question: str, request: int, from_msc: int = 0, to_msc: int = 0) -> None:
        """On the symbol's lane; digests are of the whole range."""
        asked = market.HistoryRequest(
            request=request, symbol=ref, question=market.HistoryQuestion.Value(f"HISTORY_QUESTION_{question}"),
            from_msc=from_msc, to_msc=to_msc, bucket_ms=to_msc - from_msc,
        )  # fmt: skip
        self._say(self.lane_of(ref.symbol), market.StreamTicksResponse(history=[asked]))

    def _say(self, lane: int, response: market.StreamTicksResponse) -> None:
        if lane in self._calls:
            self._calls[lane].put_nowait(response)

    async def stream(self, requests: AsyncIterator[market.StreamTicksRequestTwin], context: Any) -> AsyncIterator[Any]:
        lane = (await anext(requests)).hello.lane
        if lane in self.refused:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the test wants the lane away")
        self.lanes[lane], self._open[lane] = [], set()
        answers = self._calls[lane] = asyncio.Queue()
        reader = asyncio.ensure_future(self._read(lane, requests))
        reader.add_done_callback(lambda _: answers.put_nowait(None))
        try:
            while (response := await answers.get()) is not None:
                yield response
        finally:
            reader.cancel()
            if self._calls.get(lane) is answers:
                self._open[lane] = set()
                del self._calls[lane]
        if lane in self.refused:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the test wants the lane away")

    async def _read(self, lane: int, requests: AsyncIterator[market.StreamTicksRequestTwin]) -> None:
        went = False
        async for request in requests:
            response = self._take_request(lane, request)
            if lane == self.draining:
                self.draining, went = 0, True
                response.drain.reason = "the test wants the lane elsewhere"
            self._say(lane, response)
        self.drained += went

    def _take_request(self, lane: int, request: market.StreamTicksRequestTwin) -> market.StreamTicksResponse:
        response = market.StreamTicksResponse()
        for ref in request.open:
            if self.lane_of(ref.symbol):
                self.violations.append(f"{ref.symbol} opened on {lane}, open on {self.lane_of(ref.symbol)}")
            self.lanes[lane].append(ref.symbol)
            self._open[lane].add(ref.symbol)
            if ref.symbol in self.others:
                response.stand_by.append(market.StandBy(symbol=ref, holder="another agent"))
            else:
                response.welcome.append(self._welcome(ref))
        for ref in request.close:
            if any(ack.symbol == ref for ack in self._held.get(lane, ())):
                self.violations.append(f"{ref.symbol} closed before it was acknowledged")
            self.closed.append((lane, ref.symbol))
            self._open[lane].discard(ref.symbol)
        self.largest = max(self.largest, sum(batch.count for batch in request.batches))
        for message in request.batches:
            self._take(lane, codec.decode(message), response)
        for count in request.counts:
            self.counts.setdefault(count.symbol.symbol, []).append(count)
        self.changed += request.changed
        for item in request.resent:
            self.resent.setdefault(item.request, []).append(codec.decode(item.batch))
        self.answers.update({answer.request: answer for answer in request.answers})
        return response

    def _welcome(self, ref: tick_pb2.SymbolRef) -> market.Welcome:
        batches = self.batches.get(ref.symbol)
        bid, ask = (batches[-1].bid[-1], batches[-1].ask[-1]) if batches else (0.0, 0.0)
        bid, ask = self.welcome_values.get(ref.symbol, (bid, ask))
        return market.Welcome(symbol=ref, last=self._id(ref.symbol), bid=bid, ask=ask)

    def _id(self, symbol: str) -> tick_pb2.TickId:
        return tick_pb2.TickId(**self.cursor(symbol)._asdict())

    def _take(self, lane: int, batch: Batch, response: market.StreamTicksResponse) -> None:
        ref = tick_pb2.SymbolRef(server=batch.server, symbol=batch.symbol)
        if batch.symbol not in self._open[lane] or batch.symbol in self.others:
            self.violations.append(f"{batch.symbol} sent on {lane}, where it is not open or stands by")
        cursor = self.cursor(batch.symbol)
        if batch.prev > cursor:
            self.out_of_sync += 1
            response.out_of_sync.append(market.OutOfSync(symbol=ref, cursor=self._id(batch.symbol)))
            return
        if (new := batch.after(cursor)) is not None:
            self.batches.setdefault(batch.symbol, []).append(new)
        ack = market.TickAck(symbol=ref, last=self._id(batch.symbol))
        if self.count(batch.symbol) >= self.hold_at.get(batch.symbol, 2**63):
            self._held.setdefault(lane, []).append(ack)
        else:
            response.acks.append(ack)


class EngineEnd(agent_link_pb2_grpc.AgentLinkServiceServicer):
    """Hands out what `submit` queued, contiguous from the agent's place; keeps and acknowledges reports."""

    def __init__(self) -> None:
        self.epoch = 7
        self.valid_for_ms = 5_000
        self.hello: link.AgentHello | None = None
        # Of every account, the newest each.
        self.hellos: dict[str, link.AgentHello] = {}
        self.signals: list[link.Signal] = []
        self.reports: list[order_pb2.ExecutionReport] = []
        # Trades that no signal stands for, by number; the account as it was told last.
        self.deals: dict[int, order_pb2.ExternalDeal] = {}
        self.snapshot: link.AccountSnapshot | None = None
        self.safety: link.AgentSafety | None = None
        # What the agent told of each symbol last.
        self.markets: dict[str, order_pb2.MarketConditions] = {}
        self.acknowledged = 0
        self.missing: list[link.MissingSignals] = []
        # By server: how far it was told.
        self.handed_out: dict[str, int] = {}
        self.skip: set[int] = set()
        self._changed = asyncio.Condition()

    async def submit(self, signal_id: str, symbol: str, valid_ms: int = 20_000, **fields: Any) -> None:
        assert self.hello is not None
        values = {
            "kind": order_pb2.ORDER_KIND_MARKET, "side": order_pb2.ORDER_SIDE_BUY, "volume": "0.10",
            "seq": len(self.signals) + 1, "account": self.hello.account, **fields,
        }  # fmt: skip
        signal = link.Signal(
            signal_id=signal_id,
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
        self.hello = self.hellos[hello.account.server] = hello
        yield link.StreamSignalsResponse(
            joined=link.Joined(engine="engine", epoch=self.epoch, valid_for_ms=self.valid_for_ms)
        )
        after = hello.last_seq if hello.epoch == self.epoch else 0
        async with asyncio.TaskGroup() as tasks:
            relay = tasks.create_task(self._relay(hello.account, after, answers))
            reader = tasks.create_task(self._read(request_iterator, answers))
            try:
                while (answer := await answers.get()) is not None:
                    yield answer
            finally:
                relay.cancel()
                reader.cancel()

    async def _relay(self, account: account_pb2.AccountRef, after: int, answers: asyncio.Queue[Any]) -> None:
        while True:
            for signal in self.signals[after:]:
                after += 1
                if signal.seq not in self.skip and signal.account == account:
                    await self._hand_out(signal, answers)
            async with self._changed:
                while len(self.signals) <= after:
                    await self._changed.wait()

    async def _hand_out(self, signal: link.Signal, answers: asyncio.Queue[Any]) -> None:
        sent = link.Signal()
        sent.CopyFrom(signal)
        before = self.handed_out.get(signal.account.server, 0)
        sent.redelivered = signal.redelivered or signal.seq <= before
        self.handed_out[signal.account.server] = max(before, signal.seq)
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
                case "deals":
                    self.deals |= {deal.deal: deal for deal in request.deals.deals}
                    acks = link.DealAcks(deals=[deal.deal for deal in request.deals.deals])
                    await answers.put(link.StreamSignalsResponse(deal_acks=acks))
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
                case _:
                    self._note(request)
        await answers.put(None)

    def _note(self, request: link.StreamSignalsRequest) -> None:
        """What wants no answer."""
        match request.WhichOneof("kind"):
            case "snapshot":
                self.snapshot = request.snapshot
            case "safety":
                self.safety = request.safety
            case "market":
                self.markets |= {one.symbol: one for one in request.market.conditions}


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
