"""What a look at a terminal makes of the records, and what they are called."""

from dataclasses import replace
from decimal import Decimal
from uuid import UUID

from pc_agent.domain.books import BookDeal
from pc_agent.domain.observation import TerminalLook, commission_per_lot, money, seen
from pc_agent.domain.reference import Broker, Record, Status, TradingAccount, holder, observed

LOOK = TerminalLook(
    "C:/MT5/terminal64.exe", True, "Broker-Live", "Broker Ltd", 42, 2, "EUR", 200, 0.1 + 0.2, 1e-7, 50, 512,
    ("USDJPY", "EURUSD"), True,
)  # fmt: skip


def test_two_pcs_call_the_same_broker_and_account_the_same() -> None:
    """An installation is each PC's own, and another one when it is logged in to another broker."""
    here, there = seen("pc-1", LOOK), seen("pc-2", LOOK)
    assert (here[0], here[2].account_id) == (there[0], there[2].account_id)  # type: ignore[union-attr]
    moved = seen("pc-1", replace(LOOK, server="Other-Live"))
    ids = {content.instance_id for content in (here[1], there[1], moved[1])}  # type: ignore[union-attr]
    assert len(ids) == 3


def test_money_is_what_the_terminal_shows() -> None:
    """0.1 + 0.2 is 0.30000000 in an account, whatever a double says; leverage 200 wants half a percent of margin."""
    broker, _, account = seen("pc-1", LOOK)
    assert isinstance(broker, Broker)
    assert isinstance(account, TradingAccount)
    assert (account.balance, account.equity) == (Decimal("0.3"), Decimal("0.0000001"))
    assert (broker.margin_requirement, broker.currency_pairs_supported) == (Decimal("0.5"), ("EURUSD", "USDJPY"))
    assert money(12345678.9) == Decimal("12345678.9")


def test_a_look_that_shows_nothing_new_changes_nothing() -> None:
    """What a look can not tell keeps its value; what was removed and is there is no more removed."""
    content = seen("pc-1", LOOK)[0]
    known = Record(replace(content, commission_per_lot=Decimal(7)), 5, False, 10, 10, "pc-2")  # type: ignore[call-arg]
    assert observed(known, content, 20, "pc-1") is None
    back = observed(replace(known, removed=True), content, 20, "pc-1")
    assert back == replace(known, updated_unix_ms=20, updated_by="pc-1")
    first = observed(None, content, 20, "pc-1")
    assert first == Record(content, 0, False, 20, 20, "pc-1")


def test_an_account_names_the_first_instance_while_that_is_active() -> None:
    """Two PCs with the same account do not write over each other."""
    first, second = UUID(int=1), UUID(int=2)
    assert holder(None, second, {}) == second
    assert holder(first, second, {first: Status.ACTIVE}) == first
    assert holder(first, second, {first: Status.INACTIVE}) == second
    assert holder(first, second, {}) == second


def test_a_commission_is_what_the_newest_trade_cost() -> None:
    """A lot's part of it, on each deal, whichever sign the broker writes; trades without one tell nothing."""
    free = BookDeal(9, 1, 0, "", "EURUSD", 0, 1.0, 1.1)
    paid = [replace(free, ticket=7, commission=-3.5, volume=0.5), replace(free, ticket=3, commission=-1.0)]
    assert commission_per_lot([free], None) is None
    assert commission_per_lot([free, *paid], None) == 7.0
    assert commission_per_lot([free], 7.0) == 7.0
