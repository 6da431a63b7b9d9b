"""The agent's lane 0: signals down, execution reports up, and nothing else."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from suho.trading.v1 import agent_link_pb2 as pb
from suho.trading.v1 import agent_link_pb2_grpc

from mesh.clock import unix_ns
from mesh.log import get_logger
from mesh.waiting import backoff
from pc_agent.domain.orders import Account
from pc_agent.domain.server_clock import Lease, ServerClock
from pc_agent.domain.signal_sequence import SignalBreachError, SignalSequence
from pc_agent.orders.execution import Execution
from pc_agent.orders.ledger import Ledger
from pc_agent.orders.order_messages import hello_of, report_of, signal_of
from pc_agent.stream_errors import reason_of
from pc_agent.terminal.messages import Connected

log = get_logger(__name__)

_PROBE_S = 2.0
_REPEAT_S = 5.0
_MOST_REPORTS = 100


class _LaneOverError(Exception):
    """The stream is to end; begin another."""


class SignalLane:
    """Keeps the stream to an engine; what must be known across streams is in ledger, sequence and clock."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        agent: str,
        ledger: Ledger,
        clock: ServerClock,
        lease: Lease,
    ) -> None:
        self.stands = False
        self._stub: agent_link_pb2_grpc.AgentLinkServiceAsyncStub = agent_link_pb2_grpc.AgentLinkServiceStub(channel)
        self._agent = agent
        self._ledger = ledger
        self._clock = clock
        self._lease = lease
        self._outgoing: asyncio.Queue[pb.StreamSignalsRequest] = asyncio.Queue()
        self._reports_wait = asyncio.Event()
        self._probes: dict[int, int] = {}
        self._pauses = backoff(0.1, 0.5)  # at start the other end is about to come

    def tell(self) -> None:
        """There are reports in the ledger to send."""
        self._reports_wait.set()

    async def run(self, facts: Callable[[], Connected], sequence: SignalSequence, execution: Execution) -> None:
        """Keep the lane for ever. A new stream says what the terminal is and shows then."""
        while True:
            because = "ended by the engine"
            try:
                await self._carry(facts(), sequence, execution)
            except* grpc.aio.AioRpcError as group:
                because = reason_of(group)
            except* (_LaneOverError, SignalBreachError) as group:
                because = "; ".join(str(error) for error in group.exceptions)
                log.error("lane 0 was broken off", because=because)
            self.stands = False
            pause = next(self._pauses)
            log.warning("lane 0 lost", because=because, retry_s=round(pause, 2))
            await asyncio.sleep(pause)

    async def _carry(self, facts: Connected, sequence: SignalSequence, execution: Execution) -> None:
        self._outgoing = asyncio.Queue()
        self._probes.clear()
        hello = hello_of(self._agent, facts, sequence.epoch, sequence.last_seq)
        greeted_ns = time.monotonic_ns()
        call: Any = self._stub.StreamSignals(self._requests(pb.StreamSignalsRequest(hello=hello)))
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._join(call, sequence, greeted_ns)
                beside = [tasks.create_task(self._probe()), tasks.create_task(self._report(sequence.account))]
                while (response := await call.read()) is not grpc.aio.EOF:
                    await self._take(response, sequence, execution)
                    if response.HasField("drain"):
                        log.info("the engine asks lane 0 to go elsewhere", because=response.drain.reason)
                        break
                for task in beside:
                    task.cancel()
        finally:
            call.cancel()

    async def _requests(self, hello: pb.StreamSignalsRequest) -> AsyncIterator[pb.StreamSignalsRequest]:
        outgoing = self._outgoing
        yield hello
        while True:
            yield await outgoing.get()

    async def _join(self, call: Any, sequence: SignalSequence, greeted_ns: int) -> None:
        response = await call.read()
        if response is grpc.aio.EOF:
            raise _LaneOverError("the engine ended the stream before it answered the hello")
        if not response.HasField("joined"):
            raise _LaneOverError("the engine's first message was not Joined")
        joined = response.joined
        sequence.join(joined.epoch)
        self._clock.forget()
        # Granted after the greeting left: counted from there it can not end too late.
        self._lease.renew(greeted_ns, joined.valid_for_ms)
        self._pauses = backoff(0.1, 2.0)
        self.stands = True
        log.info("lane 0 stands", engine=joined.engine, epoch=joined.epoch, after=sequence.last_seq)

    async def _probe(self) -> None:
        """Measure the engine's clock; each answer renews the lease."""
        while True:
            now = unix_ns()
            self._probes[now] = time.monotonic_ns()
            self._send(pb.StreamSignalsRequest(clock=pb.ClockProbe(agent_unix_ns=now)))
            await asyncio.sleep(_PROBE_S)

    async def _report(self, account: Account) -> None:
        """What was not acknowledged: at once, and again after a while."""
        sent: dict[str, float] = {}
        while True:
            self._reports_wait.clear()
            waiting = await self._ledger.reports(account, _MOST_REPORTS)
            now = time.monotonic()
            due = [report for report in waiting if now - sent.get(report.report_id, -_REPEAT_S) >= _REPEAT_S]
            sent = {report.report_id: sent.get(report.report_id, now) for report in waiting}
            sent.update({report.report_id: now for report in due})
            if due:
                reports = pb.ExecutionReports(reports=[report_of(report) for report in due])
                self._send(pb.StreamSignalsRequest(reports=reports))
            try:
                async with asyncio.timeout(_REPEAT_S if waiting else None):
                    await self._reports_wait.wait()
            except TimeoutError:
                continue

    def _send(self, request: pb.StreamSignalsRequest) -> None:
        self._outgoing.put_nowait(request)

    async def _take(self, response: pb.StreamSignalsResponse, sequence: SignalSequence, execution: Execution) -> None:
        match response.WhichOneof("kind"):
            case "signals":
                await self._take_signals(response.signals, sequence, execution)
            case "report_acks":
                await self._ledger.acknowledged(list(response.report_acks.report_ids))
                self._reports_wait.set()
            case "clock":
                self._take_clock(response.clock)

    async def _take_signals(self, signals: pb.Signals, sequence: SignalSequence, execution: Execution) -> None:
        arrival = sequence.arrange(signal_of(signal) for signal in signals.signals)
        for signal in arrival.again:
            await execution.repeat(signal)
        if arrival.due:
            await execution.take(arrival.due, sequence.epoch, sequence.last_seq)
        if arrival.missing:
            first, last = arrival.missing
            missing = pb.MissingSignals(epoch=sequence.epoch, from_seq=first, to_seq=last)
            self._send(pb.StreamSignalsRequest(missing=missing))
        ack = pb.SignalAck(epoch=sequence.epoch, seq=sequence.last_seq)
        self._send(pb.StreamSignalsRequest(signal_ack=ack))

    def _take_clock(self, reply: pb.ClockReply) -> None:
        sent_ns = self._probes.pop(reply.agent_unix_ns, None)
        if sent_ns is not None:
            self._clock.measure(sent_ns, time.monotonic_ns(), reply.engine_unix_ns)
            # The engine renewed it after the probe left: counted from there it can not end too late.
            self._lease.renew(sent_ns, reply.valid_for_ms)
