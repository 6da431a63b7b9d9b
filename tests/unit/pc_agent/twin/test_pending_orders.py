"""Orders that wait: placed, met by ticks, changed, removed, expired."""

from collections.abc import Callable
from typing import Any

import pytest

from pc_agent.twin import constants as mt5
from pc_agent.twin.domain.terms import Terms
from tests.unit.pc_agent.twin.play import Play
from tests.unit.pc_agent.twin.trading import (
    BUY,
    DONE,
    LIMIT_BUY,
    LIMIT_SELL,
    RETURN,
    SELL,
    STOP_BUY,
    STOP_LIMIT_BUY,
    STOP_LIMIT_SELL,
    STOP_SELL,
    act,
    ask,
    deals,
    orders,
    past_order,
    place,
    positions,
    request,
    send,
)


@pytest.mark.parametrize(
    ("kind", "price", "ticks", "filled_at"),
    [
        (LIMIT_BUY, 1.0960, 3, 1.0951),  # the ask of the fourth tick: a limit gets that price or a better one
        (LIMIT_SELL, 1.1040, 4, 1.1050),
        (STOP_BUY, 1.1005, 1, 1.1011),  # a stop gets that price or a worse one
        (STOP_SELL, 1.0995, 2, 1.0990),
    ],
)
def test_an_order_waits_for_its_price(
    play: Callable[..., Play], kind: int, price: float, ticks: int, filled_at: float
) -> None:
    """It is listed until the tick that reaches it, and history from then on; its fill bears magic and comment."""
    game = play()
    result = place(game.terminal, kind, price)
    assert (result.retcode, result.deal, result.volume) == (DONE, 0, 0.1)
    game.ticks(ticks - 1)
    (waiting,) = orders(game.terminal)
    assert (waiting.ticket, waiting.state, waiting.price_open) == (result.order, mt5.ORDER_STATE_PLACED, price)
    assert ask(game.terminal, "history_orders_total", 0, 2**31 - 1) == 0
    game.ticks(1)
    assert orders(game.terminal) == []
    done, (deal,), (held,) = past_order(game.terminal, result.order), deals(game.terminal), positions(game.terminal)
    assert (done.state, done.volume_current, done.position_id) == (mt5.ORDER_STATE_FILLED, 0.0, held.ticket)
    assert (deal.order, deal.price, deal.entry) == (result.order, pytest.approx(filled_at), mt5.DEAL_ENTRY_IN)
    assert {(row.magic, row.comment) for row in (done, deal, held)} == {(7, "s1")}


@pytest.mark.parametrize(
    ("kind", "price", "limit", "bids", "filled_at"),
    [
        (STOP_LIMIT_BUY, 1.1005, 1.0995, [1.1, 1.1010, 1.1002, 1.0992], 1.0993),
        (STOP_LIMIT_SELL, 1.0995, 1.1005, [1.1, 1.0990, 1.1000, 1.1007], 1.1007),
    ],
)
def test_a_stop_limit_becomes_a_limit(
    play: Callable[..., Play], kind: int, price: float, limit: float, bids: list[float], filled_at: float
) -> None:
    """When its stop is met it keeps its ticket and waits for the limit price."""
    game = play(bids)
    ticket = place(game.terminal, kind, price, stoplimit=limit).order
    game.ticks(1)
    (waiting,) = orders(game.terminal)
    assert (waiting.ticket, waiting.type, waiting.price_open) == (ticket, kind - 4, limit)
    game.ticks(1)
    assert len(orders(game.terminal)) == 1
    game.ticks(1)
    (deal,) = deals(game.terminal)
    assert (deal.order, deal.price) == (ticket, pytest.approx(filled_at))


