"""What the agent makes of its lane's messages."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import repeat
from typing import Any

import grpc
import pytest
from suho.trading.v1 import agent_link_pb2 as pb

from mesh.clock import boot_ns
from pc_agent.domain import report_window
from pc_agent.domain.orders import Account, Entry, OrderState, Result, Side, Signal
from pc_agent.domain.server_clock import Lease, ServerClock
from pc_agent.domain.signal_sequence import SignalSequence
from pc_agent.orders import signal_lane
from pc_agent.orders.ledger import Ledger
from pc_agent.orders.signal_lane import Role, Send, SignalLane
from pc_agent.terminal.messages import AccountFacts, Connected
from tests.support import eventually

ACCOUNT = Account("broker-1", 42)
VALID_MS = 5_000


@pytest.fixture(autouse=True)
def _told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No report is told again because the machine is slow."""
    monkeypatch.setattr(report_window, "_REPEAT_NS", 10**15)


class Engine:
    """The other end of the stream: says what the test puts in `says`, keeps what it hears."""

    def __init__(self) -> None:
        self.says: asyncio.Queue[Any] = asyncio.Queue()
        self.heard: list[pb.StreamSignalsRequest] = []
        self.opened = 0
        # The agent has ended its half of the stream.
        self.over = False
        self._reader: asyncio.Task[None] | None = None

    def stream_stream(self, *_: object, **__: object) -> Any:
        return self._open

    def _open(self, requests: AsyncIterator[pb.StreamSignalsRequest]) -> "Engine":
        async def hear() -> None:
            async for request in requests:
                self.heard.append(request)
            self.over = True

        self.opened += 1
        self._reader = asyncio.get_running_loop().create_task(hear())
        return self

    async def read(self) -> Any:
        said = await self.says.get()
        if isinstance(said, BaseException):
            raise said
        return said

    def cancel(self) -> None:
        if self._reader:
            self._reader.cancel()

    def say(self, **kind: Any) -> None:
        self.says.put_nowait(pb.StreamSignalsResponse(**kind))

    def crash(self) -> None:
        details = grpc.aio.Metadata(), grpc.aio.Metadata()
        self.says.put_nowait(grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, *details))

    def join(self) -> None:
        self.say(joined=pb.Joined(engine="engine", epoch=1, valid_for_ms=VALID_MS))

    def of(self, kind: str) -> list[Any]:
        return [getattr(request, kind) for request in self.heard if request.HasField(kind)]  # type: ignore[arg-type]

    def reported(self) -> list[str]:
        return [report.report_id for reports in self.of("reports") for report in reports.reports]


class Cargo:
    """Sends one message, keeps what comes."""

    def __init__(self) -> None:
        self.stood: list[bool] = []
        self.taken_over = 0
        self.taken: list[str | None] = []

    def safety(self) -> pb.AgentSafety:
        return pb.AgentSafety(halted=True, reason="KILL_SWITCH")

    async def take_over(self) -> None:
        assert not self.stood
        self.taken_over += 1

    def stands(self, there: bool) -> None:
        self.stood.append(there)

    async def carry(self, send: Send) -> None:
        send(pb.StreamSignalsRequest(snapshot=pb.AccountSnapshot(balance="1")))
        await asyncio.Event().wait()

    async def take(self, response: pb.StreamSignalsResponse) -> None:
        self.taken.append(response.WhichOneof("kind"))


class Execution:
    """Takes signals when the test lets it."""

    def __init__(self) -> None:
        self.taken: list[list[Signal]] = []
        self.repeated: list[Signal] = []
        self.written = asyncio.Event()

    async def ready(self) -> None:
        return None

    def take(self, signals: list[Signal], epoch: int, last_seq: int, received_unix_ns: int) -> Any:
        self.taken.append(list(signals))
        assert received_unix_ns
        return asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        await self.written.wait()

    async def repeat(self, signal: Signal) -> None:
        self.repeated.append(signal)


class Lane:
    """A lane between such ends."""

    def __init__(self, ledger: Ledger) -> None:
        self.engine, self.cargo, self.execution = Engine(), Cargo(), Execution()
        self.clock, self.lease = ServerClock(), Lease()
        channel: grpc.aio.Channel = self.engine  # type: ignore[assignment]
        self.lane = SignalLane(channel, "pc-1", ledger, self.clock, self.lease)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        facts = Connected(AccountFacts("broker-1", 42, 0, 2, "EUR"), ())
        execution: Any = self.execution
        async with asyncio.TaskGroup() as tasks:
            sequence = SignalSequence(ACCOUNT, 1, 3)
            running = tasks.create_task(self.lane.run(lambda: facts, sequence, execution, self.cargo))
            yield
            running.cancel()


