"""What is told of a market by the ticks that pass."""

import itertools
import math
from typing import Any

import numpy as np
import pytest

from mesh.market.batch import ordinals
from pc_agent.domain.conditions import NewTicks, SymbolMarket, changed, spread_bound
from pc_agent.domain.market_minutes import MINUTE_MS, Minutes
from pc_agent.domain.market_week import Week
from pc_agent.domain.symbols import DISABLED, FULL

SECOND_NS = 1_000_000_000
DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
# Monday, 2020-01-06T10:00Z, long ago: a replay.
MONDAY_MSC = 18_267 * DAY_MS + 10 * 3_600_000
NOW_MS = MONDAY_MSC + 6 * 365 * DAY_MS
POINT = 0.00001


def ticks_of(
    time_msc: Any, spread_points: float = 10, at_s: float = 0, is_newest: bool = True, bid: Any = 1.1
) -> NewTicks:
    time_msc = np.asarray(time_msc, np.int64)
    bid = np.broadcast_to(np.asarray(bid, float), len(time_msc)).copy()
    at_ns = int((1000 + at_s) * SECOND_NS)
    return NewTicks(time_msc, ordinals(time_msc), bid, bid + spread_points * POINT, at_ns, is_newest)


class Played:
    """A market that is read, at `s` seconds of the PC's clock."""

    def __init__(self) -> None:
        self.market = SymbolMarket()
        self.market.read(True)

    def play(self, start_msc: int, from_s: int, to_s: int, **rest: Any) -> None:
        """A tick a second, each read when it comes."""
        for s in range(from_s, to_s):
            self.market.take(ticks_of([start_msc + s * 1000], at_s=s, **rest))

    def at(self, s: float, trade_mode: int = FULL, now_unix_ms: int = NOW_MS) -> Any:
        return self.market.conditions(POINT, trade_mode, int((1000 + s) * SECOND_NS), now_unix_ms)


def test_a_replayed_market_is_open_and_fresh() -> None:
    """Ticks of years ago that flow now are as young as they are here."""
    played = Played()
    played.play(MONDAY_MSC, 0, 120)
    now = played.at(119.5)
    assert (now.session_open, now.gap, now.quote_age_ms) == (True, False, 500)
    assert now.ticks_per_second == pytest.approx(1, rel=0.05)
    assert now.spread_points == now.mean_spread_points == pytest.approx(10)


def test_a_quote_of_another_day_that_was_only_found_is_of_a_closed_session() -> None:
    """The agent starts on a Saturday: the newest tick is Friday's, and nothing moves."""
    played = Played()
    played.market.take(ticks_of([MONDAY_MSC, MONDAY_MSC + 1], is_newest=False))
    played.market.take(ticks_of([MONDAY_MSC + 2]))  # still of what there was
    assert not played.at(1).session_open
    assert played.at(1, now_unix_ms=MONDAY_MSC + 3 * 3_600_000).session_open  # of today, whatever the server's zone
    played.market.take(ticks_of([MONDAY_MSC + 1000], at_s=2))
    assert played.at(2).session_open


def test_a_standstill_is_a_gap_only_while_the_session_is_open() -> None:
    """Longer than twenty of its mean pauses; on a Saturday, which nothing is known of, it is just closed."""
    for start, is_open in ((MONDAY_MSC, True), (MONDAY_MSC + 5 * DAY_MS, False)):
        played = Played()
        played.play(start, 0, 300)
        assert not played.at(299 + 19).gap
        assert played.at(299 + 19).session_open
        still = played.at(299 + 22)
        assert (still.session_open, still.gap) == (is_open, is_open)


def test_what_nobody_reads_stands_still_for_no_one() -> None:
    """While the tick lanes are away no tick passes: that says nothing of the market."""
    played = Played()
    played.play(MONDAY_MSC, 0, 300)
    played.market.read(False)
    assert (played.at(900).session_open, played.at(900).gap) == (True, False)


def test_the_broker_has_the_last_word_on_a_session() -> None:
    """Disabled, or refused as closed within the last minute: closed, though quotes flow."""
    played = Played()
    played.play(MONDAY_MSC, 0, 30)
    assert not played.at(30, trade_mode=DISABLED).session_open
    played.market.answered(True, int(1030 * SECOND_NS))
    assert not played.at(35).session_open
    played.play(MONDAY_MSC, 30, 100)
    assert played.at(100).session_open
    played.market.answered(True, int(1100 * SECOND_NS))
    played.market.answered(False, int(1101 * SECOND_NS))
    assert played.at(101).session_open


def test_ticks_that_are_read_again_count_once() -> None:
    """A lane that is cut has its ticks read anew from the mesh's newest on."""
    played = Played()
    batch = ticks_of(MONDAY_MSC + np.array([0, 0, 5, 5, 9]))
    played.market.take(batch)
    before = played.at(1)
    played.market.take(batch)
    assert played.at(1) == before
    more = ticks_of(MONDAY_MSC + np.array([0, 0, 5, 5, 9, 9]), spread_points=70)
    played.market.take(more)  # one is new
    assert played.at(1).mean_spread_points == pytest.approx((5 * 10 + 70) / 6)


