"""Whose a deal is, and what it does to what is ours."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.orders import Kind
from pc_agent.domain.attribution import Cause, Claim, Holding, attribute, can_tell_owner, is_told_by_report
from pc_agent.domain.books import BookDeal
from pc_agent.domain.orders import Account, OrderState, Side, Signal

SIGNAL = Signal("s1", Account("t", 1), 1, 1, False, False, "EURUSD", Side.BUY, "0.3", "", "", 100_000)
FILLED = Claim(SIGNAL, OrderState.FILLED, "0.3")
D = Decimal
BUY, SELL = 0, 1
IN, OUT, OUT_BY = 0, 1, 3
BY_HAND, EXPERT, STOP_LOSS = 0, 3, 4
LOTS = st.integers(1, 20).map(lambda hundredths: hundredths / 100)


def deal(volume: float = 0.3, **changes: object) -> BookDeal:
    made = BookDeal(7, 50, 0, "", "EURUSD", BUY, volume, 1.1, position=50)
    return replace(made, **changes)  # type: ignore[arg-type]


def held(ours: str, total: str | None = None, owner: str = "s1") -> Holding:
    return Holding(50, "EURUSD", owner, "" if owner else "s0", D(total or ours), D(ours))


def test_a_signals_own_fill_is_told_by_its_report() -> None:
    """No external deal is made of it, and its position is the signal's."""
    made = attribute(deal(), None, FILLED, "")
    assert (made.own, made.external) == ("s1", None)
    assert (made.holding.owner, made.holding.ours) == ("s1", D("0.3"))


@pytest.mark.parametrize(("reason", "cause"), [(4, Cause.STOP_LOSS), (5, Cause.TAKE_PROFIT), (6, Cause.STOP_OUT),
                                               (0, Cause.BY_HAND), (8, Cause.OTHER_PROGRAM)])  # fmt: skip
def test_a_stop_bears_our_mark_and_is_told_all_the_same(reason: int, cause: Cause) -> None:
    """What closed our position from outside moves what is ours, for whoever opened it."""
    made = attribute(deal(type=SELL, entry=OUT, reason=reason), held("0.3"), FILLED, "")
    assert made.external
    assert (made.external.moved, made.external.cause, made.external.signal_id) == (D("-0.3"), cause, "s1")
    assert made.holding.ours == 0


def test_what_a_person_trades_is_never_a_signals_fill() -> None:
    """Whatever mark it bears, and whichever way it goes."""
    made = attribute(deal(order=51, reason=BY_HAND), held("0.3"), replace(FILLED, state=OrderState.SENT), "")
    assert made.external
    assert (made.own, made.external.cause, made.external.moved) == ("", Cause.BY_HAND, D("0.3"))


def test_what_the_agent_closes_by_itself_is_told_as_its_own() -> None:
    """The engine hears of no report of a local signal."""
    local = Claim(
        replace(SIGNAL, signal_id="local-1", seq=0, kind=Kind.CLOSE, side=Side.SELL), OrderState.FILLED, "0.3"
    )
    made = attribute(deal(type=SELL, entry=OUT, order=51), held("0.3"), local, "")
    assert made.external
    assert (made.external.cause, made.external.signal_id, made.own) == (Cause.AGENT, "s1", "")


def test_positions_closed_by_each_other_are_both_told() -> None:
    """The report of a close-by names no volume; its two deals cancel each other out."""
    claim = Claim(replace(SIGNAL, kind=Kind.CLOSE_BY, side=None), OrderState.DONE)
    sold = attribute(deal(type=SELL, entry=OUT_BY), held("0.3"), claim, "").external
    bought = attribute(deal(type=BUY, entry=OUT_BY, position=60), Holding(60, "EURUSD", "s2", "", D("-0.3"), D("-0.3")),
                       claim, "").external  # fmt: skip
    assert sold
    assert bought
    assert (sold.moved + bought.moved, sold.signal_id, bought.signal_id) == (D(0), "s1", "s2")


def test_a_fill_beyond_what_was_reported_is_told() -> None:
    """A FILLED order's report is over: a deal that comes on top of it would be lost otherwise."""
    late = attribute(deal(0.1, order=51), held("0.3"), replace(FILLED, seen=D("0.3")), "")
    assert late.external
    assert (late.external.moved, late.external.cause) == (D("0.1"), Cause.AGENT)