def message(seq: int) -> pb.Signal:
    signal = pb.Signal(signal_id=f"s{seq}", epoch=1, seq=seq)
    signal.account.server, signal.account.login = ACCOUNT.server, ACCOUNT.login
    return signal


async def receive(ledger: Ledger, state: OrderState, *names: str) -> None:
    """Make a report of each."""
    signals = [Signal(n, ACCOUNT, 1, 1, False, False, "EURUSD", Side.BUY, "1", "", "", 5) for n in names]
    await ledger.receive(ACCOUNT, 1, 1, [Entry(signal, Result(state), 1) for signal in signals])


async def refuse(ledger: Ledger, *names: str) -> None:
    await receive(ledger, OrderState.REJECTED, *names)


async def test_the_hello_says_who_and_which_ledger(ledger: Ledger) -> None:
    """Account, margin mode, currency, the PC's own safety, how far the ledger is."""
    lane = Lane(ledger)
    async with lane.running():
        await eventually(lambda: lane.engine.of("hello"))
        (hello,) = lane.engine.of("hello")
    assert (hello.ledger, hello.epoch, hello.last_seq) == (ledger.ledger_id, 1, 3)
    assert (hello.margin_mode, hello.currency) == (pb.MARGIN_MODE_HEDGING, "EUR")
    assert hello.safety.reason == "KILL_SWITCH"


async def test_a_lease_that_arrives_late_does_not_last_longer(ledger: Ledger) -> None:
    """The engine counts from its grant; an agent that counted from the arrival could execute beside its successor."""
    lane = Lane(ledger)
    async with lane.running():
        await eventually(lambda: lane.engine.opened)
        granted_ns = boot_ns()
        lane.engine.join()
        await eventually(lambda: lane.lane.stands)
    assert 0 < lane.lease.until_ns <= granted_ns + VALID_MS * 1_000_000


async def test_who_stands_by_executes_nothing_until_it_is_its_turn(ledger: Ledger) -> None:
    """The stream stays open; when the other's lease has lapsed this agent joins on it, once it has seen what that one
    left at the terminal. One that comes back has not to look."""
    lane = Lane(ledger)
    await refuse(ledger, "old")
    async with lane.running():
        lane.engine.say(standby=pb.Standby(agent="pc-2"))
        await eventually(lambda: lane.lane.role is Role.STANDBY)
        await refuse(ledger, "meanwhile")
        assert not lane.lease.holds(boot_ns())
        assert [request.WhichOneof("kind") for request in lane.engine.heard] == ["hello"]
        lane.engine.join()
        await eventually(lambda: lane.engine.reported() == ["old/REJECTED", "meanwhile/REJECTED"])
        assert lane.lane.role is Role.EXECUTING
        assert lane.engine.opened == 1
        assert lane.cargo.stood == [True]
        lane.engine.says.put_nowait(grpc.aio.EOF)
        await eventually(lambda: lane.engine.opened == 2)
        lane.engine.join()
        await eventually(lambda: lane.cargo.stood == [True, False, True])
        assert lane.cargo.taken_over == 1


async def test_reports_are_pushed_and_a_refused_one_is_set_aside(ledger: Ledger) -> None:
    """As soon as they are on disk, several in a message; what the engine has is not kept."""
    lane = Lane(ledger)
    async with lane.running():
        lane.engine.join()
        await eventually(lambda: lane.engine.of("clock"))
        await refuse(ledger, "a", "b")
        await eventually(lambda: lane.engine.reported() == ["a/REJECTED", "b/REJECTED"])
        assert len(lane.engine.of("reports")) == 1
        assert lane.engine.of("reports")[0].reports[0].reported_unix_ns
        refused = pb.RefusedReport(report_id="a/REJECTED", reason="UNKNOWN_ORDER", message="nobody knows it")
        lane.engine.say(report_acks=pb.ReportAcks(report_ids=["b/REJECTED"], refused=[refused]))

        async def is_empty() -> bool:
            return await ledger.reports(ACCOUNT, 10) == []

        await eventually(is_empty)
        assert [one.reason for one in await ledger.refused_reports()] == ["UNKNOWN_ORDER"]
        assert lane.lane.unacknowledged == 0


