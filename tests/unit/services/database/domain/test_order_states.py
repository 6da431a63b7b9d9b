"""Which report moves an order."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.database.domain.order import AccountRef, Order, Report, Side, State, Times
from services.database.domain.order_states import OPEN, TRANSITIONS, exposure_change, moved

ACCOUNT = AccountRef("Demo", 1)
REPORTABLE = [state for state in State if state not in (State.DENIED, State.PENDING)]


def order(state: State = State.PENDING, side: Side = Side.BUY, filled: str = "0") -> Order:
    return Order(
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
    stamps = {"received": 0, "intent": 0, "sent": 0, "done": 0} | times
    price = Decimal("1.1") if Decimal(filled) else None
    return Report("r", "s", ACCOUNT, state, "", "", 7, 8, Decimal(filled), price, 10009, **stamps)


def test_a_fill_never_goes_back() -> None:
    """Whatever is reported after FILLED, the order stays filled, with its volume."""
    filled = order(State.FILLED, filled="0.10")
    for state in REPORTABLE:
        after = moved(filled, report(state), 9)
        assert (after.state, after.filled_volume) == (State.FILLED, Decimal("0.10"))


@pytest.mark.parametrize("state", [State.FILLED, State.PARTIALLY_FILLED, State.REJECTED, State.NOT_EXECUTED])
def test_unknown_is_resolved(state: State) -> None:
    """What reconciliation found ends the doubt."""
    filled = "0.10" if state in (State.FILLED, State.PARTIALLY_FILLED) else "0"
    assert moved(order(State.UNKNOWN), report(state, filled), 9).state is state


@pytest.mark.parametrize("state", [State.ACCEPTED, State.EXPIRED])
def test_unknown_is_not_forgotten(state: State) -> None:
    """A late acknowledgement or an expiry proves nothing about an order that may have been executed."""
    assert moved(order(State.UNKNOWN), report(state), 9).state is State.UNKNOWN


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
    filled = replace(order(State.FILLED, filled="0.10"), times=Times(committed=2, done=50))
    after = moved(filled, report(State.ACCEPTED, received=40, intent=41), 60)
    assert after.times == Times(committed=2, reported=60, received=40, intent=41, done=50)


def test_a_sell_exposes_negatively() -> None:
    """A filled sell closes its open order and counts its volume with a minus."""
    before = order(State.ACCEPTED, Side.SELL)
    assert exposure_change(None, before) == (Decimal(0), 1, 0)
    assert exposure_change(before, moved(before, report(State.FILLED, "0.10"), 9)) == (Decimal("-0.10"), -1, 0)


def test_every_state_has_its_row() -> None:
    """The table is complete, and no state leads to DENIED or PENDING."""
    assert set(TRANSITIONS) == set(State)
    assert not {State.DENIED, State.PENDING} & set().union(*TRANSITIONS.values())


@given(st.lists(st.tuples(st.sampled_from(REPORTABLE), st.sampled_from(["0.02", "0.05", "0.10"])), max_size=12))
def test_exposure_is_the_sum_of_its_changes(said: list[tuple[State, str]]) -> None:
    """Whatever is reported, in any order, the changes add up to what the order is; volume never falls."""
    current = order()
    net, opened, unknown = exposure_change(None, current)
    for state, volume in said:
        filled = volume if state in (State.FILLED, State.PARTIALLY_FILLED) else "0"
        after = moved(current, report(state, filled), 9)
        assert after.filled_volume >= current.filled_volume
        change = exposure_change(current, after)
        net, opened, unknown = net + change.net_volume, opened + change.open_orders, unknown + change.unknown_orders
        current = after
    assert (net, opened, unknown) == (current.filled_volume, current.state in OPEN, current.state is State.UNKNOWN)
