"""One agent's lane 0: signals down in order, reports up, each acknowledged only when the other side has it for good.

The lane outlives an absence of the database: what could not be read or stored is tried again, and nothing is lost,
because the agent keeps what is not acknowledged and the outbox keeps what is not in the agent's ledger.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from suho.database.v1 import order_service_pb2 as db
from suho.trading.v1 import agent_link_pb2 as link
from suho.trading.v1 import order_pb2

from mesh.clock import unix_ns
from mesh.errors import MeshError, Reason
from mesh.log import get_logger
from mesh.waiting import backoff, until_available
from services.trading_engine.database import Database, DatabaseAwayError
from services.trading_engine.domain.order import REPORTABLE
from services.trading_engine.lanes import Hello, Lanes
from services.trading_engine.messages import account_id, invalid, name, report_id
from services.trading_engine.order_board import OrderBoard
from services.trading_engine.signals import signal_of

log = get_logger(__name__)

_MOST_SIGNALS = 100
_MOST_REPORTS = 100
# Small: what waits here is not on its way. The agent's flow control holds the rest back.
_WAITING_RESPONSES = 16
_WAITING_REPORTS = 1_000

Requests = AsyncIterator[link.StreamSignalsRequest]


@dataclass(frozen=True, slots=True)
class LaneTerms:
    """What the engine tells an agent that joins."""

    engine: str
    valid_for_ms: int


class AgentLane:
    """Run it beside whoever sends its `responses`."""

    def __init__(self, hello: Hello, terms: LaneTerms, database: Database, lanes: Lanes, board: OrderBoard) -> None:
        self.hello = hello
        self._terms = terms
        self._database = database
        self._lanes = lanes
        self._board = board
        self._epoch = 0
        self._relayed = 0
        self._outgoing: asyncio.Queue[link.StreamSignalsResponse | MeshError | None] = asyncio.Queue(_WAITING_RESPONSES)
        self._reports: asyncio.Queue[order_pb2.ExecutionReport] = asyncio.Queue(_WAITING_REPORTS)

    async def responses(self) -> AsyncIterator[link.StreamSignalsResponse]:
        """What goes down, until the lane ends.

        Raises:
            MeshError: what ended it.
        """
        while (response := await self._outgoing.get()) is not None:
            if isinstance(response, MeshError):
                raise response
            yield response

    def end(self, error: MeshError | None) -> None:
        """See `Lane`."""
        while not self._outgoing.empty():
            self._outgoing.get_nowait()
        self._outgoing.put_nowait(error)

    async def drain(self, reason: str) -> None:
        """See `Lane`."""
        await self._outgoing.put(link.StreamSignalsResponse(drain=link.SignalsDrain(reason=reason)))
        await self._outgoing.put(None)

    async def run(self, requests: Requests) -> None:
        """Join, relay and record until the agent is done; what goes wrong is told to the agent, not raised."""
        try:
            await self._join()
            await self._work(requests)
        except* MeshError as group:
            error = _first(group)
            log.warning("lane ended", agent=self.hello.agent, account=str(self.hello.account), because=str(error))
            self.end(error)
        except* Exception:
            log.exception("lane failed", agent=self.hello.agent)
            self.end(MeshError(Reason.INTERNAL, "the lane failed; the engine's log says why"))
        else:
            await self._outgoing.put(None)
        finally:
            self._lanes.leave(self)
            log.info("agent left", agent=self.hello.agent, account=str(self.hello.account))

    async def _join(self) -> None:
        hello = self.hello

        async def upsert() -> db.Account:
            return await self._database.upsert_account(hello.account, hello.trade_mode)

        account = await until_available("database", upsert, (DatabaseAwayError,))
        self._epoch = account.epoch
        self._relayed = hello.last_seq if hello.epoch == account.epoch else 0
        if self._relayed > account.last_seq:
            raise MeshError(
                Reason.EPOCH_SUPERSEDED,
                f"the agent holds signals up to {self._relayed}, the database knows {account.last_seq}: it has lost"
                f" some; restore it, or begin a new epoch for account {hello.account}",
            )
        await self._lanes.join(self)
        self._lanes.renew(self, self._terms.valid_for_ms)
        joined = link.Joined(engine=self._terms.engine, epoch=self._epoch, valid_for_ms=self._terms.valid_for_ms)
        await self._outgoing.put(link.StreamSignalsResponse(joined=joined))
        log.info("agent joined", agent=hello.agent, account=str(hello.account), epoch=self._epoch, after=self._relayed)

    async def _work(self, requests: Requests) -> None:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self._relay()), tasks.create_task(self._record())]
            async for request in requests:
                await self._take(request, tasks)
            await self._reports.join()
            for task in running:
                task.cancel()

    async def _take(self, request: link.StreamSignalsRequest, tasks: asyncio.TaskGroup) -> None:
        match request.WhichOneof("kind"):
            case "clock":
                await self._answer_clock(request.clock)
            case "reports":
                for report in request.reports.reports:
                    await self._reports.put(self._checked(report))
            case "missing":
                self._require_epoch(request.missing.epoch)
                tasks.create_task(self._resend(request.missing))
            case "signal_ack":
                self._require_epoch(request.signal_ack.epoch)
                if request.signal_ack.seq > self._relayed:
                    raise invalid(
                        f"signal_ack.seq is {request.signal_ack.seq}; {self._relayed} was the last handed out"
                    )
            case "hello":
                raise invalid("a second hello; a stream has one, its first message")
            case _:
                raise invalid("an empty message; set one of its kinds")

    async def _answer_clock(self, probe: link.ClockProbe) -> None:
        self._lanes.renew(self, self._terms.valid_for_ms)
        reply = link.ClockReply(
            agent_unix_ns=probe.agent_unix_ns, engine_unix_ns=unix_ns(), valid_for_ms=self._terms.valid_for_ms
        )
        await self._outgoing.put(link.StreamSignalsResponse(clock=reply))

    def _checked(self, report: order_pb2.ExecutionReport) -> order_pb2.ExecutionReport:
        report_id(report.report_id)
        name("signal_id", report.signal_id)
        if account_id(report.account) != self.hello.account:
            raise invalid(f"report {report.report_id!r} is of another account; this lane is {self.hello.account}'s")
        if int(report.state) not in REPORTABLE:
            raise invalid(f"report {report.report_id!r} bears state {report.state}, which no agent reports")
        return report

    def _require_epoch(self, epoch: int) -> None:
        if epoch != self._epoch:
            raise MeshError(
                Reason.EPOCH_SUPERSEDED, f"epoch {epoch} is not in force, {self._epoch} is", epoch=self._epoch
            )

    async def _relay(self) -> None:
        """Hand down what is committed, for ever."""
        pauses = backoff()
        while True:
            try:
                async for entries in self._database.outbox(self.hello.account, self._epoch, self._relayed):
                    self._require_contiguous(entries)
                    await self._hand_down(entries)
                    pauses = backoff()
            except DatabaseAwayError as error:
                log.warning("relay interrupted", account=str(self.hello.account), because=str(error))
            await asyncio.sleep(next(pauses))

    def _require_contiguous(self, entries: list[db.OutboxEntry]) -> None:
        for entry in entries:
            if entry.order.seq != self._relayed + 1:
                raise MeshError(
                    Reason.INTERNAL, f"the outbox goes from {self._relayed} to {entry.order.seq}; connect again"
                )
            self._relayed = entry.order.seq

    async def _resend(self, missing: link.MissingSignals) -> None:
        """What the agent says never arrived; what was not handed out yet comes by itself."""
        last = min(missing.to_seq, self._relayed)
        if not 1 <= missing.from_seq <= last:
            raise invalid(
                f"signals {missing.from_seq} to {missing.to_seq} can not be missing: {self._relayed} was the last one"
            )
        after = missing.from_seq - 1
        pauses = backoff()
        while after < last:
            try:
                async for entries in self._database.outbox(self.hello.account, self._epoch, after, last):
                    await self._hand_down(entries)
                    after = entries[-1].order.seq
            except DatabaseAwayError as error:
                log.warning("missing signals wait", account=str(self.hello.account), because=str(error))
                await asyncio.sleep(next(pauses))

    async def _hand_down(self, entries: list[db.OutboxEntry]) -> None:
        for start in range(0, len(entries), _MOST_SIGNALS):
            signals = link.Signals(signals=[signal_of(entry) for entry in entries[start : start + _MOST_SIGNALS]])
            await self._outgoing.put(link.StreamSignalsResponse(signals=signals))

    async def _record(self) -> None:
        """Store reports and then acknowledge them, for ever. While one call is under way the next ones gather."""
        while True:
            reports = [await self._reports.get()]
            while len(reports) < _MOST_REPORTS and not self._reports.empty():
                reports.append(self._reports.get_nowait())
            stored = await self._store(reports)
            if stored:
                acks = link.ReportAcks(report_ids=[report.report_id for report in stored])
                await self._outgoing.put(link.StreamSignalsResponse(report_acks=acks))
            for _ in reports:
                self._reports.task_done()

    async def _store(self, reports: list[order_pb2.ExecutionReport]) -> list[order_pb2.ExecutionReport]:
        """Those of `reports` that the database took. One that it refuses must not hold up the others."""
        pauses = backoff()
        while True:
            try:
                self._board.publish(await self._database.record(reports))
                return reports
            except DatabaseAwayError as error:
                log.warning("reports wait", reports=len(reports), because=str(error))
                await asyncio.sleep(next(pauses))
            except MeshError as error:
                if len(reports) > 1:
                    return [report for one in reports for report in await self._store([one])]
                # Not acknowledged: the agent keeps it and says it again, until somebody looks.
                log.error("report refused", report_id=reports[0].report_id, because=str(error))
                return []


def _first(group: BaseExceptionGroup[MeshError]) -> MeshError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, MeshError)
    return error
