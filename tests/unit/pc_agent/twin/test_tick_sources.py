"""Replay files beside CSV: MT5's own export, and parquet."""

import builtins
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pc_agent.twin.feeds import FeedError, plan_feeds
from pc_agent.twin.tick_source import TickFileError, read_ticks

HEADER = "<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>\t<FLAGS>"
FIRST = "2024.01.02\t00:05:00.123\t1.10427\t1.1045\t\t\t6"
FIRST_MSC = 1704153900123


def written(folder: Path, *rows: str, newline: str = "\n", name: str = "export.csv") -> Path:
    path = folder / name
    data = newline.join((HEADER, *rows, "")).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize(("newline", "name"), [("\n", "export.csv"), ("\r\n", "export.csv"), ("\r\n", "export.txt.gz")])
def test_a_side_left_empty_is_that_of_the_line_above(tmp_path: Path, newline: str, name: str) -> None:
    """Bid, ask and last are carried forward, volume is not; two ticks of a millisecond stay two."""
    rows = [
        FIRST,
        "2024.01.02\t00:05:00.123\t1.10428\t\t\t\t2",
        "2024.01.02\t00:05:01\t\t1.105\t1.1046\t2.5\t60",
        "2024.01.02\t00:05:01.5\t\t\t\t\t2",
    ]
    parsed = read_ticks(written(tmp_path, *rows, newline=newline, name=name))
    ticks = parsed.ticks
    assert ticks["time_msc"].tolist() == [FIRST_MSC, FIRST_MSC, FIRST_MSC + 877, FIRST_MSC + 1377]
    assert ticks["bid"].tolist() == [1.10427, 1.10428, 1.10428, 1.10428]
    assert ticks["ask"].tolist() == [1.1045, 1.1045, 1.105, 1.105]
    assert ticks["last"].tolist() == [0, 0, 1.1046, 1.1046]
    assert ticks["volume_real"].tolist() == [0, 0, 2.5, 0]
    assert ticks["volume"].tolist() == [0, 0, 2, 0]
    assert ticks["flags"].tolist() == [6, 2, 60, 2]
    assert parsed.digits == 5


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("2024-01-02\t00:05:01\t1.1\t1.2\t\t\t6", "line 3: expected <DATE> as YYYY.MM.DD"),
        ("2024.01.02\t0:05:01\t1.1\t1.2\t\t\t6", "line 3: expected <TIME>"),
        ("2024.01.02\t00:05:01\t1.1\t1.2\t\t6", "line 3: expected 7 fields"),
        ("2024.01.02\t00:05:01\t1,1\t1.2\t\t\t6", "line 3: expected <BID> and <ASK> as decimal"),
        ("2024.01.02\t00:05:01\t0\t1.2\t\t\t6", "line 3: expected <BID> and <ASK> above zero"),
        ("2024.01.02\t00:05:01\t1.1\t1.2\tx\t\t6", "line 3: expected <LAST>"),
        ("2024.01.02\t00:05:01\t1.1\t1.2\t\t-1\t6", "line 3: expected <VOLUME>"),
        ("2024.01.02\t00:05:01\t1.1\t1.2\t\t\t", "line 3: expected <FLAGS>"),
        ("2024.01.02\t00:05:00.122\t1.1\t1.2\t\t\t6", "line 3: expected a time not before"),
    ],
)
def test_a_malformed_row_of_an_export_is_found(tmp_path: Path, row: str, said: str) -> None:
    """The error says which file, which line and what was expected there."""
    path = written(tmp_path, FIRST, row)
    with pytest.raises(TickFileError) as refused:
        read_ticks(path)
    assert f"{path}, {said}" in str(refused.value)


def test_an_export_begins_with_both_sides(tmp_path: Path) -> None:
    """What was never quoted can not be carried forward."""
    with pytest.raises(TickFileError, match=r"line 2: expected <BID> and <ASK> both in the first line"):
        read_ticks(written(tmp_path, "2024.01.02\t00:05:00\t1.1\t\t\t\t2", FIRST))


def test_bars_of_a_terminal_are_no_ticks(tmp_path: Path) -> None:
    """The other export that a terminal offers is named for what it is."""
    path = tmp_path / "bars.csv"
    path.write_text("<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\r\n")
    with pytest.raises(FeedError, match="these are bars"):
        plan_feeds([f"EURUSD={path}"])


quotes = st.tuples(st.integers(0, 3), st.integers(1, 10**6), st.booleans(), st.integers(1, 10**6), st.booleans())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(quotes, min_size=1, max_size=30))
def test_an_export_reads_as_line_by_line_would(tmp_path: Path, rows: list[tuple[int, int, bool, int, bool]]) -> None:
    """Whatever is left out where, the columns are those that a reader of single lines makes."""
    lines, expected, bid, ask, ms = [], [], "", "", 0
    for gap, bid_points, has_bid, ask_points, has_ask in rows:
        ms += gap
        has_bid, has_ask = has_bid or not lines, has_ask or not lines
        bid, ask = (f"{bid_points / 1e5:.5f}" if has_bid else bid), (f"{ask_points / 1e5:.5f}" if has_ask else ask)
        lines.append(f"2024.01.02\t00:00:00.{ms:03}\t{bid * has_bid}\t{ask * has_ask}\t\t\t6")
        expected.append((1704153600000 + ms, float(bid), float(ask)))
    ticks = read_ticks(written(tmp_path, *lines)).ticks
    assert list(zip(ticks["time_msc"].tolist(), ticks["bid"].tolist(), ticks["ask"].tolist(), strict=True)) == expected