@pytest.mark.parametrize(
    ("kind", "price", "more", "retcode"),
    [
        (LIMIT_BUY, 1.1002, {}, mt5.TRADE_RETCODE_INVALID_PRICE),
        (LIMIT_SELL, 1.0999, {}, mt5.TRADE_RETCODE_INVALID_PRICE),
        (STOP_BUY, 1.1001, {}, mt5.TRADE_RETCODE_INVALID_PRICE),
        (STOP_SELL, 1.1001, {}, mt5.TRADE_RETCODE_INVALID_PRICE),
        (LIMIT_BUY, 0.0, {}, mt5.TRADE_RETCODE_INVALID_PRICE),
        (LIMIT_BUY, 1.095004, {}, mt5.TRADE_RETCODE_INVALID_PRICE),
        (STOP_LIMIT_BUY, 1.1050, {}, mt5.TRADE_RETCODE_INVALID_PRICE),
        (STOP_LIMIT_BUY, 1.1050, {"stoplimit": 1.1060}, mt5.TRADE_RETCODE_INVALID_PRICE),
        (LIMIT_BUY, 1.0950, {"sl": 1.0960}, mt5.TRADE_RETCODE_INVALID_STOPS),
        (LIMIT_BUY, 1.0950, {"tp": 1.0940}, mt5.TRADE_RETCODE_INVALID_STOPS),
        (LIMIT_BUY, 1.0950, {"volume": 0.005}, mt5.TRADE_RETCODE_INVALID_VOLUME),
        (BUY, 1.0950, {}, mt5.TRADE_RETCODE_INVALID_ORDER),
        (99, 1.0950, {}, mt5.TRADE_RETCODE_INVALID),
        (LIMIT_BUY, 1.0950, {"type_filling": mt5.ORDER_FILLING_BOC}, mt5.TRADE_RETCODE_INVALID_FILL),
        (LIMIT_BUY, 1.0950, {"type_time": mt5.ORDER_TIME_SPECIFIED}, mt5.TRADE_RETCODE_INVALID_EXPIRATION),
    ],
)
def test_a_bad_pending_order_gets_its_retcode(
    play: Callable[..., Play], kind: int, price: float, more: dict[str, Any], retcode: int
) -> None:
    """And is not there."""
    game = play()
    assert place(game.terminal, kind, price, **more).retcode == retcode
    assert orders(game.terminal) == []


def test_an_order_of_each_kind_expires_in_its_own_time(play: Callable[..., Play]) -> None:
    """GTC never, DAY at midnight, SPECIFIED at its second, SPECIFIED_DAY when that day ends; history keeps them."""
    game = play([1.1, 1.1, 1.1])
    now = 1_577_836_800
    kinds = {
        mt5.ORDER_TIME_GTC: 0,
        mt5.ORDER_TIME_DAY: 0,
        mt5.ORDER_TIME_SPECIFIED: now + 3600,
        mt5.ORDER_TIME_SPECIFIED_DAY: now + 86_400 + 5,
    }
    tickets = {
        kind: place(game.terminal, LIMIT_BUY, 1.05, type_time=kind, expiration=when).order
        for kind, when in kinds.items()
    }
    left = []
    for seconds in (3599, 1, 86_400 - 3600, 86_400):
        game.jump(seconds)
        left.append([order.type_time for order in orders(game.terminal)])
    assert left == [[0, 1, 2, 3], [0, 1, 3], [0, 3], [0]]
    expired = past_order(game.terminal, tickets[mt5.ORDER_TIME_SPECIFIED])
    assert (expired.state, expired.time_done) == (mt5.ORDER_STATE_EXPIRED, now + 3600)
    assert deals(game.terminal) == []


def test_only_the_expirations_that_the_symbol_has_are_taken(play: Callable[..., Play]) -> None:
    """SymbolInfo.expiration_mode says which."""
    game = play(terms=Terms(expiration_mode=1 | 4))
    assert ask(game.terminal, "symbol_info", "EURUSD").expiration_mode == 5
    refused = mt5.TRADE_RETCODE_INVALID_EXPIRATION
    assert place(game.terminal, LIMIT_BUY, 1.05, type_time=mt5.ORDER_TIME_DAY).retcode == refused
    assert place(game.terminal, LIMIT_BUY, 1.05).retcode == DONE


