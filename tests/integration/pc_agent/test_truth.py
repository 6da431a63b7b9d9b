"""What the terminal does without the engine, what the person at the PC says, and what the engine hears of it."""

import signal
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from grpc import StatusCode
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from suho.agent.v1 import agent_pb2 as pb
from suho.common.v1 import account_pb2
from suho.trading.v1 import order_pb2

from cli.agent_connection import AgentCalls
from mesh.channel import direct_channel
from mesh.errors import MeshError, Reason
from pc_agent.control.endpoint import find
from pc_agent.twin.control import close_by_hand, script_fault, trade_by_hand
from tests.integration.pc_agent.conftest import Rig
from tests.integration.pc_agent.test_orders import start
from tests.support import eventually

pytestmark = pytest.mark.integration


class Engine:
    """What the test's engine counts from what it heard: fills of reports, and what external deals moved."""

    def __init__(self, rig: Rig) -> None:
        self._end = rig.engine

    def net(self) -> Decimal:
        sides = {signal.signal_id: signal.side for signal in self._end.signals}
        filled = {report.signal_id: report for report in self._end.reports if report.filled_volume}
        total = sum((_signed(sides[name], one.filled_volume) for name, one in filled.items()), Decimal(0))
        moved = [deal for deal in self._end.deals.values() if deal.signal_id]
        return sum((_signed(deal.side, deal.volume) for deal in moved), total)

    def held(self) -> Decimal | None:
        """What the snapshot says is ours."""
        snapshot = self._end.snapshot
        if snapshot is None:
            return None
        ours = [position for position in snapshot.positions if position.signal_id]
        return sum((_signed(position.side, position.volume) for position in ours), Decimal(0))

    def causes(self) -> list[str]:
        return [order_pb2.DealCause.Name(deal.cause).removeprefix("DEAL_CAUSE_") for deal in self._end.deals.values()]


def _signed(side: int, volume: str) -> Decimal:
    return Decimal(volume) if side == order_pb2.ORDER_SIDE_BUY else -Decimal(volume)


async def ask(folder: Path, method: str, request: Any) -> Any:
    endpoint = find(folder / "agent")
    async with direct_channel([endpoint.address]) as channel:
        agent = AgentCalls(channel, endpoint.token)
        return await agent(getattr(agent.stub, method), request)


async def test_the_engine_counts_what_the_terminal_holds(rig: Rig, tmp_path: Path) -> None:
    """Whoever trades: our signals, a person by hand, the agent by itself, an order whose answer was lost, a stop-less
    foreign position that is adopted. The kill switch stops entries, and nothing that closes; a signal of the system
    throws it, and is for no worker."""
    await start(rig, tmp_path)
    engine, terminal = Engine(rig), rig.terminal
    await rig.engine.submit("s1", "EURUSD", volume="0.30")
    await eventually(lambda: rig.engine.states("s1")[-1:] == ["FILLED"])
    await eventually(lambda: engine.held() == Decimal("0.3"), 20)  # without cause it is told every 30 s
    close_by_hand(terminal, rig.engine.last("s1").ticket, 0.1)
    await eventually(lambda: engine.causes() == ["BY_HAND"] and engine.net() == engine.held() == Decimal("0.2"))

    script_fault(terminal, "executed-timeout")
    await rig.engine.submit("s2", "EURUSD", volume="0.10")
    await eventually(lambda: rig.engine.states("s2") == ["ACCEPTED", "UNKNOWN", "FILLED"])
    await eventually(lambda: engine.net() == engine.held() == Decimal("0.3"))

    account = rig.engine.hello.account if rig.engine.hello else account_pb2.AccountRef()
    answer = await ask(tmp_path, "Halt", pb.HaltRequest(account=account, reason="a test"))
    assert list(answer.positions) == []
    await eventually(lambda: rig.engine.safety.reason == "KILL_SWITCH" if rig.engine.safety else False)
    await rig.engine.submit("s3", "EURUSD")
    await eventually(lambda: rig.engine.states("s3") == ["REJECTED"])
    assert rig.engine.last("s3").reason == "KILL_SWITCH"

    request = pb.ClosePositionsRequest(request_id="r1")
    (closed,) = (await ask(tmp_path, "ClosePositions", request)).positions
    assert closed.state == order_pb2.ORDER_STATE_FILLED
    await eventually(lambda: engine.causes() == ["BY_HAND", "AGENT"] and engine.net() == engine.held() == 0)
    assert (await ask(tmp_path, "Resume", pb.ResumeRequest())).remaining == []
    await eventually(lambda: not _is_halted(rig))
    signalled = [psutil.Process(rig.agent.pid if rig.agent else 0), *rig.workers()]
    for process in signalled:
        process.send_signal(signal.SIGUSR1)
    await eventually(lambda: _is_halted(rig))
    await ask(tmp_path, "Resume", pb.ResumeRequest())
    assert all(process.is_running() for process in signalled)

    foreign = trade_by_hand(terminal, "EURUSD", "sell", 0.5)
    await eventually(lambda: rig.engine.snapshot is not None and len(rig.engine.snapshot.positions) == 1)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ask(tmp_path, "ClosePositions", pb.ClosePositionsRequest(request_id="r2", positions=[foreign.order]))
    assert MeshError.of(refused.value).reason is Reason.UNKNOWN_TICKET
    await ask(tmp_path, "AdoptPosition", pb.AdoptPositionRequest(position=foreign.order))
    await eventually(lambda: engine.net() == engine.held() == Decimal("-0.5"))
    await ask(tmp_path, "ClosePositions", pb.ClosePositionsRequest(request_id="r2"))
    await eventually(lambda: engine.net() == engine.held() == 0)
    assert rig.deals() == 6