def test_statistics_are_those_of_the_plain_definitions() -> None:
    """However the ticks are cut: spread of five minutes, deviation of the returns of whole minutes over an hour."""
    rng = np.random.default_rng(7)
    times = MONDAY_MSC + np.sort(rng.integers(0, 3 * 3_600_000, 20_000))
    bid = 1.1 * np.exp(np.cumsum(rng.normal(0, 1e-5, len(times))))
    ask = bid + rng.integers(1, 30, len(times)) * POINT
    one, many = Minutes(), Minutes()
    one.take(times, bid, ask)
    cuts = [0, *np.sort(rng.choice(len(times), 300, replace=False)).tolist(), len(times)]
    for start, stop in itertools.pairwise(cuts):
        if start < stop:
            many.take(times[start:stop], bid[start:stop], ask[start:stop])
    minute = times // MINUTE_MS
    newest = minute[-1]
    mean = (ask - bid)[minute > newest - 5].mean()
    closes = [((bid + ask) / 2)[minute == at][-1] for at in range(newest - 60, newest)]
    deviation = np.std(np.diff(np.log(closes)), ddof=1)
    rate = (minute >= newest - 59).sum()
    for held in (one, many):
        assert held.mean_spread(5) == pytest.approx(mean)
        assert held.volatility() == pytest.approx(deviation)
        assert held.rhythm_ms() == pytest.approx(60 * MINUTE_MS / rate)
    assert one.volatility() == many.volatility()


def test_volatility_is_unknown_until_ten_returns() -> None:
    """Minutes without a tick end where the one before them ended."""
    held = Minutes()
    held.take(MONDAY_MSC + np.array([0]), np.array([1.0]), np.array([1.0]))
    assert held.volatility() == 0
    held.take(MONDAY_MSC + np.array([9 * MINUTE_MS, 11 * MINUTE_MS]), np.array([1.01, 1.0]), np.array([1.01, 1.0]))
    returns = [0.0] * 8 + [math.log(1.01), 0.0]
    assert held.volatility() == pytest.approx(np.std(returns, ddof=1))


def test_a_week_is_learnt_from_its_ticks() -> None:
    """Break at night and trade on Sunday evening; one silent Monday closes no Monday."""
    minutes = np.arange(0, WEEK_MS, 60_000)
    of_day, day = minutes % DAY_MS // 60_000, minutes // DAY_MS
    monday = MONDAY_MSC - 10 * 3_600_000
    open_at = minutes[((day < 5) & (of_day >= 5)) | ((day == 6) & (of_day >= 22 * 60))]
    week = Week()
    assert week.is_open(monday)
    assert not week.is_open(monday + 6 * DAY_MS + 23 * 3_600_000)
    for number in range(2):
        week.learn(monday + number * WEEK_MS + open_at)
    at = monday + 9 * WEEK_MS
    assert not week.is_open(at + DAY_MS + 2 * 60_000)  # a break of five minutes from midnight on
    assert week.is_open(at + DAY_MS + 6 * 60_000)
    assert week.is_open(at + 6 * DAY_MS + 23 * 3_600_000)
    assert not week.is_open(at + 5 * DAY_MS + 3_600_000)
    week.learn(monday + 2 * WEEK_MS + open_at[open_at > DAY_MS])
    assert week.is_open(at + 12 * 3_600_000)


def test_a_days_last_quotes_are_known_after_two_silent_nights() -> None:
    """Of a working day by the others too, of a weekend by itself; one night may have been a line that was cut."""
    minutes = np.arange(0, 3 * WEEK_MS, 60_000)
    of_day, day = minutes % DAY_MS // 60_000, minutes // DAY_MS
    monday = MONDAY_MSC - 10 * 3_600_000
    eleven, five = 23 * 60, 17 * 60
    open_at = minutes[(day % 7 < 5) & (of_day < np.where(day % 7 == 4, five, eleven))]
    week, ends = Week(), dict[int, int]()
    for today in range(19):
        if today % 7 < 5:
            week.learn(monday + open_at[open_at // DAY_MS == today])
        begin = monday + (today + 1) * DAY_MS
        ends[today + 1] = (week.day_end_ms(begin + 12 * 3_600_000) - begin) // 60_000
    assert [ends[day] for day in (1, 2)] == [24 * 60] * 2  # Monday's silence is known on Tuesday
    assert [ends[day] for day in (3, 4, 7, 8, 11)] == [eleven] * 5  # the first Fridays as the days before them
    assert [ends[day] for day in (5, 12)] == [24 * 60] * 2
    assert (ends[18], ends[19]) == (five, 0)


def test_the_narrower_bound_of_the_spread_counts() -> None:
    """By number, by times the mean; no bound where neither is set or no mean is known."""
    assert spread_bound(30, 0, 10) == 30
    assert spread_bound(30, 2, 10) == 20
    assert spread_bound(30, 5, 10) == 30
    assert spread_bound(0, 1.5, 7) == 11
    assert spread_bound(0, 1.5, 0) == 0
    assert spread_bound(0, 1.5, 0.1) == 1


def test_that_time_went_by_is_no_news() -> None:
    """The quote's age alone is not told again."""
    played = Played()
    played.play(MONDAY_MSC, 0, 120)
    before = played.at(119.1)
    assert changed(None, before)
    assert not changed(before, played.at(119.2))
    played.market.take(ticks_of([MONDAY_MSC + 120_000], at_s=120, spread_points=11))
    assert changed(before, played.at(120))
