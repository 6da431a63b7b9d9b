"""The agent's lane 0 of one account: signals down, execution reports up, and what else concerns the account."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Any, Protocol

import grpc
from suho.trading.v1 import agent_link_pb2 as pb
from suho.trading.v1 import agent_link_pb2_grpc

from mesh.clock import boot_ns, unix_ns
from mesh.failpoint import failpoint
from mesh.log import get_logger
from mesh.waiting import backoff
from pc_agent.domain.orders import OrderState
from pc_agent.domain.report_window import ReportWindow
from pc_agent.domain.server_clock import Lease, ServerClock
from pc_agent.domain.signal_sequence import SignalBreachError, SignalSequence
from pc_agent.orders.execution import Execution
from pc_agent.orders.ledger import Ledger, Report
from pc_agent.orders.order_messages import hello_of, report_of, signal_of
from pc_agent.stream_errors import reason_of
from pc_agent.terminal.messages import Connected

log = get_logger(__name__)

_PROBE_S = 2.0
# Unanswered: the engine takes nothing any more, and what is said to it would pile up here.
_MOST_PROBES = 30
_MOST_REPORTS = 100
# So long the engine has to store what was said last, when the agent ends.
_FAREWELL_S = 1.0
# An outcome mostly follows its INTENT at once, and told together they cost the engine one commit.
_INTENT_WAITS_S = 0.02
# Signals that are being written to the ledger while more are read.
_MOST_TAKEN_TOGETHER = 16

Send = Callable[[pb.StreamSignalsRequest], None]


class Role(StrEnum):
    """What the agent is for the account (suho.agent.v1.AgentRole)."""

    EXECUTING = "EXECUTING"
    STANDBY = "STANDBY"
    DISCONNECTED = "DISCONNECTED"


class Cargo(Protocol):
    """What the lane carries beside signals and reports."""

    def safety(self) -> pb.AgentSafety:
        """For the hello."""

    def take_over(self) -> Awaitable[None]:
        """Another agent executed until now: see what the terminal holds before its signals come."""

    def stands(self, there: bool) -> None:
        """The lane has an engine for which this agent executes, or has lost it."""

    async def carry(self, send: Send) -> None:
        """Send what is to be sent, for as long as the stream stands."""

    def take(self, response: pb.StreamSignalsResponse) -> Awaitable[None]:
        """What is neither signals, nor about reports, nor the clock's."""


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
        self.role = Role.DISCONNECTED
        # Since when it is so (PC's clock), how often a stream was lost, and with which engine it is.
        self.since_unix_ms = unix_ns() // 1_000_000
        self.reconnects = 0
        self.engine = ""
        self._stub: agent_link_pb2_grpc.AgentLinkServiceAsyncStub = agent_link_pb2_grpc.AgentLinkServiceStub(channel)
        self._agent = agent
        self._ledger = ledger
        self._clock = clock
        self._lease = lease
        # None: nothing more is said.
        self._outgoing: asyncio.Queue[pb.StreamSignalsRequest | None] = asyncio.Queue()
        self._ends = False
        self._ended = asyncio.Event()
        self._window: ReportWindow[Report] = ReportWindow()
        # In the ledger, and not on the lane yet.
        self._fresh: list[Report] = []
        self._reports_wait = asyncio.Event()
        self._room = asyncio.Semaphore(_MOST_TAKEN_TOGETHER)
        self._probes: dict[int, int] = {}
        self._pauses = backoff(0.1, 0.5)  # at start the other end is about to come

    @property
    def stands(self) -> bool:
        """There is an engine for which this agent executes."""
        return self.role is Role.EXECUTING

    @property
    def unacknowledged(self) -> int:
        """Reports on their way."""
        return len(self._window)

    async def run(
        self, facts: Callable[[], Connected], sequence: SignalSequence, execution: Execution, cargo: Cargo
    ) -> None:
        """Keep the lane until `stop`. A new stream says what the terminal is and shows then."""
        await execution.ready()
        self._ledger.listen(sequence.account, self._tell)
        while True:
            because = "ended by the engine"
            try:
                await self._carry(facts(), sequence, execution, cargo)
            except* grpc.aio.AioRpcError as group:
                because = reason_of(group)
            except* (_LaneOverError, SignalBreachError) as group:
                because = "; ".join(str(error) for error in group.exceptions)
                log.error("lane 0 was broken off", because=because)
            if self._ends:
                self._ended.set()
                return
            if self.stands:
                cargo.stands(False)
            self.reconnects += self.role is not Role.DISCONNECTED
            self._become(Role.DISCONNECTED)
            pause = next(self._pauses)
            log.warning("lane 0 lost", account=sequence.account.login, because=because, retry_s=round(pause, 2))
            await asyncio.sleep(pause)

    async def stop(self) -> None:
        """End the stream with a farewell, which gives the lease up: another agent need not wait until it has lapsed.

        Nothing may be executed any more.
        """
        self._ends = True
        self._lease.give_up()
        if self.role is Role.DISCONNECTED:
            return
        self._send(pb.StreamSignalsRequest(farewell=pb.AgentFarewell()))
        self._outgoing.put_nowait(None)
        with suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                await self._ended.wait()

    def _become(self, role: Role, engine: str = "") -> None:
        if role is not self.role:
            self.role, self.since_unix_ms = role, unix_ns() // 1_000_000
        self.engine = engine

    async def _carry(self, facts: Connected, sequence: SignalSequence, execution: Execution, cargo: Cargo) -> None:
        self._outgoing = asyncio.Queue()
        # Those of a stream that broke may have ended before they could give their room back.
        self._room = asyncio.Semaphore(_MOST_TAKEN_TOGETHER)
        self._probes.clear()
        hello = hello_of(self._agent, facts, sequence.epoch, sequence.last_seq, self._ledger.ledger_id, cargo.safety())
        greeted_ns = boot_ns()
        call: Any = self._stub.StreamSignals(self._requests(pb.StreamSignalsRequest(hello=hello)))
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._join(call, sequence, greeted_ns, cargo)
                cargo.stands(True)
                beside = [
                    tasks.create_task(self._probe()),
                    tasks.create_task(self._report(sequence)),
                    tasks.create_task(cargo.carry(self._send)),
                ]
                while (response := await call.read()) is not grpc.aio.EOF:
                    await self._take(response, sequence, execution, cargo, tasks)
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
        while (request := await outgoing.get()) is not None:
            yield request

    async def _join(self, call: Any, sequence: SignalSequence, greeted_ns: int, cargo: Cargo) -> None:
        """Until this agent is the one that executes."""
        while (response := await call.read()) is not grpc.aio.EOF:
            match response.WhichOneof("kind"):
                case "standby":
                    self._become(Role.STANDBY)
                    log.info("another agent executes for the account: standing by", agent=response.standby.agent)
                case "joined":
                    if self.role is Role.STANDBY:
                        await cargo.take_over()
                    self._joined(response.joined, sequence, greeted_ns)
                    return
                case "drain":
                    raise _LaneOverError(f"the engine asks lane 0 to go elsewhere: {response.drain.reason}")
                case kind:
                    raise _LaneOverError(f"the engine said {kind} before Joined")
        raise _LaneOverError("the engine ended the stream before it answered the hello")

    def _joined(self, joined: pb.Joined, sequence: SignalSequence, greeted_ns: int) -> None:
        sequence.join(joined.epoch)
        self._clock.forget()
        # Granted after the greeting left: counted from there it can not end too late.
        self._lease.renew(greeted_ns, joined.valid_for_ms)
        self._pauses = backoff(0.1, 2.0)
        self._window.begin()
        self._become(Role.EXECUTING, joined.engine)
        log.info("lane 0 stands", engine=joined.engine, epoch=joined.epoch, after=sequence.last_seq)

    async def _probe(self) -> None:
        """Measure the engine's clock; each answer renews the lease."""
        while True:
            if len(self._probes) >= _MOST_PROBES:
                raise _LaneOverError(f"the engine has not answered for {_MOST_PROBES * _PROBE_S:.0f} s")
            now = unix_ns()
            self._probes[now] = boot_ns()
            self._send(pb.StreamSignalsRequest(clock=pb.ClockProbe(agent_unix_ns=now)))
            await asyncio.sleep(_PROBE_S)

    def _send(self, request: pb.StreamSignalsRequest) -> None:
        self._outgoing.put_nowait(request)

    # reports

    def _tell(self, reports: Sequence[Report]) -> None:
        """These are in the ledger now: on the lane with them, soon or at once."""
        self._fresh += reports
        if all(report.entry.state is OrderState.INTENT for report in self._fresh):
            asyncio.get_running_loop().call_later(_INTENT_WAITS_S, self._send_fresh)
        else:
            self._send_fresh()

    def _send_fresh(self) -> None:
        """Unless others are before them."""
        fresh, self._fresh = self._fresh, []
        if self.stands:
            self._send_reports(self._window.take(fresh, time.monotonic_ns(), unix_ns()))
        self._reports_wait.set()

    async def _report(self, sequence: SignalSequence) -> None:
        """What was left from before, what found no room, and what was not answered for too long."""
        window = self._window
        while True:
            self._reports_wait.clear()
            while room := window.wants():
                found = await self._ledger.reports(sequence.account, room, window.place)
                self._send_reports(window.fill(found, room, time.monotonic_ns(), unix_ns()))
            self._send_reports(window.due_again(time.monotonic_ns()))
            next_ns = window.next_ns()
            try:
                async with asyncio.timeout(None if next_ns is None else (next_ns - time.monotonic_ns()) / 1e9):
                    await self._reports_wait.wait()
            except TimeoutError:
                continue

    def _send_reports(self, reports: Sequence[tuple[Report, int]]) -> None:
        for start in range(0, len(reports), _MOST_REPORTS):
            batch = [report_of(report, reported) for report, reported in reports[start : start + _MOST_REPORTS]]
            self._send(pb.StreamSignalsRequest(reports=pb.ExecutionReports(reports=batch)))
            failpoint("report.sent")

    def _take_acks(self, acks: pb.ReportAcks) -> None:
        failpoint("report.acked")
        self._ledger.note_acknowledged(list(acks.report_ids))
        for report_id in acks.report_ids:
            self._window.done(report_id)
        for refused in acks.refused:
            log.error("the engine refused a report", report_id=refused.report_id, because=refused.message)
            self._ledger.note_refused(refused.report_id, refused.reason, refused.message)
            self._window.done(refused.report_id)
        self._reports_wait.set()

    # what comes down

    async def _take(
        self,
        response: pb.StreamSignalsResponse,
        sequence: SignalSequence,
        execution: Execution,
        cargo: Cargo,
        tasks: asyncio.TaskGroup,
    ) -> None:
        match response.WhichOneof("kind"):
            case "signals":
                await self._take_signals(response.signals, sequence, execution, tasks)
            case "report_acks":
                self._take_acks(response.report_acks)
            case "clock":
                self._take_clock(response.clock)
            case "drain":
                pass  # the caller ends the stream
            case _:
                await cargo.take(response)

    async def _take_signals(
        self, signals: pb.Signals, sequence: SignalSequence, execution: Execution, tasks: asyncio.TaskGroup
    ) -> None:
        """Their order is settled here; the ledger writes them while more are read."""
        received_unix_ns = unix_ns()
        arrival = sequence.arrange(signal_of(signal) for signal in signals.signals)
        epoch, last_seq = sequence.epoch, sequence.last_seq
        if arrival.missing:
            first, last = arrival.missing
            missing = pb.MissingSignals(epoch=epoch, from_seq=first, to_seq=last)
            self._send(pb.StreamSignalsRequest(missing=missing))
        written = execution.take(arrival.due, epoch, last_seq, received_unix_ns) if arrival.due else None
        for signal in arrival.again:
            await execution.repeat(signal)
        await self._room.acquire()
        tasks.create_task(self._acknowledge(written, epoch, last_seq))

    async def _acknowledge(self, written: asyncio.Task[None] | None, epoch: int, last_seq: int) -> None:
        try:
            if written is not None:
                await asyncio.shield(written)
            self._send(pb.StreamSignalsRequest(signal_ack=pb.SignalAck(epoch=epoch, seq=last_seq)))
        finally:
            self._room.release()

    def _take_clock(self, reply: pb.ClockReply) -> None:
        sent_ns = self._probes.pop(reply.agent_unix_ns, None)
        if sent_ns is not None:
            self._clock.measure(sent_ns, boot_ns(), reply.engine_unix_ns)
            # The engine renewed it after the probe left: counted from there it can not end too late.
            self._lease.renew(sent_ns, reply.valid_for_ms)
