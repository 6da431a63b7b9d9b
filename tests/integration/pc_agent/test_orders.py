"""Signals down lane 0 to the terminal and reports back, with the agent dying around `order_send`."""

import time
from decimal import Decimal
from pathlib import Path

import pytest
from suho.trading.v1 import order_pb2

from compose.embedded.programs import Value
from tests.integration.pc_agent.conftest import Rig
from tests.support import eventually
from tests.support.replay_file import generate

pytestmark = pytest.mark.integration


async def start(rig: Rig, tmp_path: Path, failpoints: str = "", **settings: Value) -> None:
    """A market that has ended: its last price stands. Reconciliation is quick."""
    file = generate(tmp_path, "EURUSD", 2_000, 1)
    await rig.start_terminal([file.feed], "max")
    await rig.start_agent(failpoints, reconcile_after_s=1.0, **settings)
    await rig.joined()
    await eventually(lambda: rig.bridge.count("EURUSD") == 2_000)


async def test_a_signal_is_executed_once_and_reported_with_what_proves_it(rig: Rig, tmp_path: Path) -> None:
    """ACCEPTED, then FILLED with ticket, deal, price and times; the same signal again changes nothing."""
    await start(rig, tmp_path)
    await rig.engine.submit("s1", "EURUSD")
    await eventually(lambda: rig.engine.states("s1") == ["ACCEPTED", "FILLED"])
    report = rig.engine.last("s1")
    assert report.ticket
    assert report.deal
    assert Decimal(report.filled_volume) == Decimal("0.1")
    assert Decimal(report.filled_price) == pytest.approx(Decimal("1.1"), abs=Decimal("0.1"))
    assert report.received_unix_ns <= report.intent_unix_ns <= report.called_unix_ns <= report.answered_unix_ns
    assert rig.engine.acknowledged == 1
    rig.engine.epoch += 1  # a new epoch hands it out again, in a place of its own
    rig.engine.signals[0].epoch = rig.engine.epoch
    before = len(rig.engine.reports)
    assert rig.agent is not None
    rig.agent.kill()
    await rig.agent.wait()
    await rig.start_agent()
    await eventually(lambda: len(rig.engine.reports) > before)
    assert rig.engine.states("s1") == ["ACCEPTED", "FILLED"]
    assert rig.deals() == 1


async def test_what_can_not_be_executed_is_refused_with_its_reason(rig: Rig, tmp_path: Path) -> None:
    """An unset side, a volume that is no number, a symbol nobody knows, an old signal, a volume too small."""
    await start(rig, tmp_path)
    await rig.engine.submit("unset", "EURUSD", side=order_pb2.ORDER_SIDE_UNSPECIFIED)
    await rig.engine.submit("volume", "EURUSD", volume="many")
    await rig.engine.submit("symbol", "NOPE")
    await rig.engine.submit("late", "EURUSD", valid_ms=-1)
    await rig.engine.submit("tiny", "EURUSD", volume="0.001")
    await eventually(lambda: {"unset", "volume", "symbol", "late"} <= {r.signal_id for r in rig.engine.reports})
    await eventually(lambda: rig.engine.states("tiny")[-1:] == ["REJECTED"])
    reasons = {report.signal_id: report.reason for report in rig.engine.reports}
    assert reasons["unset"] == reasons["volume"] == "INVALID_SIGNAL"
    assert reasons["symbol"] == "UNKNOWN_SYMBOL"
    assert reasons["late"] == "EXPIRED"
    assert reasons["tiny"] == "VOLUME_TOO_SMALL"
    assert rig.deals() == 0


