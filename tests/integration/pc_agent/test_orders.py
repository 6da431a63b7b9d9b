"""Signals down lane 0 to the terminal and reports back, with the agent dying around `order_send`.

One terminal and one engine for all; what restarts the agent comes last.
"""

import time
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from pathlib import Path

import pytest
import pytest_asyncio
from suho.trading.v1 import order_pb2

from compose.embedded.programs import Value
from tests.integration.pc_agent.conftest import Rig, open_rig
from tests.support import eventually
from tests.support.replay_file import generate

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

PATIENT: dict[str, Value] = {"max_quote_age_ms": 0, "execution_timeout_ms": 30_000}
"""However slow the machine: no order is in doubt for it."""


async def start(rig: Rig, tmp_path: Path, symbols: Sequence[str] = ("EURUSD",), **settings: Value) -> None:
    """A market that has ended: its last price stands. Reconciliation is quick."""
    files = [generate(tmp_path, symbol, 2_000, 1) for symbol in symbols]
    await rig.start_terminal([file.feed for file in files], "max")
    await rig.start_agent(reconcile_after_s=1.0, **settings)
    await rig.joined()
    await eventually(lambda: all(rig.bridge.count(symbol) == 2_000 for symbol in symbols))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    folder = tmp_path_factory.mktemp("orders")
    async with open_rig(folder) as made:
        await start(made, folder, ("EURUSD", "GBPUSD"), **PATIENT)
        yield made


async def again(rig: Rig, failpoints: str = "") -> None:
    """Another agent on the same ledger."""
    await rig.end_agent()
    rig.engine.hello = None
    await rig.start_agent(failpoints, reconcile_after_s=1.0, **PATIENT)
    await eventually(lambda: rig.engine.hello, 30)


async def test_a_signal_is_executed_once_and_reported_with_what_proves_it(rig: Rig) -> None:
    """ACCEPTED, then FILLED with ticket, deal, price and times."""
    await rig.engine.submit("s1", "EURUSD")
    await eventually(lambda: rig.engine.states("s1") == ["ACCEPTED", "FILLED"])
    report = rig.engine.last("s1")
    assert report.ticket
    assert report.deal
    assert Decimal(report.filled_volume) == Decimal("0.1")
    assert Decimal(report.filled_price) == pytest.approx(Decimal("1.1"), abs=Decimal("0.1"))
    assert report.received_unix_ns <= report.intent_unix_ns <= report.called_unix_ns <= report.answered_unix_ns
    await eventually(lambda: rig.engine.acknowledged == 1)


async def test_what_can_not_be_executed_is_refused_with_its_reason(rig: Rig) -> None:
    """An unset side, a volume that is no number, a symbol nobody knows, an old signal, a volume too small."""
    before = rig.deals()
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
    assert rig.deals() == before


async def test_an_order_of_each_kind_does_what_it_says(rig: Rig) -> None:
    """Placed, changed, removed; opened, protected, closed by part and whole. Each report bears its way's times."""
    before = rig.deals()
    kind = order_pb2.OrderKind.Value

    async def order(name: str, what: str, **fields: object) -> order_pb2.ExecutionReport:
        await rig.engine.submit(name, "GBPUSD", kind=kind(f"ORDER_KIND_{what}"), sent_unix_ns=time.time_ns(), **fields)
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
    assert rig.deals() == before + 3


async def test_signals_that_never_arrived_are_asked_for(rig: Rig) -> None:
    """A gap in the sequence holds what follows until the missing place is filled."""
    place = len(rig.engine.signals) + 1
    rig.engine.skip = {place}
    await rig.engine.submit("first", "EURUSD")
    await rig.engine.submit("second", "EURUSD", side=order_pb2.ORDER_SIDE_SELL)
    await eventually(lambda: rig.engine.states("second")[-1:] == ["FILLED"])
    assert [(m.from_seq, m.to_seq) for m in rig.engine.missing] == [(place, place)]
    assert rig.engine.last("first").ticket < rig.engine.last("second").ticket
    await eventually(lambda: rig.engine.acknowledged == place + 1)


async def test_a_symbol_in_doubt_is_frozen(rig: Rig) -> None:
    """A redelivered signal that the ledger does not know is UNKNOWN; nothing else is sent on its symbol meanwhile."""
    before = rig.deals()
    await rig.engine.submit("lost", "EURUSD", valid_ms=1_500, redelivered=True)
    await rig.engine.submit("next", "EURUSD")
    await eventually(lambda: rig.engine.states("next") == ["REJECTED"])
    assert rig.engine.last("next").reason == "SYMBOL_FROZEN"
    await eventually(lambda: rig.engine.states("lost") == ["UNKNOWN", "NOT_EXECUTED"])
    assert rig.deals() == before


async def test_a_new_epoch_executes_nothing_again(rig: Rig) -> None:
    """It hands everything out anew: another agent on the same ledger says how each stands."""
    before, deals = len(rig.engine.reports), rig.deals()
    rig.engine.epoch += 1
    for signal in rig.engine.signals:
        signal.epoch = rig.engine.epoch
    await again(rig)
    await eventually(lambda: rig.engine.acknowledged == len(rig.engine.signals) and len(rig.engine.reports) > before)
    assert rig.engine.states("s1") == ["ACCEPTED", "FILLED"]
    assert rig.deals() == deals


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
    before = rig.deals()
    await again(rig, failpoints=f"{place}=kill@{tmp_path / 'died'}")
    await rig.engine.submit(place, "EURUSD", valid_ms=3_000)
    await eventually((tmp_path / "died").exists)
    if place != "order_send.inside":  # there it is the worker that dies
        await again(rig)
    await eventually(lambda: rig.engine.states(place)[-1:] == [state], timeout_s=30)
    assert "UNKNOWN" in rig.engine.states(place)
    assert rig.deals() == before + deals
    if deals:
        assert Decimal(rig.engine.last(place).filled_volume) == Decimal("0.1")
        assert rig.engine.last(place).deal
    await rig.engine.submit(f"behind {place}", "EURUSD")
    await eventually(lambda: rig.engine.states(f"behind {place}")[-1:] == ["FILLED"])
    assert rig.deals() == before + deals + 1
