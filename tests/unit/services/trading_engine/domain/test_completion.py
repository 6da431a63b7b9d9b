"""What an intent about a ticket leaves out."""

from dataclasses import replace
from decimal import Decimal

import pytest

from mesh.orders import Kind
from services.trading_engine.domain.completion import (
    UnknownTicketError,
    asks_the_same,
    completed,
    is_whole,
    ours,
    shows_what_counts,
)
from services.trading_engine.domain.order import (
    AccountId,
    AccountView,
    Books,
    Exposure,
    HeldPosition,
    Intent,
    Side,
    TradingState,
    WorkingOrder,
)

D = Decimal
BOOKS = Books(
    {
        7: HeldPosition(7, "EURUSD", Side.BUY, D("0.30"), "s0"),
        8: HeldPosition(8, "XAUUSD", Side.SELL, D("1"), ""),
    },
    {9: WorkingOrder(9, "EURUSD", "s1")},
)
CLOSE = Intent("c", AccountId("s", 1), "", None, None, None, None, "", 1, 2, kind=Kind.CLOSE, position=7)


def test_a_close_takes_its_rest_from_the_position() -> None:
    """Symbol, the other side, and all of its volume; what was said stays."""
    whole = completed(CLOSE, BOOKS)
    assert (whole.symbol, whole.side, whole.volume) == ("EURUSD", Side.SELL, D("0.30"))
    assert completed(replace(CLOSE, volume=D("0.10")), BOOKS).volume == D("0.10")
    assert (is_whole(CLOSE), is_whole(whole)) == (False, True)


def test_a_change_takes_its_symbol_from_its_ticket() -> None:
    """Of a position or of a pending order; side and volume it has none."""
    moved = completed(replace(CLOSE, kind=Kind.MODIFY_POSITION), BOOKS)
    removed = completed(replace(CLOSE, kind=Kind.CANCEL_ORDER, position=0, order_ticket=9), BOOKS)
    assert [(one.symbol, one.side, one.volume) for one in (moved, removed)] == [("EURUSD", None, None)] * 2


@pytest.mark.parametrize("tickets", [{"position": 1}, {"position": 0, "order_ticket": 7}])
def test_what_the_agent_does_not_know_can_not_be_completed(tickets: dict[str, int]) -> None:
    """A position is no order."""
    with pytest.raises(UnknownTicketError):
        completed(replace(CLOSE, **tickets), BOOKS)  # type: ignore[arg-type]


def test_the_same_request_asks_the_same_after_its_position_is_gone() -> None:
    """What was left out may have become anything; what was said may not differ."""
    whole = completed(CLOSE, BOOKS)
    assert asks_the_same(replace(CLOSE, submitted_unix_ns=5, not_after_unix_ms=6), whole)
    assert not asks_the_same(replace(CLOSE, position=8), whole)
    assert not asks_the_same(replace(CLOSE, volume=D("0.10")), whole)


def test_foreign_positions_are_not_ours() -> None:
    """Whatever is flattened, they are left alone."""
    assert [position.ticket for position in ours(BOOKS)] == [7]


@pytest.mark.parametrize(("counted", "shown"), [("0.20", True), ("0.30", False), ("0.10", False)])
def test_the_books_show_what_is_counted_or_something_is_on_its_way(counted: str, shown: bool) -> None:
    """Whoever traded it; what is foreign counts for nobody."""
    exposures = tuple(Exposure("EURUSD", who, net, 0, 0) for who, net in (("a", D("0.10")), ("", D(counted))))
    view = AccountView(AccountId("s", 1), TradingState.HALTED, 1, exposures, None, 0, books=BOOKS)
    assert shows_what_counts(view) is shown
