"""A hedging account: a position for every trade, closed by ticket or by another."""

from collections.abc import Callable
from typing import Any

import pytest

from pc_agent.twin import constants as mt5
from pc_agent.twin.domain.retcode_words import TRADE_RETCODE_HEDGE_PROHIBITED
from pc_agent.twin.domain.terms import Terms
from pc_agent.twin.terminal import Terminal
from tests.unit.pc_agent.twin.trading import (
    BUY,
    DONE,
    EXCHANGE,
    HEDGING,
    PARTIAL,
    RETURN,
    SELL,
    account,
    act,
    ask,
    deals,
    orders,
    past_order,
    positions,
    request,
    send,
)

Open = Callable[..., Terminal]
QUOTES = [(1000, 1.10000, 1.10010)]


@pytest.fixture
def start(open_terminal: Open, replay: Callable[..., str]) -> Callable[..., Terminal]:
    feed = replay("EURUSD", QUOTES)
    return lambda **more: open_terminal(feed, **{"margin_mode": HEDGING} | more)


def test_every_trade_is_a_position_of_its_own(start: Callable[..., Terminal]) -> None:
    """Opposite ones too; ticket and identifier are those of the order that opened it."""
    terminal = start()
    tickets = [send(terminal, side, volume).order for side, volume in ((BUY, 0.2), (BUY, 0.1), (SELL, 0.3))]
    held = positions(terminal)
    assert [(p.ticket, p.identifier) for p in held] == [(ticket, ticket) for ticket in tickets]
    assert [(p.type, p.volume) for p in held] == [(0, 0.2), (0, 0.1), (1, 0.3)]
    assert account(terminal).margin_mode == HEDGING
    assert {deal.entry for deal in deals(terminal)} == {mt5.DEAL_ENTRY_IN}


def test_a_position_is_closed_by_its_ticket(start: Callable[..., Terminal]) -> None:
    """In part, then the rest; no more than there is, and no other."""
    terminal = start()
    first, second = send(terminal, BUY, 0.2).order, send(terminal, BUY, 0.1).order
    assert send(terminal, SELL, 0.3, position=first).retcode == mt5.TRADE_RETCODE_INVALID_CLOSE_VOLUME
    assert send(terminal, BUY, 0.1, position=first).retcode == mt5.TRADE_RETCODE_INVALID_CLOSE_VOLUME
    part = send(terminal, SELL, 0.15, position=first)
    assert [(p.ticket, p.volume) for p in positions(terminal)] == [(first, 0.05), (second, 0.1)]
    assert send(terminal, SELL, 0.05, position=first).retcode == DONE
    assert [p.ticket for p in positions(terminal)] == [second]
    assert past_order(terminal, part.order).position_id == first
    closed = [deal for deal in deals(terminal) if deal.entry == mt5.DEAL_ENTRY_OUT]
    assert [(deal.position_id, deal.volume, deal.profit) for deal in closed] == [
        (first, 0.15, -1.5),
        (first, 0.05, -0.5),
    ]
    assert send(terminal, SELL, 0.05, position=first).retcode == mt5.TRADE_RETCODE_POSITION_CLOSED


def test_a_position_is_closed_by_one_that_faces_it(start: Callable[..., Terminal]) -> None:
    """Without the market's price: one order, two deals out by, what remains keeps its ticket."""
    terminal = start()
    bought, sold = send(terminal, BUY, 0.3).order, send(terminal, SELL, 0.1).order
    asked = request(mt5.TRADE_ACTION_CLOSE_BY, position=bought, position_by=sold, symbol="")
    result = ask(terminal, "order_send", asked)
    assert result.retcode == DONE
    assert [(p.ticket, p.volume) for p in positions(terminal)] == [(bought, 0.2)]
    order = past_order(terminal, result.order)
    assert (order.type, order.position_id, order.position_by_id) == (mt5.ORDER_TYPE_CLOSE_BY, bought, sold)
    by = [deal for deal in deals(terminal) if deal.entry == mt5.DEAL_ENTRY_OUT_BY]
    assert [(deal.position_id, deal.type, deal.order) for deal in by] == [
        (bought, SELL, order.ticket),
        (sold, BUY, order.ticket),
    ]
    assert [deal.profit for deal in by] == [-1.0, 0.0]  # the spread of a tenth of a lot, once
    assert {(deal.magic, deal.comment) for deal in by} == {(7, "s1")}
    assert account(terminal).balance == 99_999.0


