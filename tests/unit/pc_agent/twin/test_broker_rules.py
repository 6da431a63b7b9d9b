"""The broker's arithmetic by itself: sessions, nights, watches over columns of ticks."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pc_agent.twin import constants as mt5
from pc_agent.twin.domain.instrument import instrument
from pc_agent.twin.domain.order_types import watch_of
from pc_agent.twin.domain.sessions import SessionsError, week
from pc_agent.twin.domain.swap import night, nights
from pc_agent.twin.domain.terms import Terms
from pc_agent.twin.domain.ticks import TICK_DTYPE, Ticks
from pc_agent.twin.domain.watches import Cause, Prices, Watches
from pc_agent.twin.results import TradeOrder, TradePosition
from pc_agent.twin.series import SyntheticSeries

MONDAY_MS = 4 * 86_400_000  # 5 January 1970
HOUR_MS = 3_600_000


def test_a_week_of_sessions() -> None:
    """Days one by one or from one to another; a session ends before its last minute begins."""
    hours = week("mon-wed 08:00-10:00, mon 12:00-12:01, sun 22:00-24:00")
    asked = {0: False, 8: True, 9.99: True, 10: False, 12: True, 12.1: False, 32: True, 80: False, 167.9: True}
    for hour, is_open in asked.items():
        assert hours.is_open(int(MONDAY_MS + hour * HOUR_MS)) is is_open, hour
    times = np.array([MONDAY_MS + int(hour * HOUR_MS) for hour in asked], np.int64)
    assert hours.open_at(times).tolist() == list(asked.values())
    assert week("").is_open(MONDAY_MS)


@pytest.mark.parametrize("text", ["always", "mon", "mon 8:00-10:00", "mon 10:00-08:00", "wed-mon 08:00-09:00",
                                  "mon 08:00-24:01", "mon 08:00-09:00;", "mun 08:00-09:00"])  # fmt: skip
def test_sessions_that_make_no_sense(text: str) -> None:
    """Are refused in words."""
    with pytest.raises(SessionsError):
        week(text)


def test_a_week_has_seven_nights_whichever_is_triple() -> None:
    """Saturday's and Sunday's are charged with the triple one."""
    monday = MONDAY_MS // 86_400_000
    for triple in range(mt5.DAY_OF_WEEK_MONDAY, mt5.DAY_OF_WEEK_SATURDAY):
        assert nights(monday, monday + 7, triple) == 7
        assert nights(monday + triple - 1, monday + triple, triple) == 3
    assert nights(monday + 5, monday + 7, mt5.DAY_OF_WEEK_WEDNESDAY) == 0


@pytest.mark.parametrize(
    ("mode", "money"),
    [
        (mt5.SYMBOL_SWAP_MODE_DISABLED, 0.0),
        (mt5.SYMBOL_SWAP_MODE_POINTS, -3.6 * 1e-5 * 200_000 * 1.3),
        (mt5.SYMBOL_SWAP_MODE_CURRENCY_SYMBOL, -3.6 * 2 * 1.5),
        (mt5.SYMBOL_SWAP_MODE_CURRENCY_MARGIN, -3.6 * 2 * 1.5),
        (mt5.SYMBOL_SWAP_MODE_CURRENCY_DEPOSIT, -3.6 * 2),
        (mt5.SYMBOL_SWAP_MODE_INTEREST_CURRENT, -0.036 / 360 * 200_000 * 0.9 * 1.3),
        (mt5.SYMBOL_SWAP_MODE_INTEREST_OPEN, -0.036 / 360 * 200_000 * 0.8 * 1.3),
    ],
)
def test_a_nights_swap(mode: int, money: float) -> None:
    """By points, by money in one of the currencies, by a year's interest."""
    terms = Terms(swap_mode=mode, swap_long=-3.6, swap_short=9.9)
    made = night(instrument("EURGBP", 5, "USD"), terms, 1, 2.0, 0.8, 0.9, 1.5, 1.3)
    assert made == pytest.approx(money)


def waiting(ticket: int, kind: int, price: float) -> TradeOrder:
    blank = {name: "" if kind_ is str else 0 for name, kind_ in TradeOrder.__annotations__.items()}
    return TradeOrder(**blank | {"ticket": ticket, "type": kind, "price_open": price})  # type: ignore[arg-type]