def test_an_order_can_be_changed_and_removed(play: Callable[..., Play]) -> None:
    """Price, stops and expiry change; the same again is no change; what is gone can not be changed."""
    game = play()
    ticket = place(game.terminal, LIMIT_BUY, 1.0960, sl=1.0900).order
    changes = {"order": ticket, "price": 1.0955, "sl": 1.0905, "tp": 1.1100, "type_time": mt5.ORDER_TIME_DAY}
    modify, remove = mt5.TRADE_ACTION_MODIFY, mt5.TRADE_ACTION_REMOVE
    assert act(game.terminal, modify, **changes) == DONE
    (changed,) = orders(game.terminal)
    assert (changed.ticket, changed.price_open, changed.sl, changed.tp) == (ticket, 1.0955, 1.0905, 1.1100)
    assert changed.time_expiration == 1_577_836_800 + 86_399
    assert act(game.terminal, modify, **changes) == mt5.TRADE_RETCODE_NO_CHANGES
    assert act(game.terminal, modify, **changes | {"price": 1.2}) == mt5.TRADE_RETCODE_INVALID_PRICE
    assert act(game.terminal, modify, **changes | {"order": 4711}) == mt5.TRADE_RETCODE_INVALID
    assert act(game.terminal, remove, order=ticket) == DONE
    assert orders(game.terminal) == []
    assert past_order(game.terminal, ticket).state == mt5.ORDER_STATE_CANCELED
    assert act(game.terminal, remove, order=ticket) == mt5.TRADE_RETCODE_ORDER_CHANGED
    assert act(game.terminal, modify, **changes) == mt5.TRADE_RETCODE_ORDER_CHANGED


def test_levels_keep_orders_and_stops_away_from_the_market(play: Callable[..., Play]) -> None:
    """Nearer than the stops level nothing is placed; nearer than the freeze level nothing is touched."""
    game = play([1.1000, 1.0980], terms=Terms(trade_stops_level=50, trade_freeze_level=30))
    info = ask(game.terminal, "symbol_info", "EURUSD")
    assert (info.trade_stops_level, info.trade_freeze_level) == (50, 30)
    assert place(game.terminal, LIMIT_BUY, 1.0997).retcode == mt5.TRADE_RETCODE_INVALID_PRICE
    ticket = place(game.terminal, LIMIT_BUY, 1.0980).order
    assert send(game.terminal, BUY, sl=1.0996).retcode == mt5.TRADE_RETCODE_INVALID_STOPS
    held = send(game.terminal, BUY, sl=1.0978)
    assert held.retcode == DONE
    game.ticks(1)  # bid 1.0980, ask 1.0981: ten points from the order, twenty from the stop loss
    frozen = mt5.TRADE_RETCODE_FROZEN
    assert act(game.terminal, mt5.TRADE_ACTION_REMOVE, order=ticket) == frozen
    assert act(game.terminal, mt5.TRADE_ACTION_SLTP, position=held.order, sl=1.0960) == frozen
    assert send(game.terminal, SELL, position=held.order).retcode == frozen


def test_limits_of_orders_and_volume(play: Callable[..., Play]) -> None:
    """So many orders wait on the account; so many lots stand in one direction, positions and orders together."""
    game = play(terms=Terms(volume_limit=0.5), limit_orders=2)
    assert send(game.terminal, BUY, 0.3).retcode == DONE
    assert place(game.terminal, LIMIT_BUY, 1.05, 0.1).retcode == DONE
    assert place(game.terminal, LIMIT_BUY, 1.05, 0.2).retcode == mt5.TRADE_RETCODE_LIMIT_VOLUME
    assert send(game.terminal, BUY, 0.2).retcode == mt5.TRADE_RETCODE_LIMIT_VOLUME
    assert place(game.terminal, LIMIT_SELL, 1.15, 0.5).retcode == DONE
    assert place(game.terminal, LIMIT_SELL, 1.15, 0.1).retcode == mt5.TRADE_RETCODE_LIMIT_ORDERS


def test_an_order_that_nobody_can_pay_for_is_rejected_when_it_is_met(play: Callable[..., Play]) -> None:
    """Placing it blocks nothing."""
    game = play([1.1, 1.09], deposit=1000.0)
    ticket = place(game.terminal, LIMIT_BUY, 1.0950, 5.0).order
    game.ticks(1)
    assert past_order(game.terminal, ticket).state == mt5.ORDER_STATE_REJECTED
    assert deals(game.terminal) == []


def test_a_check_of_a_pending_order_says_the_account_as_it_is(play: Callable[..., Play]) -> None:
    """It blocks no margin."""
    game = play()
    asked = request(mt5.TRADE_ACTION_PENDING, type=LIMIT_BUY, price=1.05, volume=0.1, type_filling=RETURN)
    check = ask(game.terminal, "order_check", asked)
    assert (check.retcode, check.comment, check.margin, check.equity) == (0, "Done", 0.0, 100_000.0)