async def test_what_a_lost_ledger_opened_stays_ours(rig: Rig, tmp_path: Path) -> None:
    """The engine says again whose signals there were, void where they are over: a position that bears the mark of one
    is its own at the first look, is closed by signals, and what a person does to it moves the engine's count; a
    pending order is PLACED."""
    await start(rig, tmp_path)
    await rig.engine.submit("s1", "EURUSD", volume="0.30")
    await rig.engine.submit("p1", "EURUSD", volume="0.10", kind=order_pb2.ORDER_KIND_LIMIT, price="0.5")
    await eventually(lambda: (rig.engine.states("s1")[-1:], rig.engine.states("p1")[-1:]) == (["FILLED"], ["PLACED"]))
    ticket = rig.engine.last("s1").ticket
    await rig.end_agent()
    for file in (tmp_path / "agent").glob("ledger.sqlite*"):
        file.unlink()
    rig.engine.signals[0].void, rig.engine.snapshot, rig.engine.reports[:] = True, None, []
    await rig.start_agent()
    await eventually(lambda: Engine(rig).held() == Decimal("0.3"), 30)
    await eventually(lambda: rig.engine.states("s1")[-1:] == ["FILLED"] and rig.engine.states("p1")[-1:] == ["PLACED"])
    await rig.engine.submit("close", "EURUSD", kind=order_pb2.ORDER_KIND_CLOSE, position=ticket,
                            side=order_pb2.ORDER_SIDE_SELL)  # fmt: skip
    await eventually(lambda: rig.engine.states("close")[-1:] == ["FILLED"])
    close_by_hand(rig.terminal, ticket, 0.1)
    await eventually(lambda: Engine(rig).causes()[-1:] == ["BY_HAND"])
    assert Engine(rig).net() == Decimal("0.1")
    assert rig.deals() == 3


def _is_halted(rig: Rig) -> bool:
    return rig.engine.safety is not None and rig.engine.safety.halted


async def _services(channel: grpc.aio.Channel, metadata: Any) -> Any:
    """As reflection lists them; why it does not."""
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    try:
        async for answer in stub.ServerReflectionInfo(iter([request]), metadata=metadata):
            return [one.name for one in answer.list_services_response.service]
    except grpc.aio.AioRpcError as error:
        return error.code()


async def test_only_who_has_the_token_steers_the_agent(rig: Rig, tmp_path: Path) -> None:
    """Nobody else, not even to look; the token's file is its owner's alone."""
    await rig.start_agent()
    await eventually(lambda: (tmp_path / "agent" / "endpoint.json").exists(), 30)
    assert (tmp_path / "agent" / "endpoint.json").stat().st_mode & 0o77 == 0
    endpoint = find(tmp_path / "agent")
    async with direct_channel([endpoint.address]) as channel:
        stranger = AgentCalls(channel, "guessed")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stranger(stranger.stub.GetStatus, pb.GetStatusRequest())
        assert MeshError.of(refused.value).reason is Reason.TOKEN_WRONG

        async def refused_to_list() -> bool:
            # gRPC's client loses a refusal that comes while it still writes, now and then.
            return await _services(channel, ()) is StatusCode.UNAUTHENTICATED

        await eventually(refused_to_list)
        told = await _services(channel, (("authorization", f"Bearer {endpoint.token}"),))
        assert "suho.agent.v1.AgentService" in told
        owner = AgentCalls(channel, endpoint.token)
        status = (await owner(owner.stub.GetStatus, pb.GetStatusRequest())).status
        assert status.missing == "the terminal has not answered yet"
