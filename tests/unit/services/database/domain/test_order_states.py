"""Which report moves an order."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.orders import PENDING_KINDS, Kind
from services.database.domain.order import AccountRef, Order, Report, Side, State, Times
from services.database.domain.order_states import TRANSITIONS, closing_shares, exposure_change, moved

ACCOUNT = AccountRef("Demo", 1)
REPORTABLE = [state for state in State if state not in (State.DENIED, State.PENDING)]


def order(state: State = State.PENDING, side: Side = Side.BUY, filled: str = "0", kind: Kind = Kind.MARKET) -> Order:
    return Order(
        kind=kind,
        signal_id="s",
        account=ACCOUNT,
        symbol="EURUSD",
        side=side,
        volume=Decimal("0.10"),
        stop_loss=None,
        take_profit=None,
        strategy="",
        state=state,
        not_after_unix_ms=0,
        filled_volume=Decimal(filled),
        times=Times(submitted=1, committed=2),
    )


def report(state: State, filled: str = "0", **times: int) -> Report:
    price = Decimal("1.1") if Decimal(filled) else None
    return Report("r", "s", ACCOUNT, state, "", "", 7, 8, Decimal(filled), price, 10009, Times(**times))


def test_a_fill_never_goes_back() -> None:
    """Whatever is reported after FILLED, the order stays filled, with its volume."""
    filled = order(State.FILLED, filled="0.10")
    for state in REPORTABLE:
        after = moved(filled, report(state), 9)
        assert (after.state, after.filled_volume) == (State.FILLED, Decimal("0.10"))


@pytest.mark.parametrize("state", sorted(set(REPORTABLE) - {State.ACCEPTED, State.UNKNOWN}))
@pytest.mark.parametrize("kind", [Kind.MARKET, Kind.LIMIT])
def test_unknown_is_resolved(state: State, kind: Kind) -> None:
    """What reconciliation found ends the doubt, as does the ledger that had it first and never sent it; the account
    has no doubtful order any more."""
    filled = "0.10" if state in (State.FILLED, State.PARTIALLY_FILLED) else "0"
    doubt = order(State.UNKNOWN, kind=kind)
    after = moved(doubt, replace(report(state, filled), ticket=0), 9)
    change = exposure_change(doubt, after)
    assert (after.state, change.unknown_orders, change.open_orders) == (state, -1, int(after.is_open) - 1)


def test_unknown_is_not_forgotten() -> None:
    """A late acknowledgement proves nothing about an order that may have been executed."""
    assert moved(order(State.UNKNOWN), report(State.ACCEPTED), 9).state is State.UNKNOWN


def test_the_times_are_of_the_ledger_that_had_it_first() -> None:
    """What another one says of it later, or said before, was not its way to the terminal."""
    first = report(State.ACCEPTED, sent=10, received=20, intent=21)
    other = report(State.UNKNOWN, sent=340, received=350, called=351)
    way = Times(submitted=1, committed=2, recorded=9, sent=10, received=20, intent=21)
    assert moved(moved(order(), first, 8), other, 9).times == way
    assert moved(moved(order(), other, 8), first, 9).times == way


@pytest.mark.parametrize("state", [State.REJECTED, State.EXPIRED, State.NOT_EXECUTED])
def test_a_deal_is_proof(state: State) -> None:
    """An order called dead becomes FILLED when its deal turns up, and nothing else revives it."""
    assert moved(order(state), report(State.FILLED, "0.10"), 9).state is State.FILLED
    assert moved(order(state), report(State.ACCEPTED), 9).state is state


def test_a_partial_fill_grows_and_never_shrinks() -> None:
    """A report that says less than what is known came late."""
    partial = order(State.PARTIALLY_FILLED, filled="0.05")
    assert moved(partial, report(State.PARTIALLY_FILLED, "0.03"), 9).filled_volume == Decimal("0.05")
    assert moved(partial, report(State.PARTIALLY_FILLED, "0.08"), 9).filled_volume == Decimal("0.08")


def test_a_late_report_still_brings_its_times() -> None:
    """ACCEPTED after FILLED changes nothing but when the signal was received."""
    filled = replace(order(State.FILLED, filled="0.10"), times=Times(committed=2, answered=50))
    after = moved(filled, report(State.ACCEPTED, received=40, intent=41), 60)
    assert after.times == Times(committed=2, recorded=60, received=40, intent=41, answered=50)


def test_a_sell_exposes_negatively() -> None:
    """A filled sell closes its open order and counts its volume with a minus."""
    before = order(State.ACCEPTED, Side.SELL)
    assert exposure_change(None, before) == (Decimal(0), 1, 0)
    assert exposure_change(before, moved(before, report(State.FILLED, "0.10"), 9)) == (Decimal("-0.10"), -1, 0)


def test_every_state_has_its_row() -> None:
    """The table is complete, and no state leads to DENIED or PENDING."""
    assert set(TRANSITIONS) == set(State)
    assert not {State.DENIED, State.PENDING} & set().union(*TRANSITIONS.values())


@pytest.mark.parametrize("kind", sorted(PENDING_KINDS))
def test_a_pending_order_stays_open_until_nothing_is_left_of_it(kind: Kind) -> None:
    """It waits, is filled in parts, and counts as open until it is filled, removed or expired; its parts stay."""
    placed = moved(order(kind=kind), report(State.PLACED), 9)
    part = moved(placed, report(State.PARTIALLY_FILLED, "0.04"), 10)
    assert [exposure_change(None, one)[:2] for one in (placed, part)] == [(0, 1), (Decimal("0.04"), 1)]
    for over in (State.CANCELED, State.EXPIRED):
        after = moved(part, report(over), 11)
        assert (after.state, exposure_change(part, after)) == (over, (0, -1, 0))
        late = moved(after, report(State.PARTIALLY_FILLED, "0.06"), 12)
        assert (late.state, late.filled_volume, late.is_open) == (over, Decimal("0.06"), False)
    assert moved(part, report(State.FILLED, "0.10"), 11).is_open is False


def test_a_partial_fill_of_a_market_order_is_final() -> None:
    """What is left of it is cancelled by the terminal."""
    part = moved(order(), report(State.PARTIALLY_FILLED, "0.04"), 9)
    assert exposure_change(order(), part) == (Decimal("0.04"), -1, 0)
    assert moved(part, report(State.CANCELED), 10).state is State.PARTIALLY_FILLED


@pytest.mark.parametrize("kind", [Kind.CLOSE_BY, Kind.MODIFY_POSITION, Kind.MODIFY_ORDER, Kind.CANCEL_ORDER])
def test_a_change_buys_and_sells_nothing(kind: Kind) -> None:
    """It is open while it is under way, and DONE is its end."""
    change = replace(order(kind=kind), side=None, volume=Decimal(0))
    done = moved(change, report(State.DONE), 9)
    assert (done.state, exposure_change(None, change), exposure_change(change, done)) == (
        State.DONE,
        (0, 1, 0),
        (0, -1, 0),
    )
    assert moved(done, report(State.UNKNOWN), 10).state is State.DONE


def test_a_close_takes_from_whose_position_it_is() -> None:
    """First from who opened it, then from the others on its side; what is left over is the opener's."""
    held = {"": Decimal("0.10"), "a": Decimal("0.02"), "b": Decimal("-0.05")}
    assert closing_shares(held, "a", Decimal("-0.02")) == {"a": Decimal("-0.02")}
    assert closing_shares(held, "a", Decimal("-0.05")) == {"a": Decimal("-0.02"), "": Decimal("-0.03")}
    assert sum(closing_shares(held, "a", Decimal(-1)).values()) == -1
    assert closing_shares(held, "a", Decimal(-1))["a"] == Decimal("-0.90")


@given(
    st.sampled_from([Kind.MARKET, Kind.LIMIT]),
    st.lists(st.tuples(st.sampled_from(REPORTABLE), st.sampled_from(["0.02", "0.05", "0.10"])), max_size=12),
)
def test_exposure_is_the_sum_of_its_changes(kind: Kind, said: list[tuple[State, str]]) -> None:
    """Whatever is reported, in any order, the changes add up to what the order is; volume never falls."""
    current = order(kind=kind)
    net, opened, unknown = exposure_change(None, current)
    for state, volume in said:
        filled = volume if state in (State.FILLED, State.PARTIALLY_FILLED) else "0"
        after = moved(current, report(state, filled), 9)
        assert after.filled_volume >= current.filled_volume
        change = exposure_change(current, after)
        net, opened, unknown = net + change.net_volume, opened + change.open_orders, unknown + change.unknown_orders
        current = after
    assert (net, opened, unknown) == (current.filled_volume, current.is_open, current.state is State.UNKNOWN)
