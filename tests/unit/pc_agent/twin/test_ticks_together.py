"""Many ticks in one move: what happens in which order, and all of it or nothing."""

from collections.abc import Callable
from typing import Any

import pytest

from pc_agent.twin import constants as mt5
from pc_agent.twin.books import Books
from tests.unit.pc_agent.twin.conftest import OpenTerminal
from tests.unit.pc_agent.twin.play import Play
from tests.unit.pc_agent.twin.trading import (
    BUY,
    HEDGING,
    LIMIT_BUY,
    SELL,
    STOP_BUY,
    STOP_SELL,
    ask,
    deals,
    orders,
    place,
    positions,
    send,
)


def test_orders_of_one_batch_of_ticks_happen_in_their_order(play: Callable[..., Play]) -> None:
    """An order that fills brings a stop loss, which a later tick of the same batch meets."""
    game = play([1.1000, 1.0950, 1.0940, 1.0900, 1.1000])
    place(game.terminal, LIMIT_BUY, 1.0955, sl=1.0910)
    place(game.terminal, STOP_SELL, 1.0945)
    game.jump(10)
    made = [(deal.type, pytest.approx(deal.price), deal.reason) for deal in deals(game.terminal)]
    assert made == [(BUY, 1.0951, 3), (SELL, 1.0940, 3)]
    assert positions(game.terminal) == []


def test_a_stop_loss_is_met_in_the_batch_that_opened_it(play: Callable[..., Play]) -> None:
    """Not at the tick that filled the order, but at the next that reaches it."""
    game = play([1.1000, 1.0950, 1.0940, 1.0905, 1.1000])
    place(game.terminal, LIMIT_BUY, 1.0955, sl=1.0910)
    game.jump(10)
    first, last = deals(game.terminal)
    assert (first.price, last.price, last.reason) == (pytest.approx(1.0951), pytest.approx(1.0905), mt5.DEAL_REASON_SL)
    assert last.position_id == first.order


def test_an_order_that_adds_brings_stops_for_the_next_tick(play: Callable[..., Play]) -> None:
    """The tick that filled it does not meet them, also on a netting account."""
    game = play([1.1000, 1.1050, 1.1060])
    send(game.terminal, BUY)
    place(game.terminal, STOP_BUY, 1.1040, tp=1.1045)
    game.jump(1)
    assert [deal.entry for deal in deals(game.terminal)] == [mt5.DEAL_ENTRY_IN] * 2
    game.ticks(1)
    assert deals(game.terminal)[-1].price == pytest.approx(1.1060)


def test_what_fails_half_way_did_not_happen(
    play: Callable[..., Play], open_terminal: OpenTerminal, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ticks of one move and what they did to the account are kept together, or released again together."""
    game = play()
    ticket = place(game.terminal, LIMIT_BUY, 1.0960, sl=1.0900).order
    with monkeypatch.context() as broken:
        broken.setattr(Books, "release", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            game.jump(3)
    again = Play(open_terminal(f"EURUSD={tmp_path}/EURUSD.csv", speed="1"), game.hand)
    assert [order.ticket for order in orders(again.terminal)] == [ticket]
    assert ask(again.terminal, "feed_status")["EURUSD"]["sent"] == 1
    again.ticks(3)
    assert [deal.order for deal in deals(again.terminal)] == [ticket]


def test_a_power_failure_takes_books_and_market_back_together(
    play: Callable[..., Play], open_terminal: OpenTerminal, tmp_path: Any
) -> None:
    """Whatever the disk had of the log: what follows happens once, as it would have without the failure."""
    game = play([1.1000, 1.0950, 1.1050, 1.0990, 1.0950, 1.1060], margin_mode=HEDGING)
    place(game.terminal, LIMIT_BUY, 1.0960)
    place(game.terminal, STOP_BUY, 1.1040, sl=1.1000)  # a tick before its own would meet its stop loss, too
    log, feed = tmp_path / "books.sqlite-wal", f"EURUSD={tmp_path}/EURUSD.csv"
    begin, file = log.stat().st_size, (tmp_path / "books.sqlite").read_bytes()
    game.jump(5)
    whole = log.read_bytes()
    expected = [(deal.type, deal.price, deal.reason) for deal in deals(game.terminal)]
    assert [price for _, price, _ in expected] == pytest.approx([1.0951, 1.1051, 1.0990])
    for size in range(begin, len(whole), 4096 * 3):
        folder = tmp_path / f"lost-{size}"
        folder.mkdir()
        (folder / "books.sqlite").write_bytes(file)
        (folder / "books.sqlite-wal").write_bytes(whole[:size])
        again = Play(open_terminal(feed, speed="1", folder=folder, margin_mode=HEDGING), game.hand)
        again.jump(6)
        assert [(deal.type, deal.price, deal.reason) for deal in deals(again.terminal)] == expected, size


def test_waiting_orders_survive_a_new_start(
    play: Callable[..., Play], open_terminal: OpenTerminal, tmp_path: Any
) -> None:
    """With their tickets, and go on waiting."""
    game = play()
    ticket = place(game.terminal, LIMIT_BUY, 1.0960, magic=2**64 - 1).order
    again = Play(open_terminal(f"EURUSD={tmp_path}/EURUSD.csv", speed="1"), game.hand)
    (waiting,) = orders(again.terminal)
    assert (waiting.ticket, waiting.magic) == (ticket, 2**64 - 1)
    again.ticks(3)
    assert [deal.order for deal in deals(again.terminal)] == [ticket]
    assert send(again.terminal).order == ticket + 1
