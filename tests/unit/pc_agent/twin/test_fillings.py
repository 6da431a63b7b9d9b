"""How much of an order is filled where there is too little, and what becomes of the rest."""

from collections.abc import Callable

import pytest

from pc_agent.twin import constants as mt5
from pc_agent.twin.domain.terms import Terms
from tests.unit.pc_agent.twin.play import Play
from tests.unit.pc_agent.twin.trading import (
    BUY,
    DONE,
    EXCHANGE,
    HEDGING,
    IOC,
    LIMIT_BUY,
    PARTIAL,
    RETURN,
    act,
    ask,
    deals,
    orders,
    past_order,
    place,
    positions,
    send,
)


@pytest.mark.parametrize(
    ("filling", "retcode", "filled", "waits"),
    [
        (mt5.ORDER_FILLING_FOK, mt5.TRADE_RETCODE_REJECT, [], []),
        (IOC, PARTIAL, [0.2], []),
        (RETURN, PARTIAL, [0.2, 0.2, 0.1], [0.3]),
    ],
)
def test_what_finds_too_little_is_killed_cut_or_waits(
    play: Callable[..., Play], filling: int, retcode: int, filled: list[float], waits: list[float]
) -> None:
    """0.2 lots at a tick: fill or kill takes nothing, immediate or cancel what there is, return the rest later."""
    game = play(terms=Terms(liquidity=0.2, trade_exemode=EXCHANGE))
    result = send(game.terminal, BUY, 0.5, type_filling=filling)
    assert result.retcode == retcode
    assert [order.volume_current for order in orders(game.terminal)] == waits
    game.ticks(3)
    assert [deal.volume for deal in deals(game.terminal)] == pytest.approx(filled)
    assert orders(game.terminal) == []
    if filled:
        assert {deal.order for deal in deals(game.terminal)} == {result.order}
        (held,) = positions(game.terminal)
        assert held.volume == pytest.approx(sum(filled))


@pytest.mark.parametrize(
    ("filling", "state", "filled"),
    [
        (mt5.ORDER_FILLING_FOK, mt5.ORDER_STATE_CANCELED, []),
        (IOC, mt5.ORDER_STATE_PARTIAL, [0.2]),
        (RETURN, mt5.ORDER_STATE_FILLED, [0.2, 0.2, 0.1]),
    ],
)
def test_a_pending_order_is_filled_as_it_asked(
    play: Callable[..., Play], filling: int, state: int, filled: list[float]
) -> None:
    """On a hedging account the parts make one position."""
    game = play([1.1, 1.09, 1.09, 1.09], terms=Terms(liquidity=0.2), margin_mode=HEDGING)
    ticket = place(game.terminal, LIMIT_BUY, 1.0950, 0.5, type_filling=filling).order
    game.ticks(1)
    if filling == RETURN:
        (rest,) = orders(game.terminal)
        assert (rest.state, rest.volume_current) == (mt5.ORDER_STATE_PARTIAL, pytest.approx(0.3))
    game.ticks(2)
    assert past_order(game.terminal, ticket).state == state
    assert [deal.volume for deal in deals(game.terminal)] == pytest.approx(filled)
    assert [held.ticket for held in positions(game.terminal)] == [ticket] * bool(filled)


def test_what_remains_of_a_market_order_can_be_removed(play: Callable[..., Play]) -> None:
    """But not changed: it has no price. History keeps what was filled of it."""
    game = play(terms=Terms(liquidity=0.2, trade_exemode=EXCHANGE))
    ticket = send(game.terminal, BUY, 0.5, type_filling=RETURN).order
    assert act(game.terminal, mt5.TRADE_ACTION_MODIFY, order=ticket, price=1.09) == mt5.TRADE_RETCODE_INVALID
    assert act(game.terminal, mt5.TRADE_ACTION_REMOVE, order=ticket) == DONE
    game.ticks(3)
    done = past_order(game.terminal, ticket)
    assert (done.state, done.volume_current) == (mt5.ORDER_STATE_CANCELED, pytest.approx(0.3))
    assert [held.volume for held in positions(game.terminal)] == [0.2]


def test_without_liquidity_an_order_waits_or_is_rejected(play: Callable[..., Play]) -> None:
    """It is placed when its rest may wait: PLACED, without a deal."""
    game = play(terms=Terms(liquidity=0.0, trade_exemode=EXCHANGE))
    assert send(game.terminal, BUY, 0.5, type_filling=IOC).retcode == mt5.TRADE_RETCODE_REJECT
    placed = send(game.terminal, BUY, 0.5, type_filling=RETURN)
    assert (placed.retcode, placed.deal) == (mt5.TRADE_RETCODE_PLACED, 0)
    ask(game.terminal, "change_terms", "EURUSD", {"liquidity": 9.0})
    game.ticks(1)
    assert [deal.order for deal in deals(game.terminal)] == [placed.order]


def test_a_book_or_cancel_order_never_takes(play: Callable[..., Play]) -> None:
    """Where the symbol has it, it waits as a limit; it is not for market orders."""
    game = play(terms=Terms(filling_mode=7))
    boc = mt5.ORDER_FILLING_BOC
    assert send(game.terminal, BUY, type_filling=boc).retcode == mt5.TRADE_RETCODE_INVALID_FILL
    assert place(game.terminal, LIMIT_BUY, 1.0950, type_filling=boc).retcode == DONE