async def test_an_order_of_each_kind_does_what_it_says(rig: Rig, tmp_path: Path) -> None:
    """Placed, changed, removed; opened, protected, closed by part and whole. Each report bears its way's times."""
    await start(rig, tmp_path, max_quote_age_ms=0)
    kind = order_pb2.OrderKind.Value

    async def order(name: str, what: str, **fields: object) -> order_pb2.ExecutionReport:
        await rig.engine.submit(name, "EURUSD", kind=kind(f"ORDER_KIND_{what}"), sent_unix_ns=time.time_ns(), **fields)
        await eventually(lambda: rig.engine.states(name)[1:])
        return rig.engine.last(name)

    changes = {"side": order_pb2.ORDER_SIDE_UNSPECIFIED, "volume": ""}
    placed = await order("limit", "LIMIT", price="0.5", stop_loss="0.4")
    assert placed.state == order_pb2.ORDER_STATE_PLACED
    changed = await order("change", "MODIFY_ORDER", order_ticket=placed.ticket, price="0.6", **changes)
    assert (changed.state, changed.reason) == (order_pb2.ORDER_STATE_DONE, "DONE")
    removed = await order("remove", "CANCEL_ORDER", order_ticket=placed.ticket, **changes)
    assert removed.state == order_pb2.ORDER_STATE_DONE
    opened = await order("open", "MARKET", volume="0.30")
    assert opened.state == order_pb2.ORDER_STATE_FILLED
    stops = await order("stops", "MODIFY_POSITION", position=opened.ticket, stop_loss="0.5", **changes)
    assert stops.state == order_pb2.ORDER_STATE_DONE
    again = await order("again", "MODIFY_POSITION", position=opened.ticket, stop_loss="0.5", **changes)
    assert (again.state, again.reason) == (order_pb2.ORDER_STATE_DONE, "NO_CHANGES")
    part = await order("part", "CLOSE", position=opened.ticket, side=order_pb2.ORDER_SIDE_SELL, volume="0.10")
    rest = await order("rest", "CLOSE", position=opened.ticket, **changes)
    assert [Decimal(report.filled_volume) for report in (part, rest)] == [Decimal("0.1"), Decimal("0.2")]
    gone = await order("gone", "CLOSE", position=opened.ticket, **changes)
    assert (gone.state, gone.reason) == (order_pb2.ORDER_STATE_REJECTED, "POSITION_CLOSED")
    times = (opened.sent_unix_ns, opened.received_unix_ns, opened.intent_unix_ns, opened.queued_unix_ns,
             opened.called_unix_ns, opened.answered_unix_ns, opened.reported_unix_ns)  # fmt: skip
    assert list(times) == sorted(times)
    assert all(times)
    assert abs(opened.clock_offset_ns) < 10**9
    assert rig.deals() == 3


async def test_signals_that_never_arrived_are_asked_for(rig: Rig, tmp_path: Path) -> None:
    """A gap in the sequence holds what follows until the missing place is filled."""
    await start(rig, tmp_path)
    rig.engine.skip = {1}
    await rig.engine.submit("first", "EURUSD")
    await rig.engine.submit("second", "EURUSD", side=order_pb2.ORDER_SIDE_SELL)
    await eventually(lambda: rig.engine.states("second")[-1:] == ["FILLED"])
    assert [(m.from_seq, m.to_seq) for m in rig.engine.missing] == [(1, 1)]
    assert rig.engine.last("first").ticket < rig.engine.last("second").ticket
    assert rig.engine.acknowledged == 2


@pytest.mark.parametrize(
    ("place", "state", "deals"),
    [
        ("order_send.before", "NOT_EXECUTED", 0),
        ("order_send.inside", "FILLED", 1),
        ("order_send.after", "FILLED", 1),
    ],
)
async def test_a_death_around_order_send_never_doubles_it(
    rig: Rig, tmp_path: Path, place: str, state: str, deals: int
) -> None:
    """Whoever dies where, the terminal holds at most one deal and a truthful report arrives."""
    await start(rig, tmp_path, failpoints=f"{place}=kill@{tmp_path / 'died'}")
    await rig.engine.submit("s1", "EURUSD", valid_ms=2_000)
    await eventually((tmp_path / "died").exists)
    assert rig.agent is not None
    if place != "order_send.inside":  # there it is the worker that dies
        await rig.agent.wait()
        await rig.start_agent(reconcile_after_s=1.0)
    await eventually(lambda: rig.engine.states("s1")[-1:] == [state], timeout_s=15)
    assert "UNKNOWN" in rig.engine.states("s1")
    assert rig.deals() == deals
    if deals:
        assert Decimal(rig.engine.last("s1").filled_volume) == Decimal("0.1")
        assert rig.engine.last("s1").deal
    await rig.engine.submit("s2", "EURUSD")
    await eventually(lambda: rig.engine.states("s2")[-1:] == ["FILLED"])
    assert rig.deals() == deals + 1


async def test_a_symbol_in_doubt_is_frozen(rig: Rig, tmp_path: Path) -> None:
    """A redelivered signal that the ledger does not know is UNKNOWN; nothing else is sent on its symbol meanwhile."""
    await start(rig, tmp_path)
    await rig.engine.submit("lost", "EURUSD", valid_ms=1_500, redelivered=True)
    await eventually(lambda: rig.engine.states("lost") == ["UNKNOWN"])
    await rig.engine.submit("next", "EURUSD")
    await eventually(lambda: rig.engine.states("next") == ["REJECTED"])
    assert rig.engine.last("next").reason == "SYMBOL_FROZEN"
    await eventually(lambda: rig.engine.states("lost") == ["UNKNOWN", "NOT_EXECUTED"])
    assert rig.deals() == 0
