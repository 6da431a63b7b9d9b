"""Where ledger, terminal and engine do not say the same, and when that is told."""

from dataclasses import replace
from decimal import Decimal

from mesh.orders import Kind
from pc_agent.domain.attribution import Cause, External, Holding
from pc_agent.domain.books import BookDeal, BookOrder, BookPosition
from pc_agent.domain.differences import Difference, DifferenceKind, Lasting, Sides, differences
from pc_agent.domain.orders import Account, Entry, OrderState, Result, Side, Signal

D = Decimal
K = DifferenceKind
POSITION = BookPosition(51, 0, "", "EURUSD", 0, 0.3, 1.1, identifier=50)
OURS = Holding(50, "EURUSD", "s1", "", D("0.3"), D("0.3"))
AGREED = Sides((POSITION,), (), {50: OURS}, {}, (), (), (), {"EURUSD": D("0.3")})
SIGNAL = Signal("s9", Account("t", 1), 1, 1, False, False, "EURUSD", Side.BUY, "0.1", "", "", 1, kind=Kind.LIMIT)


def found(**changes: object) -> list[tuple[DifferenceKind, int, str]]:
    told = differences(replace(AGREED, **changes))  # type: ignore[arg-type]
    return [(one.kind, one.ticket, one.signal_id) for one in told]


def test_nothing_is_told_of_what_agrees() -> None:
    """Our position, its deals and what the engine counts are the same; a flat holding is none."""
    assert found() == []
    assert found(holdings={50: OURS, 60: Holding(60, "EURUSD", "s2")}) == []


def test_a_position_that_nobody_asked_for_is_unknown() -> None:
    """By its ticket, which a person can adopt; partly ours is told by the signal that traded into it."""
    shared = Holding(50, "EURUSD", "", "s7", D("0.3"), D("0.1"))
    assert found(holdings={}, engine=None) == [(K.UNKNOWN_POSITION, 51, "")]
    assert found(holdings={50: Holding(50, "EURUSD", total=D("0.3"))}, engine=None) == [(K.UNKNOWN_POSITION, 51, "")]
    assert found(holdings={50: shared}, engine=None) == [(K.UNKNOWN_POSITION, 51, "s7")]


def test_a_position_of_other_volume_than_its_deals_is_wrong() -> None:
    """A deal is missing, or was corrected."""
    assert found(positions=(replace(POSITION, volume=0.2),)) == [(K.WRONG_VOLUME, 51, "s1")]
    assert found(positions=()) == [(K.MISSING_POSITION, 50, "s1")]


def test_orders_are_compared_both_ways() -> None:
    """One that works and is nobody's; one that should work and is not there."""
    order = BookOrder(9, 0, "", "EURUSD", 2, 1, rest=0.1, price=1.0)
    entry = Entry(SIGNAL, Result(OrderState.PLACED, ticket=9), 1)
    assert found(orders=(order,)) == [(K.UNKNOWN_ORDER, 9, "")]
    assert found(orders=(order,), known_orders={9: "s9"}, open_entries=(entry,)) == []
    assert found(open_entries=(entry,)) == [(K.MISSING_ORDER, 9, "s9")]


def test_what_was_closed_from_outside_is_told() -> None:
    """By a stop or by hand; what the agent closed itself is no difference, nor what moved nothing of ours."""
    deal = BookDeal(7, 52, 0, "", "EURUSD", 1, 0.1, 1.1, position=50)
    by = {cause: External(deal, D("-0.1"), cause, "s1") for cause in Cause}
    assert found(externals=(by[Cause.STOP_LOSS],)) == [(K.CLOSED_BY_STOP, 50, "s1")]
    assert found(externals=(by[Cause.BY_HAND], by[Cause.AGENT])) == [(K.CLOSED_BY_HAND, 50, "s1")]
    assert found(externals=(replace(by[Cause.BY_HAND], moved=D(0)),)) == []


def test_the_engine_is_compared_by_symbol() -> None:
    """Either may count what the other does not; unless it is not known what it counts."""
    assert found(engine={}) == [(K.ENGINE_VOLUME, 0, "")]
    assert [one[0] for one in found(engine={"EURUSD": D("0.3"), "GBPUSD": D("0.1")})] == [K.ENGINE_VOLUME]
    assert found(engine=None) == []


def test_a_doubt_that_lasts_is_told_with_what_to_do() -> None:
    """The symbol stays frozen until somebody decides."""
    (told,) = differences(replace(AGREED, unresolved=(Entry(SIGNAL, Result(OrderState.UNKNOWN, "TIMEOUT"), 1),)))
    assert (told.kind, told.signal_id) == (K.UNRESOLVED_ORDER, "s9")
    assert "suho agent resolve s9" in told.message


def test_what_does_not_last_is_not_told() -> None:
    """Two books are not read in one moment: a difference counts when it lasts, from when it began."""
    unknown = Difference(K.UNKNOWN_POSITION, "EURUSD", 51, "", "a")
    closed = Difference(K.CLOSED_BY_STOP, "EURUSD", 50, "s1", "b")
    lasting = Lasting()
    assert lasting.note([unknown, closed], 1_000) == [(closed, 1_000)]
    assert lasting.note([], 2_000) == []
    assert lasting.note([unknown], 3_000) == []
    assert lasting.note([replace(unknown, message="c")], 8_000) == [(replace(unknown, message="c"), 3_000)]