def test_what_can_not_be_closed_by_another(start: Callable[..., Terminal]) -> None:
    """The same side, what is gone, and any on a netting account."""
    terminal = start()
    one, other = send(terminal, BUY).order, send(terminal, BUY).order
    close_by = mt5.TRADE_ACTION_CLOSE_BY
    assert act(terminal, close_by, position=one, position_by=other) == mt5.TRADE_RETCODE_INVALID
    assert act(terminal, close_by, position=one, position_by=4711) == mt5.TRADE_RETCODE_POSITION_CLOSED
    assert act(terminal, close_by, position=4711, position_by=one) == mt5.TRADE_RETCODE_POSITION_CLOSED


def test_netting_knows_no_close_by(start: Callable[..., Terminal]) -> None:
    """SymbolInfo.order_mode says so too."""
    terminal = start(margin_mode=mt5.ACCOUNT_MARGIN_MODE_RETAIL_NETTING)
    ticket = send(terminal, BUY).order
    assert (
        act(terminal, mt5.TRADE_ACTION_CLOSE_BY, position=ticket, position_by=ticket) == mt5.TRADE_RETCODE_INVALID_ORDER
    )
    assert ask(terminal, "symbol_info", "EURUSD").order_mode == 63


def test_the_oldest_is_closed_first_where_fifo_rules(start: Callable[..., Terminal]) -> None:
    """Of the same symbol and side."""
    terminal = start(fifo_close=True)
    sold, first, second = (send(terminal, side).order for side in (SELL, BUY, BUY))
    assert account(terminal).fifo_close
    assert send(terminal, SELL, position=second).retcode == mt5.TRADE_RETCODE_FIFO_CLOSE
    close_by = mt5.TRADE_ACTION_CLOSE_BY
    assert act(terminal, close_by, position=second, position_by=sold) == mt5.TRADE_RETCODE_FIFO_CLOSE
    assert send(terminal, SELL, position=first).retcode == DONE
    assert send(terminal, SELL, position=second).retcode == DONE


def test_an_account_may_prohibit_opposite_positions_and_count_them(start: Callable[..., Terminal]) -> None:
    """And closing is always allowed."""
    terminal = start(hedge_prohibited=True, limit_positions=2)
    first = send(terminal, BUY).order
    assert send(terminal, SELL).retcode == TRADE_RETCODE_HEDGE_PROHIBITED
    assert send(terminal, BUY).retcode == DONE
    assert send(terminal, BUY).retcode == mt5.TRADE_RETCODE_LIMIT_POSITIONS
    assert send(terminal, SELL, position=first).retcode == DONE


def test_stops_are_set_by_ticket(start: Callable[..., Terminal]) -> None:
    """The same again is no change; nonsense is refused; the position's others keep theirs."""
    terminal = start()
    first, second = send(terminal, BUY).order, send(terminal, BUY).order
    sltp = mt5.TRADE_ACTION_SLTP
    assert act(terminal, sltp, position=first, sl=1.09, tp=1.12) == DONE
    assert act(terminal, sltp, position=first, sl=1.09, tp=1.12) == mt5.TRADE_RETCODE_NO_CHANGES
    assert act(terminal, sltp, position=first, sl=1.11, tp=1.12) == mt5.TRADE_RETCODE_INVALID_STOPS
    assert act(terminal, sltp, position=4711, sl=1.09) == mt5.TRADE_RETCODE_POSITION_CLOSED
    assert act(terminal, sltp, sl=1.09) == mt5.TRADE_RETCODE_POSITION_CLOSED  # which one?
    assert [(p.ticket, p.sl, p.tp) for p in positions(terminal)] == [(first, 1.09, 1.12), (second, 0.0, 0.0)]


