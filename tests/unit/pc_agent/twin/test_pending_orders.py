"""Orders that wait: placed, met by ticks, filled in parts, changed, removed, expired."""

from collections.abc import Callable
from typing import Any

import pytest

from pc_agent.twin import constants as mt5
from pc_agent.twin.books import Books
from pc_agent.twin.domain.terms import Terms
from pc_agent.twin.terminal import Terminal
from tests.unit.pc_agent.twin.trading import (
    BUY,
    DONE,
    EXCHANGE,
    HEDGING,
    IOC,
    PARTIAL,
    RETURN,
    SELL,
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

Open = Callable[..., Terminal]
Replay = Callable[..., str]

# One tick a second; the spread is always ten points.
BIDS = [1.1000, 1.1010, 1.0990, 1.0950, 1.1050, 1.1000]
PIP = 0.0001
SPREAD = 0.0001
LIMIT_BUY, LIMIT_SELL = mt5.ORDER_TYPE_BUY_LIMIT, mt5.ORDER_TYPE_SELL_LIMIT
STOP_BUY, STOP_SELL = mt5.ORDER_TYPE_BUY_STOP, mt5.ORDER_TYPE_SELL_STOP
STOP_LIMIT_BUY, STOP_LIMIT_SELL = mt5.ORDER_TYPE_BUY_STOP_LIMIT, mt5.ORDER_TYPE_SELL_STOP_LIMIT


def about(expected: Any) -> Any:
    return pytest.approx(expected)


class Play:
    """A terminal whose market moves tick by tick."""

    def __init__(self, terminal: Terminal, hand: Any) -> None:
        self.terminal = terminal
        self._hand = hand
        hand.now_ms += 1
        terminal.pulse()

    def ticks(self, count: int) -> None:
        for _ in range(count):
            self._hand.now_ms += 1000
            self.terminal.pulse()

    def jump(self, seconds: int) -> None:
        self._hand.now_ms += seconds * 1000
        self.terminal.pulse()


@pytest.fixture
def play(open_terminal: Open, replay: Replay, hand: Any) -> Callable[..., Play]:
    def start(bids: list[float] = BIDS, **more: Any) -> Play:
        quotes = [(1000 + 1000 * place, bid, bid + SPREAD) for place, bid in enumerate(bids)]
        return Play(open_terminal(replay("EURUSD", quotes), speed="1", **more), hand)

    return start


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
    assert (deal.order, deal.price, deal.entry) == (result.order, about(filled_at), mt5.DEAL_ENTRY_IN)
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
    assert (deal.order, deal.price) == (ticket, about(filled_at))


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
    assert [deal.volume for deal in deals(game.terminal)] == about(filled)
    assert orders(game.terminal) == []
    if filled:
        assert {deal.order for deal in deals(game.terminal)} == {result.order}
        (held,) = positions(game.terminal)
        assert held.volume == about(sum(filled))


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
        assert (rest.state, rest.volume_current) == (mt5.ORDER_STATE_PARTIAL, about(0.3))
    game.ticks(2)
    assert past_order(game.terminal, ticket).state == state
    assert [deal.volume for deal in deals(game.terminal)] == about(filled)
    assert [held.ticket for held in positions(game.terminal)] == [ticket] * bool(filled)


def test_what_remains_of_a_market_order_can_be_removed(play: Callable[..., Play]) -> None:
    """But not changed: it has no price. History keeps what was filled of it."""
    game = play(terms=Terms(liquidity=0.2, trade_exemode=EXCHANGE))
    ticket = send(game.terminal, BUY, 0.5, type_filling=RETURN).order
    assert act(game.terminal, mt5.TRADE_ACTION_MODIFY, order=ticket, price=1.09) == mt5.TRADE_RETCODE_INVALID
    assert act(game.terminal, mt5.TRADE_ACTION_REMOVE, order=ticket) == DONE
    game.ticks(3)
    done = past_order(game.terminal, ticket)
    assert (done.state, done.volume_current) == (mt5.ORDER_STATE_CANCELED, about(0.3))
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


def test_what_fails_half_way_did_not_happen(
    play: Callable[..., Play], open_terminal: Open, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ticks of one move and what they did to the account are kept together, or released again together."""
    game = play()
    ticket = place(game.terminal, LIMIT_BUY, 1.0960, sl=1.0900).order
    with monkeypatch.context() as broken:
        broken.setattr(Books, "release", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            game.jump(3)
    again = Play(open_terminal(f"EURUSD={tmp_path}/EURUSD.csv", speed="1"), game._hand)
    assert [order.ticket for order in orders(again.terminal)] == [ticket]
    assert ask(again.terminal, "feed_status")["EURUSD"]["sent"] == 1
    again.ticks(3)
    assert [deal.order for deal in deals(again.terminal)] == [ticket]


def test_an_order_that_adds_brings_stops_for_the_next_tick(play: Callable[..., Play]) -> None:
    """The tick that filled it does not meet them, also on a netting account."""
    game = play([1.1000, 1.1050, 1.1060])
    send(game.terminal, BUY)
    place(game.terminal, STOP_BUY, 1.1040, tp=1.1045)
    game.jump(1)
    assert [deal.entry for deal in deals(game.terminal)] == [mt5.DEAL_ENTRY_IN] * 2
    game.ticks(1)
    assert deals(game.terminal)[-1].price == about(1.1060)


def test_a_power_failure_takes_books_and_market_back_together(
    play: Callable[..., Play], open_terminal: Open, tmp_path: Any
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
    assert [price for _, price, _ in expected] == about([1.0951, 1.1051, 1.0990])
    for size in range(begin, len(whole), 4096 * 3):
        folder = tmp_path / f"lost-{size}"
        folder.mkdir()
        (folder / "books.sqlite").write_bytes(file)
        (folder / "books.sqlite-wal").write_bytes(whole[:size])
        again = Play(open_terminal(feed, speed="1", folder=folder, margin_mode=HEDGING), game._hand)
        again.jump(6)
        assert [(deal.type, deal.price, deal.reason) for deal in deals(again.terminal)] == expected, size


def test_a_book_or_cancel_order_never_takes(play: Callable[..., Play]) -> None:
    """Where the symbol has it, it waits as a limit; it is not for market orders."""
    game = play(terms=Terms(filling_mode=7))
    boc = mt5.ORDER_FILLING_BOC
    assert send(game.terminal, BUY, type_filling=boc).retcode == mt5.TRADE_RETCODE_INVALID_FILL
    assert place(game.terminal, LIMIT_BUY, 1.0950, type_filling=boc).retcode == DONE


def test_orders_of_one_batch_of_ticks_happen_in_their_order(play: Callable[..., Play]) -> None:
    """An order that fills brings a stop loss, which a later tick of the same batch meets."""
    game = play([1.1000, 1.0950, 1.0940, 1.0900, 1.1000])
    place(game.terminal, LIMIT_BUY, 1.0955, sl=1.0910)
    place(game.terminal, STOP_SELL, 1.0945)
    game.jump(10)
    made = [(deal.type, about(deal.price), deal.reason) for deal in deals(game.terminal)]
    assert made == [(BUY, 1.0951, 3), (SELL, 1.0940, 3)]
    assert positions(game.terminal) == []


def test_a_stop_loss_is_met_in_the_batch_that_opened_it(play: Callable[..., Play]) -> None:
    """Not at the tick that filled the order, but at the next that reaches it."""
    game = play([1.1000, 1.0950, 1.0940, 1.0905, 1.1000])
    place(game.terminal, LIMIT_BUY, 1.0955, sl=1.0910)
    game.jump(10)
    first, last = deals(game.terminal)
    assert (first.price, last.price, last.reason) == (about(1.0951), about(1.0905), mt5.DEAL_REASON_SL)
    assert last.position_id == first.order


def test_an_order_that_nobody_can_pay_for_is_rejected_when_it_is_met(play: Callable[..., Play]) -> None:
    """Placing it blocks nothing."""
    game = play([1.1, 1.09], deposit=1000.0)
    ticket = place(game.terminal, LIMIT_BUY, 1.0950, 5.0).order
    game.ticks(1)
    assert past_order(game.terminal, ticket).state == mt5.ORDER_STATE_REJECTED
    assert deals(game.terminal) == []


def test_waiting_orders_survive_a_new_start(play: Callable[..., Play], open_terminal: Open, tmp_path: Any) -> None:
    """With their tickets, and go on waiting."""
    game = play()
    ticket = place(game.terminal, LIMIT_BUY, 1.0960, magic=2**64 - 1).order
    again = Play(open_terminal(f"EURUSD={tmp_path}/EURUSD.csv", speed="1"), game._hand)
    (waiting,) = orders(again.terminal)
    assert (waiting.ticket, waiting.magic) == (ticket, 2**64 - 1)
    again.ticks(3)
    assert [deal.order for deal in deals(again.terminal)] == [ticket]
    assert send(again.terminal).order == ticket + 1


def test_a_check_of_a_pending_order_says_the_account_as_it_is(play: Callable[..., Play]) -> None:
    """It blocks no margin."""
    game = play()
    asked = request(mt5.TRADE_ACTION_PENDING, type=LIMIT_BUY, price=1.05, volume=0.1, type_filling=RETURN)
    check = ask(game.terminal, "order_check", asked)
    assert (check.retcode, check.comment, check.margin, check.equity) == (0, "Done", 0.0, 100_000.0)
