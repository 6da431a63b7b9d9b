"""Bars as the package hands them out: which ones, in which order, made of which ticks."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from pc_agent.twin import constants as mt5
from pc_agent.twin.domain.rates import RATES_DTYPE, TIMEFRAME_NAMES, newest_rates, rates_between, rates_until
from pc_agent.twin.domain.ticks import Ticks, quotes_to_ticks

POINT = 0.00001
DAY = 86_400
BEGIN = datetime(2024, 1, 30, 22, 15, tzinfo=UTC)  # a Tuesday; the month changes two hours after midnight


@pytest.fixture(scope="module")
def ticks() -> Ticks:
    """Twelve days of a market that sleeps at weekends, half a minute between ticks on average."""
    random = np.random.default_rng(3)
    times = int(BEGIN.timestamp()) * 1000 + np.cumsum(random.integers(0, 60_000, 30_000))
    weekday = (times // (DAY * 1000) + 4) % 7
    times = times[(weekday > 0) & (weekday < 6)]
    bid = 1.1 + np.cumsum(random.integers(-3, 4, len(times))) * POINT
    return quotes_to_ticks(times, bid, bid + random.integers(1, 20, len(times)) * POINT)


def opening(name: str, second: int) -> int:
    """Written anew, with a calendar."""
    moment = datetime.fromtimestamp(second, UTC)
    midnight = moment.replace(hour=0, minute=0, second=0)
    match name[0], int(name.lstrip("MNHDW")):
        case "M", 1 if name == "MN1":
            start = midnight.replace(day=1)
        case "M", minutes:
            start = midnight + (moment - midnight) // timedelta(minutes=minutes) * timedelta(minutes=minutes)
        case "H", hours:
            start = midnight + (moment - midnight) // timedelta(hours=hours) * timedelta(hours=hours)
        case "W", _:
            start = midnight - timedelta(days=(midnight.weekday() + 1) % 7)
        case _:
            start = midnight
    return int(start.timestamp())


def bars(ticks: Ticks, name: str) -> list[tuple[object, ...]]:
    """Tick by tick."""
    made: dict[int, list[tuple[float, float]]] = {}
    for tick in ticks:
        made.setdefault(opening(name, int(tick["time"])), []).append((float(tick["bid"]), float(tick["ask"])))
    return [
        (
            at, quotes[0][0], max(bid for bid, _ in quotes), min(bid for bid, _ in quotes), quotes[-1][0],
            len(quotes), round(min(ask - bid for bid, ask in quotes) / POINT), 0,
        )
        for at, quotes in made.items()
    ]  # fmt: skip


@pytest.mark.parametrize("timeframe", TIMEFRAME_NAMES)
def test_every_timeframe_is_the_ticks_told_otherwise(ticks: Ticks, timeframe: int) -> None:
    """21 of them; the newest bar is the one that is forming; however few are asked for, they are whole."""
    name = TIMEFRAME_NAMES[timeframe]
    expected = bars(ticks[-4000:], name)[1:]
    rates = newest_rates(ticks, name, 0, len(expected), POINT)
    assert rates.dtype == RATES_DTYPE
    assert [tuple(rate) for rate in rates.tolist()] == expected
    if len(expected) > 2:
        assert newest_rates(ticks, name, 1, 2, POINT).tolist() == expected[-3:-1]


def test_all_timeframes_of_the_package_are_there() -> None:
    """By its numbers."""
    names = {name.removeprefix("TIMEFRAME_"): value for name, value in vars(mt5).items() if "TIMEFRAME" in name}
    assert {name: value for value, name in TIMEFRAME_NAMES.items()} == names


def test_bars_until_a_moment_end_with_the_one_that_holds_it(ticks: Ticks) -> None:
    """Counted backwards from there; a moment at which the market sleeps has the last one before it."""
    every = bars(ticks, "H4")
    saturday = int(datetime(2024, 2, 3, 12, tzinfo=UTC).timestamp())
    held = [bar for bar in every if int(str(bar[0])) <= saturday]
    assert rates_until(ticks, "H4", saturday, 3, POINT).tolist() == held[-3:]
    at = int(str(every[7][0]))
    assert rates_until(ticks, "H4", at, 2, POINT).tolist() == every[6:8]
    assert rates_until(ticks, "H4", at - 1, 2, POINT).tolist() == every[5:7]
    assert rates_until(ticks, "MN1", saturday, 5, POINT)["time"].tolist() == [
        opening("MN1", int(ticks[0]["time"])),
        opening("MN1", saturday),
    ]


def test_bars_before_a_weekend_follow_on_those_behind_it(ticks: Ticks) -> None:
    """However long nothing was quoted, so many bars are so many bars."""
    monday = int(datetime(2024, 2, 5, 0, 30, tzinfo=UTC).timestamp())
    expected = [bar for bar in bars(ticks, "M1") if int(str(bar[0])) <= monday][-60:]
    assert int(str(expected[0][0])) < monday - 2 * DAY
    assert rates_until(ticks, "M1", monday, 60, POINT).tolist() == expected


def test_bars_between_two_moments_open_between_them(ticks: Ticks) -> None:
    """Both included; each of them whole."""
    every = bars(ticks, "M15")
    since, until = int(str(every[10][0])), int(str(every[20][0]))
    assert rates_between(ticks, "M15", since, until, POINT).tolist() == every[10:21]
    assert rates_between(ticks, "M15", since + 1, until - 1, POINT).tolist() == every[11:20]
    assert len(rates_between(ticks, "M15", until, since, POINT)) == 0


def test_no_ticks_no_bars(ticks: Ticks) -> None:
    """Before the first, behind the oldest, and in an empty history."""
    first = int(ticks[0]["time"])
    assert len(rates_until(ticks, "M1", first - 3600, 5, POINT)) == 0
    assert len(newest_rates(ticks[:0], "D1", 0, 5, POINT)) == 0
    assert len(newest_rates(ticks, "MN1", 5, 5, POINT)) == 0
    assert len(newest_rates(ticks, "MN1", 0, 50, POINT)) == 2
