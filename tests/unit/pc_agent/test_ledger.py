"""What the ledger keeps and what it refuses."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from pc_agent.domain.orders import Account, Entry, OrderState, Result, Side, Signal
from pc_agent.file_lock import LockedError
from pc_agent.orders.ledger import Ledger, LedgerError, open_ledger

ACCOUNT = Account("twin-1", 1_000_001)


def entry(name: str, seq: int = 1, state: OrderState = OrderState.RECEIVED) -> Entry:
    signal = Signal(name, ACCOUNT, 2**63, seq, False, True, "EURUSD", Side.SELL, "0.1", "1.2", "1.0", 5)
    return Entry(signal, Result(state), 11)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(tmp_path) as opened:
        yield opened


async def test_what_is_written_is_there_for_the_next_agent(tmp_path: Path) -> None:
    """Signals, how far the sequence got and reports survive; an open entry comes back as it was."""
    with open_ledger(tmp_path) as first:
        assert await first.receive(ACCOUNT, 2**63, 2, [entry("a"), entry("b", 2)]) == {"a", "b"}
        await first.intend(["b"], 12)
        await first.settle("b", Result(OrderState.FILLED, ticket=2**63 + 1, deal=7, volume="0.1", price="1.1"))
    with open_ledger(tmp_path) as second:
        assert await second.last_seq(ACCOUNT) == (2**63, 2)
        assert await second.open_entries(ACCOUNT) == [entry("a")]
        reports = await second.reports(ACCOUNT, 10)
        assert [report.report_id for report in reports] == ["b/INTENT", "b/FILLED"]
        assert reports[1].entry.result.ticket == 2**63 + 1
        assert reports[1].entry.intent_unix_ns == 12


async def test_a_report_never_changes(ledger: Ledger) -> None:
    """What an acceptance said stays as it was when the order is filled; a repeated report is the same one."""
    await ledger.receive(ACCOUNT, 1, 1, [entry("a")])
    await ledger.intend(["a"], 12)
    await ledger.settle("a", Result(OrderState.FILLED, ticket=4))
    accepted, filled = await ledger.reports(ACCOUNT, 10)
    assert (accepted.entry.state, accepted.entry.result.ticket) == (OrderState.INTENT, 0)
    await ledger.acknowledged([accepted.report_id, filled.report_id])
    assert await ledger.reports(ACCOUNT, 10) == []
    assert await ledger.repeat("a")
    (again,) = await ledger.reports(ACCOUNT, 10)
    assert (again.report_id, again.entry.result) == (filled.report_id, filled.entry.result)
    assert not await ledger.repeat("never seen")


async def test_a_known_signal_is_not_taken_twice(ledger: Ledger) -> None:
    """The second delivery changes nothing of the first."""
    await ledger.receive(ACCOUNT, 1, 1, [entry("a")])
    await ledger.intend(["a"], 12)
    assert await ledger.receive(ACCOUNT, 1, 2, [entry("a", 2)]) == frozenset()
    assert [open_entry.state for open_entry in await ledger.open_entries(ACCOUNT)] == [OrderState.INTENT]


@pytest.mark.parametrize("state", [OrderState.REJECTED, OrderState.EXPIRED, OrderState.INTENT])
async def test_doubt_is_never_called_refusal(ledger: Ledger, state: OrderState) -> None:
    """From UNKNOWN an order is proven filled or proven not executed, nothing else; what failed leaves no trace."""
    await ledger.receive(ACCOUNT, 1, 1, [entry("a", state=OrderState.UNKNOWN)])
    with pytest.raises(LedgerError, match="UNKNOWN"):
        await (ledger.intend(["a"], 1) if state is OrderState.INTENT else ledger.settle("a", Result(state)))
    await ledger.settle("a", Result(OrderState.NOT_EXECUTED))
    assert [report.entry.state for report in await ledger.reports(ACCOUNT, 10)] == [
        OrderState.UNKNOWN,
        OrderState.NOT_EXECUTED,
    ]


async def test_writers_together_fail_alone(ledger: Ledger) -> None:
    """Of many at once the one that may not is refused, the others are written."""
    await ledger.receive(ACCOUNT, 1, 3, [entry("a"), entry("b", 2), entry("c", 3)])
    await ledger.intend(["b"], 1)
    outcomes = await asyncio.gather(*(ledger.intend([name], 2) for name in "abc"), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), LedgerError, type(None)]
    assert {open_entry.intent_unix_ns for open_entry in await ledger.open_entries(ACCOUNT)} == {1, 2}


async def test_what_can_not_be_written_is_told_to_who_asked(ledger: Ledger) -> None:
    """A number beyond SQLite's is refused; the ledger goes on."""
    await ledger.receive(ACCOUNT, 1, 1, [entry("a")])
    async with asyncio.timeout(5):
        with pytest.raises(OverflowError):
            await ledger.intend(["a"], 2**63)
        await ledger.intend(["a"], 1)


async def test_a_ledger_has_one_owner(ledger: Ledger, tmp_path: Path) -> None:
    """A second agent on the same folder is refused."""
    with pytest.raises(LockedError, match="held by another"), open_ledger(tmp_path):
        pass