@pytest.mark.parametrize("state", [OrderState.REJECTED, OrderState.NOT_EXECUTED, OrderState.PLACED, OrderState.UNKNOWN])
def test_a_fill_of_an_order_that_is_called_dead_moves_that_order(state: OrderState) -> None:
    """A deal is proof, and proof beats a conclusion: its own report will say so."""
    assert is_told_by_report(deal(), Claim(SIGNAL, state))


def test_a_foreign_position_moves_nothing() -> None:
    """It is told, so that people see it, without anybody's name."""
    made = attribute(deal(reason=BY_HAND), None, None, "")
    assert made.external
    assert (made.external.moved, made.external.signal_id, made.holding.owner) == (D(0), "", "")


def test_whose_a_closing_deal_is_can_not_be_told_before_its_opening_one() -> None:
    """History comes late and unordered: a position is not called foreign for that."""
    assert not can_tell_owner(deal(entry=OUT, order=51), None, "")
    assert not can_tell_owner(deal(order=51), None, "")  # somebody adds to it
    assert can_tell_owner(deal(), None, "")
    assert can_tell_owner(deal(entry=OUT, order=51), None, "s1")
    assert attribute(deal(type=SELL, entry=OUT, order=51, reason=STOP_LOSS), None, None, "s1").holding.ours == D("-0.3")


def test_foreign_deals_use_up_the_foreign_share_first() -> None:
    """On a netting account 0.1 of ours lies in 0.6: the person's 0.5 go first, then ours."""
    mixed = held("0.1", "0.6", owner="")
    by_hand = {"type": SELL, "entry": OUT, "reason": BY_HAND}
    first = attribute(deal(0.4, **by_hand), mixed, None, "")
    assert (first.holding.ours, first.external.moved if first.external else None) == (D("0.1"), D(0))
    part = attribute(deal(0.15, **by_hand), first.holding, None, "").external
    assert part
    assert (part.moved, part.signal_id) == (D("-0.05"), "s0")
    rest = attribute(deal(0.2, **by_hand), first.holding, None, "").external
    assert rest
    assert (rest.moved, rest.signal_id) == (D("-0.1"), "s0")


@given(st.lists(st.tuples(st.booleans(), LOTS, st.sampled_from(["own", "hand", "stop"])), max_size=30))
def test_what_is_ours_of_a_position_of_ours_is_all_of_it(trades: list[tuple[bool, float, str]]) -> None:
    """Whatever is traded on it, reversed or not: fills reported plus external deals are what the terminal holds."""
    opening = attribute(deal(), None, FILLED, "")
    holding, told = opening.holding, D("0.3")
    for number, (buys, volume, who) in enumerate(trades):
        side = Side.BUY if buys else Side.SELL
        claim = Claim(replace(SIGNAL, signal_id=f"o{number}", side=side, volume=str(volume)), OrderState.SENT)
        reason = {"own": EXPERT, "hand": BY_HAND, "stop": STOP_LOSS}[who]
        one = deal(volume, ticket=100 + number, order=100 + number, type=BUY if buys else SELL, reason=reason)
        made = attribute(one, holding, claim if who == "own" else None, "")
        told += one.signed if made.own else made.external.moved if made.external else D(0)
        holding = made.holding
    assert holding.ours == holding.total == told


@given(st.lists(st.tuples(st.booleans(), LOTS, st.booleans()), max_size=30))
def test_a_share_of_a_foreign_position_ends_when_it_does(trades: list[tuple[bool, float, bool]]) -> None:
    """What the engine counts is what we hold of it, and nothing of a position that is flat."""
    holding, told = held("0", "0.5", owner=""), D(0)
    for number, (buys, volume, own) in enumerate(trades):
        side = Side.BUY if buys else Side.SELL
        claim = Claim(replace(SIGNAL, side=side, volume=str(volume)), OrderState.SENT) if own else None
        one = deal(volume, ticket=100 + number, order=100 + number, type=BUY if buys else SELL,
                   reason=EXPERT if own else BY_HAND)  # fmt: skip
        made = attribute(one, holding, claim, "")
        told += one.signed if made.own else made.external.moved if made.external else D(0)
        holding = made.holding
        assert own or holding.total or not holding.ours
    assert holding.ours == told
