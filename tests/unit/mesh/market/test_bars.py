"""Bars are cut as the contract says, and do not depend on how their ticks came in."""

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from suho.market.v1 import bar_pb2

from mesh.market import bar_codec
from mesh.market.bars import (
    BAR_COLUMNS,
    DAY_MS,
    TIMEFRAMES,
    BarBuilder,
    Bars,
    Cut,
    RangeCut,
    TickCut,
    TimeCut,
    VolumeCut,
)

# A Wednesday, 23:59:30: minutes, days, weeks and months change soon after it.
START_MSC = 1_767_225_570_000


@dataclass(frozen=True)
class Quotes:
    time_msc: Any
    bid: Any
    ask: Any
    last: Any
    volume_real: Any
    volume: Any

    def __len__(self) -> int:
        return len(self.time_msc)

    def slice(self, start: int, stop: int) -> "Quotes":
        return Quotes(**{name: column[start:stop] for name, column in vars(self).items()})


def quotes(times: list[int], bid: list[float], **columns: list[float]) -> Quotes:
    zeros = [0.0] * len(times)
    filled = {name: np.array(columns.get(name, zeros)) for name in ("ask", "last", "volume_real")}
    volume = np.array(columns.get("volume", zeros), np.uint64)
    return Quotes(np.array(times, np.int64), np.array(bid, float), volume=volume, **filled)


@st.composite
def some_quotes(draw: st.DrawFn) -> Quotes:
    count = draw(st.integers(1, 80))
    steps = st.sampled_from([0, 1, 700, 61_000, 3_600_000, DAY_MS, 8 * DAY_MS])
    prices = st.sampled_from([0.0, 1.1, 1.10001, 1.1001, 1.10013, 1.2])
    volumes = st.sampled_from([0.0, 0.1, 0.3, 1.0, 2.7])

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=count, max_size=count))

    return quotes(
        (START_MSC + np.cumsum(column(steps))).tolist(),
        column(prices),
        ask=column(prices),
        last=column(prices),
        volume_real=column(volumes),
        volume=column(st.integers(0, 3)),
    )


CUTS = st.one_of(
    st.sampled_from(TIMEFRAMES).map(TimeCut),
    st.integers(1, 7).map(TickCut),
    st.sampled_from([0.3, 1.0, 5.5]).map(VolumeCut),
    st.sampled_from([1e-5, 1e-4, 0.05]).map(RangeCut),
)


def same(one: Bars, other: Bars) -> bool:
    columns = zip(one.columns().values(), other.columns().values(), strict=True)
    return one.last_closed == other.last_closed and all(a.tobytes() == b.tobytes() for a, b in columns)


def values(bars: Bars, *names: str) -> list[tuple[Any, ...]]:
    return list(zip(*(getattr(bars, name).tolist() for name in names), strict=True))


@given(some_quotes(), CUTS, st.lists(st.integers(0, 80), max_size=8))
def test_bars_do_not_depend_on_the_pieces(ticks: Quotes, cut: Cut, edges: list[int]) -> None:
    """Closed bars of every piece, and what is forming after the last, are those of all ticks at once."""
    places = [0, *sorted(min(edge, len(ticks)) for edge in edges), len(ticks)]
    builder = BarBuilder(cut)
    parts: list[Bars] = []
    forming = Bars.empty()
    for start, stop in itertools.pairwise(places):
        bars = builder.add(ticks.slice(start, stop))
        if len(bars):
            parts.append(bars.slice(0, bars.closed))
            forming = bars.slice(bars.closed, len(bars))
    assert same(Bars.join([*parts, forming]), BarBuilder(cut).add(ticks))


@given(some_quotes(), CUTS)
def test_bars_are_what_a_plain_loop_makes(ticks: Quotes, cut: Cut) -> None:
    """Every column, tick by tick, in plain Python."""
    assert values(BarBuilder(cut).add(ticks), *BAR_COLUMNS) == plainly(ticks, cut)


def plainly(ticks: Quotes, cut: Cut) -> list[tuple[Any, ...]]:
    bars: list[dict[str, Any]] = []
    rows = zip(*(column.tolist() for column in vars(ticks).values()), strict=True)
    for time_msc, bid, ask, last, volume_real, volume in rows:
        price = bid or last
        if not price:
            continue
        if not bars or ended(bars[-1], time_msc, cut):
            start = int(cut.opened(np.array([time_msc]))[0])
            bars.append({"open_msc": start, "close_msc": 0, "open": price, "high": price, "low": price, "close": 0})
            bars[-1] |= {"ticks": 0, "volume": 0.0, "spread_min": 0.0, "spread_close": 0.0, "spreads": []}
        bar = bars[-1]
        bar["spread_close"] = ask - bid if bid and ask else 0.0
        bar["spreads"] += [ask - bid] if bid and ask else []
        bar |= {"close_msc": time_msc, "close": price, "ticks": bar["ticks"] + 1}
        bar |= {"high": max(bar["high"], price), "low": min(bar["low"], price)}
        bar["volume"] += volume_real or volume
        bar["spread_min"] = min(bar["spreads"], default=0.0)
    return [tuple(bar[name] for name in BAR_COLUMNS) for bar in bars]