def test_what_closes_a_position_already_is_not_doubled(
    open_terminal: Open, replay: Callable[..., str], hand: Any
) -> None:
    """The rest of a closing order waits for liquidity and counts; when the position is gone it is canceled."""
    feed = replay("EURUSD", [(1000, 1.10000, 1.10010), (2000, 1.10000, 1.10010), (3000, 1.10000, 1.10010)])
    terms = Terms(liquidity=0.3, trade_exemode=EXCHANGE)
    terminal = open_terminal(feed, speed="1", margin_mode=HEDGING, terms=terms)
    hand.now_ms += 1
    ticket, facing = send(terminal, BUY, 0.3).order, send(terminal, SELL, 0.1).order
    ask(terminal, "change_terms", "EURUSD", {"liquidity": 0.1})
    rest = send(terminal, SELL, 0.2, position=ticket, type_filling=RETURN)
    assert (rest.retcode, rest.volume) == (PARTIAL, 0.1)
    exists = mt5.TRADE_RETCODE_CLOSE_ORDER_EXIST
    assert send(terminal, SELL, 0.2, position=ticket).retcode == exists
    assert act(terminal, mt5.TRADE_ACTION_CLOSE_BY, position=ticket, position_by=facing) == exists
    assert send(terminal, SELL, 0.1, position=ticket).retcode == DONE
    hand.now_ms += 1000
    terminal.pulse()
    assert [p.ticket for p in positions(terminal)] == [facing]
    assert orders(terminal) == []
    assert past_order(terminal, rest.order).state == mt5.ORDER_STATE_FILLED


def test_what_closes_a_position_that_is_gone_is_canceled(
    open_terminal: Open, replay: Callable[..., str], hand: Any
) -> None:
    """It opens nothing."""
    feed = replay("EURUSD", [(1000, 1.10000, 1.10010), (2000, 1.09000, 1.09010), (3000, 1.09000, 1.09010)])
    terms = Terms(liquidity=0.3, trade_exemode=EXCHANGE)
    terminal = open_terminal(feed, speed="1", margin_mode=HEDGING, terms=terms)
    hand.now_ms += 1
    ticket = send(terminal, BUY, 0.3, sl=1.0950).order
    ask(terminal, "change_terms", "EURUSD", {"liquidity": 0.1})
    rest = send(terminal, SELL, 0.3, position=ticket, type_filling=RETURN)
    assert rest.retcode == PARTIAL
    hand.now_ms += 1000
    terminal.pulse()
    assert (positions(terminal), orders(terminal)) == ([], [])
    assert past_order(terminal, rest.order).state == mt5.ORDER_STATE_CANCELED
    assert deals(terminal)[-1].reason == mt5.DEAL_REASON_SL


def test_hedged_lots_block_their_share(start: Callable[..., Terminal], open_terminal: Any) -> None:
    """As one lot where a hedged lot counts whole, as none where it counts nothing, the larger leg where that rules."""
    for terms, margin in (
        (Terms(), 0.2 * 1100.0),
        (Terms(margin_hedged=0.0), 0.1 * 1100.0),
        (Terms(margin_hedged=50_000.0), 0.15 * 1100.0),
        (Terms(margin_hedged_use_leg=True), 0.2 * 1100.0),
    ):
        terminal = start(terms=terms)
        if not positions(terminal):
            send(terminal, BUY, 0.2)
            send(terminal, SELL, 0.1)
        assert account(terminal).margin == pytest.approx(margin, rel=2e-4)