def parquet(folder: Path, **columns: Any) -> Path:
    path = folder / "ticks.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def test_a_parquet_file_is_read_with_what_it_has(tmp_path: Path) -> None:
    """All columns when they are there, whatever their width; empty ones of the optional are zero."""
    path = parquet(
        tmp_path,
        time_msc=pa.array([5, 5, 7], pa.int64()),
        bid=[1.5, 1.25, 1.25],
        ask=[1.6, 1.6, 1.7],
        last=[0.0, None, 1.3],
        volume=pa.array([0, 1, 2], pa.int32()),
        flags=pa.array([6, 2, 4], pa.uint16()),
    )
    parsed = read_ticks(path)
    rows = [row.item() for row in parsed.ticks]
    assert rows == [(0, 1.5, 1.6, 0, 0, 5, 6, 0), (0, 1.25, 1.6, 0, 1, 5, 2, 0), (0, 1.25, 1.7, 1.3, 2, 7, 4, 0)]
    assert parsed.digits == 2


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_parquet_timestamp_is_floored_to_milliseconds(tmp_path: Path, unit: str) -> None:
    """Of any unit, with a zone or without; the flags say which side moved."""
    per_s = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    stamps = pa.array([2 * per_s, 3 * per_s + (per_s > 1000)], pa.timestamp(unit, "UTC" if unit == "us" else None))
    ticks = read_ticks(parquet(tmp_path, timestamp=stamps, bid=[1.1, 1.2], ask=[1.3, 1.3])).ticks
    assert (ticks["time_msc"].tolist(), ticks["flags"].tolist()) == ([2000, 3000], [6, 2])


GOOD = {"time_msc": [1, 2], "bid": [1.1, 1.1], "ask": [1.2, 1.2]}


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"bid": [1.1], "ask": [1.2]}, "expected the columns time_msc or timestamp, bid and ask, found bid, ask"),
        ({**GOOD, "time_msc": [1.0, 2.0]}, "expected time_msc as whole milliseconds, found double"),
        ({"timestamp": [1, 2], "bid": [1.0, 1.0], "ask": [1.0, 1.0]}, "expected timestamp as a timestamp, found int64"),
        ({**GOOD, "bid": ["a", "b"]}, "expected bid as numbers, found string"),
        ({**GOOD, "bid": [1.1, None]}, "row 2: expected a value for bid"),
        ({**GOOD, "ask": [1.1, float("nan")]}, "row 2: expected bid and ask above zero"),
        ({**GOOD, "time_msc": [2, 1]}, "row 2: expected a time not before"),
        ({**GOOD, "volume": [0, -1]}, "row 2: expected volume as a number not below zero"),
        ({**GOOD, "last": [0.0, float("inf")]}, "row 2: expected last as a number not below zero"),
        ({"time_msc": pa.array([], pa.int64()), "bid": pa.array([], pa.float64()), "ask": pa.array([], pa.float64())},
         "expected ticks, found none"),
    ],
)  # fmt: skip
def test_a_malformed_parquet_file_is_refused_by_name_and_row(tmp_path: Path, columns: Any, said: str) -> None:
    """The error says which file, which row and what was expected there."""
    path = parquet(tmp_path, **columns)
    with pytest.raises(TickFileError) as refused:
        read_ticks(path)
    assert str(path) in str(refused.value)
    assert said in str(refused.value)


def test_what_is_no_parquet_is_refused_by_name(tmp_path: Path) -> None:
    """Before anything starts."""
    path = tmp_path / "ticks.parquet"
    path.write_bytes(b"not parquet, but longer than twelve bytes")
    with pytest.raises(FeedError, match=r"ticks\.parquet can not be read"):
        plan_feeds([f"EURUSD={path}"])


def test_without_pyarrow_the_sentence_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A twin on the base dependencies still plays everything else."""
    path = parquet(tmp_path, **GOOD)
    real = builtins.__import__

    def bare(name: str, *rest: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", bare)
    with pytest.raises(TickFileError, match="needs pyarrow to be read"):
        read_ticks(path)
    assert len(read_ticks(written(tmp_path, FIRST)).ticks) == 1


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=20), st.integers(0, 6))
def test_decimals_of_parquet_prices_are_the_fewest_that_write_them(
    tmp_path: Path, points: list[int], digits: int
) -> None:
    """A price of so many decimals is not taken for one of more."""
    prices = np.array(points) / 10.0**digits
    parsed = read_ticks(parquet(tmp_path, time_msc=np.zeros(len(points), np.int64), bid=prices, ask=prices))
    assert parsed.digits == max(len(repr(float(p)).partition(".")[2].rstrip("0")) for p in prices)