def ended(bar: dict[str, Any], time_msc: int, cut: Cut) -> bool:
    match cut:
        case TimeCut():
            return bool(cut.opened(np.array([time_msc]))[0] != bar["open_msc"])
        case TickCut(size):
            full = bar["ticks"] == size
        case VolumeCut(volume):
            full = bar["volume"] > volume - 1e-9
        case RangeCut(reach):
            full = bar["high"] - bar["low"] > reach - 1e-9
    return bool(full) or time_msc // DAY_MS != bar["open_msc"] // DAY_MS


@pytest.mark.parametrize(
    ("timeframe", "start"),
    [
        ("M1", "2026-03-04T13:47"),
        ("M12", "2026-03-04T13:36"),
        ("H4", "2026-03-04T12:00"),
        ("D1", "2026-03-04T00:00"),
        ("W1", "2026-03-01T00:00"),
        ("MN1", "2026-03-01T00:00"),
    ],
)
def test_a_time_falls_into_the_bar_that_mt5_shows(timeframe: str, start: str) -> None:
    """Weeks begin on Sunday, months on the first, all else at a multiple of its length."""
    time_msc = int(datetime(2026, 3, 4, 13, 47, 12, tzinfo=UTC).timestamp() * 1000)
    expected = int(datetime.fromisoformat(start).replace(tzinfo=UTC).timestamp() * 1000)
    assert TimeCut(timeframe).opened(np.array([time_msc])).tolist() == [expected]


def test_decimal_sizes_are_reached_although_doubles_are_not_exact() -> None:
    """1.10010 - 1.10000 is a range of 0.0001, and ten volumes of 0.1 are 1."""
    ticks = quotes([1, 2, 3], [1.1, 1.1001, 1.1001])
    assert values(BarBuilder(RangeCut(0.0001)).add(ticks), "ticks") == [(2,), (1,)]
    ten = quotes(list(range(10)), [1.0] * 10, volume_real=[0.1] * 10)
    bars = BarBuilder(VolumeCut(1.0)).add(ten)
    assert (len(bars), bars.last_closed) == (1, True)


def test_a_long_bar_ends_where_it_ends() -> None:
    """However far its end lies behind its beginning."""
    count = 100_000
    bars = BarBuilder(VolumeCut(30_000.0)).add(quotes(list(range(count)), [1.0] * count, volume=[1] * count))
    assert values(bars, "ticks") == [(30_000,), (30_000,), (30_000,), (10_000,)]


def test_timeframes_are_the_contracts() -> None:
    """By name and number."""
    names = [name.removeprefix("TIMEFRAME_") for name in bar_pb2.Timeframe.DESCRIPTOR.values_by_name]
    assert tuple(names[1:]) == TIMEFRAMES
    assert bar_codec.cut(bar_pb2.BarSpec(timeframe=bar_pb2.TIMEFRAME_MN1)) == TimeCut("MN1")


@pytest.mark.parametrize(
    "spec",
    [
        bar_pb2.BarSpec(),
        bar_pb2.BarSpec(timeframe=bar_pb2.TIMEFRAME_UNSPECIFIED),
        bar_pb2.BarSpec(ticks=0),
        bar_pb2.BarSpec(volume=-1.0),
        bar_pb2.BarSpec(range=float("nan")),
        bar_pb2.BarSpec(range=float("inf")),
    ],
)
def test_a_spec_that_cuts_nothing_is_refused(spec: bar_pb2.BarSpec) -> None:
    """With a sentence that names the field."""
    with pytest.raises(ValueError, match="spec"):
        bar_codec.cut(spec)


@given(some_quotes())
def test_bars_survive_the_wire(ticks: Quotes) -> None:
    """As columns to the bit, and as single messages in the typed columns' order."""
    bars = BarBuilder(TickCut(3)).add(ticks)
    twin = bar_pb2.BarColumnsTwin(**bar_codec.fields(bars))
    typed = bar_pb2.BarColumns.FromString(twin.SerializeToString())
    assert same(bar_codec.decode(twin), bars)
    singles = [bar_pb2.Bar(**kwargs) for kwargs in bar_codec.each(bars)]
    assert [bar.close for bar in singles] == list(typed.close)
    assert [bar.closed for bar in singles] == [True] * bars.closed + [False] * (len(bars) - bars.closed)