def held(ticket: int, side: int, sl: float, tp: float) -> TradePosition:
    blank = {name: "" if kind is str else 0 for name, kind in TradePosition.__annotations__.items()}
    return TradePosition(**blank | {"ticket": ticket, "type": side, "sl": sl, "tp": tp})  # type: ignore[arg-type]


def made(bids: list[int], spread: int = 1) -> Ticks:
    ticks = np.zeros(len(bids), TICK_DTYPE)
    ticks["bid"], ticks["ask"] = bids, np.array(bids) + spread
    return ticks


prices = st.integers(1, 12)
bids = st.lists(prices, min_size=1, max_size=30)
kinds = st.sampled_from(range(mt5.ORDER_TYPE_BUY_LIMIT, mt5.ORDER_TYPE_SELL_STOP + 1))
stops = st.one_of(st.just(0), prices)


waiting_orders = st.lists(st.tuples(kinds, prices), max_size=4)
open_positions = st.lists(st.tuples(st.integers(0, 1), stops, stops), max_size=4)


@settings(max_examples=80, deadline=None)
@given(bids, waiting_orders, open_positions, st.integers(0, 8), st.dictionaries(st.integers(1, 8), st.integers(0, 12)))
def test_columns_find_what_a_loop_over_ticks_finds(
    bids: list[int],
    orders: list[tuple[int, int]],
    positions: list[tuple[int, int, int]],
    start: int,
    blind: dict[int, int],
) -> None:
    """The first tick that reaches anything; of one tick a stop loss before a take profit before an order."""
    working = [waiting(1 + place, kind, price) for place, (kind, price) in enumerate(orders)]
    open_ = [held(5 + place, side, sl, tp) for place, (side, sl, tp) in enumerate(positions)]
    touch = Watches(working, open_).first(Prices(made(bids)), start, blind)
    expected = None
    for index in range(start, len(bids)):
        bid, ask = bids[index], bids[index] + 1
        met = []
        for position in open_:
            buys, closing = position.type == 0, bid if position.type == 0 else ask
            if position.sl and (closing <= position.sl if buys else closing >= position.sl):
                met.append((Cause.STOP_LOSS.value, position.ticket))
            if position.tp and (closing >= position.tp if buys else closing <= position.tp):
                met.append((Cause.TAKE_PROFIT.value, position.ticket))
        for order in working:
            reached = {
                mt5.ORDER_TYPE_BUY_LIMIT: ask <= order.price_open,
                mt5.ORDER_TYPE_SELL_LIMIT: bid >= order.price_open,
                mt5.ORDER_TYPE_BUY_STOP: ask >= order.price_open,
                mt5.ORDER_TYPE_SELL_STOP: bid <= order.price_open,
            }
            if reached[order.type]:
                met.append((Cause.ORDER.value, order.ticket))
        met = [one for one in met if index >= blind.get(one[1], 0)]
        if met:
            expected = (index, *min(met))
            break
    assert (None if touch is None else (touch.index, touch.cause.value, touch.ticket)) == expected


def test_what_remains_of_a_market_order_takes_any_tick() -> None:
    """Whatever its price."""
    for kind in (mt5.ORDER_TYPE_BUY, mt5.ORDER_TYPE_SELL):
        watch = watch_of(waiting(1, kind, 5.0))
        assert watch.falls == (watch.level == float("inf"))
        touch = Watches([waiting(1, kind, 5.0)], []).first(Prices(made([3])), 0, {})
        assert touch is not None


def test_a_synthetic_market_is_silent_outside_its_sessions(tmp_path: Path) -> None:
    """Across the end and the beginning of a session; always open it never is."""
    series = SyntheticSeries("EURUSD", 1, tmp_path, MONDAY_MS, "mon 00:01-00:02, mon 00:03-24:00")
    for minute in range(5):
        series.reach(MONDAY_MS + minute * 60_000, 1.0)
    minutes = {int(time_msc - MONDAY_MS) // 60_000 for time_msc in series.ticks["time_msc"]}
    assert minutes == {1, 3, 4}
    series.close()
