"""The person's word at the PC: live money, confirmations, doubts, and the end of all that is open; two accounts."""

from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from suho.agent.v1 import agent_pb2 as pb
from suho.agent.v1 import store_pb2, store_pb2_grpc
from suho.common.v1 import record_pb2
from suho.trading.v1 import order_pb2

from cli.agent_connection import AgentCalls
from mesh.channel import direct_channel
from mesh.errors import MeshError, Reason
from pc_agent.control.endpoint import find
from pc_agent.twin.control import clear_faults, deal_count, script_fault
from pc_agent.twin.feeds import plan_feeds, server_name
from tests.integration.pc_agent.conftest import Rig
from tests.integration.pc_agent.test_truth import ask
from tests.support import eventually
from tests.support.replay_file import generate

pytestmark = pytest.mark.integration

LIMIT = order_pb2.ORDER_KIND_LIMIT


async def refusal_of(folder: Path, method: str, request: Any) -> MeshError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ask(folder, method, request)
    return MeshError.of(refused.value)


async def prefer(folder: Path, name: str) -> None:
    """Switch it on."""
    endpoint = find(folder / "agent")
    async with direct_channel([endpoint.address]) as channel:
        agent = AgentCalls(channel, endpoint.token)
        wanted = store_pb2.SetPreferencesRequest(
            preferences=record_pb2.Preferences(**{name: True}), fields=FieldMask(paths=[name])
        )
        await agent(store_pb2_grpc.StoreServiceStub(channel).SetPreferences, wanted)


async def test_the_person_at_the_pc_has_the_last_word(rig: Rig, tmp_path: Path) -> None:
    """An account that is no demo waits for him; so does a doubt, and every entry when he wants that. A halt that
    flattens closes what can be closed, tells what can not, and does the rest when it is asked again."""
    eurusd, xauusd = (generate(tmp_path, symbol, 500, 1).feed for symbol in ("EURUSD", "XAUUSD"))
    await rig.start_terminal([eurusd], "max")
    await rig.start_terminal([xauusd], "max", "live", trade_mode="real")
    demo, live = (server_name(plan_feeds((feed,)), 1) for feed in (eurusd, xauusd))
    tables = (rig.table(name="demo", server=demo), rig.table("live", name="live", server=live))
    await rig.start_agent(terminals=tables, max_quote_age_ms=0)
    await eventually(lambda: rig.engine.hellos.keys() == {demo, live}, 25)
    ours, real = rig.engine.hellos[demo].account, rig.engine.hellos[live].account

    await rig.engine.submit("forbidden", "XAUUSD", account=real, seq=1)
    await eventually(lambda: rig.engine.states("forbidden") == ["REJECTED"])
    assert rig.engine.last("forbidden").reason == "LIVE_MONEY_NOT_ALLOWED"
    assert (await refusal_of(tmp_path, "AllowLiveMoney", pb.AllowLiveMoneyRequest(allowed=True))).reason is (
        Reason.INVALID_ARGUMENT
    )
    await ask(tmp_path, "AllowLiveMoney", pb.AllowLiveMoneyRequest(account=real, allowed=True))
    await rig.engine.submit("held", "XAUUSD", account=real, seq=2)
    await eventually(lambda: rig.engine.states("held")[-1:] == ["FILLED"])

    script_fault(rig.terminal, "timeout")
    await rig.engine.submit("lost", "EURUSD", account=ours, seq=1)
    await eventually(lambda: rig.engine.states("lost")[-1:] == ["UNKNOWN"])
    seen = pb.ResolveOrderRequest(signal_id="lost", state=order_pb2.ORDER_STATE_FILLED, filled_volume="0.1")
    assert (await refusal_of(tmp_path, "ResolveOrder", seen)).reason is Reason.INVALID_ARGUMENT
    seen = pb.ResolveOrderRequest(signal_id="lost", state=order_pb2.ORDER_STATE_NOT_EXECUTED)
    await ask(tmp_path, "ResolveOrder", seen)
    await eventually(lambda: rig.engine.states("lost")[-1:] == ["NOT_EXECUTED"])
    assert (await refusal_of(tmp_path, "ResolveOrder", seen)).reason is Reason.NOT_IN_DOUBT

    await prefer(tmp_path, "trade_confirmation")
    for seq, name in enumerate(("no", "yes"), 2):
        await rig.engine.submit(name, "EURUSD", account=ours, seq=seq)
    await rig.engine.submit("resting", "EURUSD", account=ours, seq=4, kind=LIMIT, price="0.5")

    async def waiting() -> list[pb.Confirmation]:
        return list((await ask(tmp_path, "ListConfirmations", pb.ListConfirmationsRequest())).confirmations)

    async def all_wait() -> bool:
        return [one.signal_id for one in await waiting()] == ["no", "yes", "resting"]

    await eventually(all_wait)
    assert [one.sentence for one in await waiting()][1] == "market buy 0.10 lots of EURUSD"
    status = (await ask(tmp_path, "GetStatus", pb.GetStatusRequest())).status
    assert (list(status.confirmations), status.confirmations[0].account) == (await waiting(), ours)
    words = [pb.ConfirmRequest(signal_id=name, confirmed=name != "no") for name in ("yes", "no", "resting")]
    assert [(await ask(tmp_path, "Confirm", one)).behind for one in words] == ["no", "", ""]
    await eventually(lambda: [rig.engine.states(name)[-1:] for name in ("no", "yes", "resting")]
                     == [["REJECTED"], ["FILLED"], ["PLACED"]])  # fmt: skip
    assert rig.engine.last("no").reason == "NOT_CONFIRMED"
    late = pb.ConfirmRequest(signal_id="yes", confirmed=True)
    assert (await refusal_of(tmp_path, "Confirm", late)).reason is Reason.UNKNOWN_ORDER

    script_fault(tmp_path / "live", "none", function="positions_get", times=10_000)
    half = await refusal_of(tmp_path, "Halt", pb.HaltRequest(flatten=True))
    position, order, kept = (rig.engine.last(name).ticket for name in ("yes", "resting", "held"))
    assert half.reason is Reason.TERMINAL_AWAY
    assert half.message.startswith("entries are stopped, but not everything was closed: the terminal of ")
    assert half.message.endswith(f"closed or removed: order {order}, {position}")
    assert (deal_count(rig.terminal), deal_count(tmp_path / "live")) == (2, 1)
    clear_faults(tmp_path / "live")

    async def rest() -> pb.HaltResponse:
        return await ask(tmp_path, "Halt", pb.HaltRequest(flatten=True))  # type: ignore[no-any-return]

    async def is_flat() -> bool:
        try:
            return [one.ticket for one in (await rest()).positions] == [kept]
        except grpc.aio.AioRpcError:  # its books are not back yet
            return False

    await eventually(is_flat, 20)
    assert deal_count(tmp_path / "live") == 2
    assert list((await ask(tmp_path, "Resume", pb.ResumeRequest())).remaining) == []