async def test_an_intent_is_told_together_with_its_outcome(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """When that follows at once; by itself when the broker takes its time."""
    monkeypatch.setattr(signal_lane, "_INTENT_WAITS_S", 1_000.0)
    lane = Lane(ledger)
    async with lane.running():
        lane.engine.join()
        await eventually(lambda: lane.engine.of("clock"))
        await receive(ledger, OrderState.INTENT, "quick")
        await ledger.settle("quick", Result(OrderState.FILLED))
        await eventually(lambda: lane.engine.reported() == ["quick/INTENT", "quick/FILLED"])
        assert len(lane.engine.of("reports")) == 1
        monkeypatch.setattr(signal_lane, "_INTENT_WAITS_S", 0.001)
        await receive(ledger, OrderState.INTENT, "slow")
        await eventually(lambda: lane.engine.reported()[2:] == ["slow/INTENT"])
        await ledger.settle("slow", Result(OrderState.FILLED))
        await eventually(lambda: lane.engine.reported()[2:] == ["slow/INTENT", "slow/FILLED"])


async def test_signals_are_acknowledged_when_they_are_written(ledger: Ledger) -> None:
    """More are read meanwhile; a gap is asked for; what came before is told again."""
    lane = Lane(ledger)
    async with lane.running():
        lane.engine.join()
        lane.engine.say(signals=pb.Signals(signals=[message(4)]))
        lane.engine.say(signals=pb.Signals(signals=[message(3), message(5), message(7)]))
        await eventually(lambda: len(lane.execution.taken) == 2)
        assert [[one.seq for one in batch] for batch in lane.execution.taken] == [[4], [5]]
        assert [one.seq for one in lane.execution.repeated] == [3]
        assert [(one.from_seq, one.to_seq) for one in lane.engine.of("missing")] == [(6, 6)]
        assert lane.engine.of("signal_ack") == []
        lane.execution.written.set()
        await eventually(lambda: [ack.seq for ack in lane.engine.of("signal_ack")] == [4, 5])


async def test_streams_that_break_behind_signals_leave_room_for_the_next(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that crashes as it starts, again and again, must not leave an agent that takes no signal for ever."""
    monkeypatch.setattr(signal_lane, "_MOST_TAKEN_TOGETHER", 2)
    monkeypatch.setattr(signal_lane, "backoff", lambda *_: repeat(0.001))
    lane = Lane(ledger)
    lane.execution.written.set()
    async with lane.running():
        for stream in range(1, 5):
            lane.engine.join()
            lane.engine.say(signals=pb.Signals(signals=[message(3 + stream)]))
            lane.engine.crash()
            await eventually(lambda: (len(lane.execution.taken), lane.engine.opened) == (stream, stream + 1))  # noqa: B023


async def test_what_concerns_the_account_is_handed_on(ledger: Ledger) -> None:
    """Trading state, exposures, acknowledged deals; and what is to be told goes up with the rest."""
    lane = Lane(ledger)
    async with lane.running():
        lane.engine.join()
        lane.engine.say(trading_state=pb.TradingStateChange())
        lane.engine.say(exposures=pb.EngineExposures())
        lane.engine.say(deal_acks=pb.DealAcks(deals=[1]))
        await eventually(lambda: lane.cargo.taken == ["trading_state", "exposures", "deal_acks"])
        assert [snapshot.balance for snapshot in lane.engine.of("snapshot")] == ["1"]


async def test_an_agent_that_stops_says_farewell(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind all that it had to say; nothing is executed or begun anew: another agent may take over at once."""
    monkeypatch.setattr(signal_lane, "_FAREWELL_S", 1_000.0)
    lane = Lane(ledger)
    async with lane.running():
        lane.engine.join()
        await eventually(lambda: lane.lane.stands)
        await refuse(ledger, "last")
        async with asyncio.TaskGroup() as tasks:
            stopping = tasks.create_task(lane.lane.stop())
            await eventually(lambda: lane.engine.over)
            lane.engine.say(
                clock=pb.ClockReply(agent_unix_ns=lane.engine.of("clock")[0].agent_unix_ns, valid_for_ms=9_000)
            )
            assert not stopping.done()
            lane.engine.says.put_nowait(grpc.aio.EOF)
        assert lane.engine.reported() == ["last/REJECTED"]
        assert lane.engine.heard[-1].HasField("farewell")
        assert not lane.lease.holds(boot_ns())
    assert lane.engine.opened == 1


async def test_an_engine_that_takes_nothing_any_more_is_left(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said to it would pile up on the PC; the next stream may find another one."""
    monkeypatch.setattr(signal_lane, "_PROBE_S", 0.001)
    lane = Lane(ledger)
    lane.engine.join()
    async with lane.running():
        await eventually(lambda: lane.engine.opened == 2)
        assert lane.lane.role is Role.DISCONNECTED
