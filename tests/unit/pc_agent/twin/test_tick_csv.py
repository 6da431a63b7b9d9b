"""Replay files: the shapes that are read, and what is said of those that are not."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pc_agent.twin.domain.columns import decimals, split
from pc_agent.twin.tick_source import TickFileError, read_ticks
from tests.support.replay_file import count, generate

DAY = "date,ms_of_day_utc,bid,ask\n"
STAMP = "timestamp,bid,ask\n"


def written(folder: Path, text: str, name: str = "ticks.csv") -> Path:
    path = folder / name
    data = text.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def test_day_and_millisecond_files_are_read_with_fractions_floored(tmp_path: Path) -> None:
    """A fractional millisecond belongs to the millisecond that it is in."""
    text = DAY + "2014-05-01,292,1.38676,1.38686\n2014-05-01,292.999,1.38676,1.387\n2014-05-02,0,1.4,1.38700\n"
    parsed = read_ticks(written(tmp_path, text, "ticks.csv.gz"))
    assert parsed.ticks["time_msc"].tolist() == [1398902400292, 1398902400292, 1398988800000]
    assert parsed.ticks["time"].tolist() == [1398902400, 1398902400, 1398988800]
    assert parsed.ticks["bid"].tolist() == [1.38676, 1.38676, 1.4]
    assert parsed.ticks["flags"].tolist() == [6, 4, 2]
    assert parsed.digits == 5


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_timestamp_files_are_read(tmp_path: Path, newline: str) -> None:
    """Fractions of any length, none at all, and either newline; the last line needs none."""
    rows = [
        "2013-01-01 22:00:00.295000+00:00,86.655,86.728",
        "2013-01-01 22:00:01+00:00,86.7,86.8",
        "2013-01-01T22:00:01.0019+00:00,86.7,86.8",
    ]
    parsed = read_ticks(written(tmp_path, newline.join([STAMP.strip(), *rows])))
    assert parsed.ticks["time_msc"].tolist() == [1357077600295, 1357077601000, 1357077601001]
    assert parsed.digits == 3


GOOD = "2014-05-01,292,1.1,1.2\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (DAY + GOOD + "2014-05-01,300,1.1\n", "line 3: expected 4 fields, found '2014-05-01,300,1.1'"),
        (DAY + GOOD + GOOD + "2014-05-01,300,1.1,1.2,9\n", "line 4: expected 4 fields"),
        (DAY + GOOD + "\n" + GOOD, "line 3: expected 4 fields"),
        (DAY + GOOD + "2014-05-01,300,nan,1.2\n", "line 3: expected bid and ask as decimal numbers"),
        (DAY + GOOD + "2014-05-01,300,1.1,\n", "line 3: expected bid and ask as decimal numbers"),
        (DAY + GOOD + "2014-05-01,300,1.1.1,1.2\n", "line 3: expected bid and ask as decimal numbers"),
        (DAY + GOOD + "2014-05-01,300,-1.1,1.2\n", "line 3: expected bid and ask as decimal numbers"),
        (DAY + GOOD + "2014-05-01,300,0.0,1.2\n", "line 3: expected bid and ask above zero"),
        (DAY + GOOD + "2014-05-01,291,1.1,1.2\n", "line 3: expected a time not before that of the line above"),
        (DAY + "2014-02-30,1,1.1,1.2\n", "line 2: expected date as YYYY-MM-DD"),
        (DAY + "2014-5-01,1,1.1,1.2\n", "line 2: expected date as YYYY-MM-DD"),
        (DAY + "2014-05-01,86400000,1.1,1.2\n", "line 2: expected ms_of_day_utc"),
        (STAMP + "2013-01-01 24:00:00+00:00,1.1,1.2\n", "line 2: expected timestamp as"),
        (STAMP + "2013-01-01 22:00:00+02:00,1.1,1.2\n", "line 2: expected timestamp as"),
        (STAMP + "2013-01-01,1.1,1.2\n", "line 2: expected timestamp as"),
        (DAY, "expected ticks after the header"),
        ("", "line 1: expected the header"),
        ("time;bid;ask\n1;2;3\n", "line 1: expected the header"),
        ("timestamp,open,high,low,close\n", "line 1: these are bars"),
    ],
)
def test_a_malformed_file_is_refused_by_name_and_line(tmp_path: Path, text: str, said: str) -> None:
    """The error says which file, which line and what was expected there."""
    path = written(tmp_path, text)
    with pytest.raises(TickFileError) as refused:
        read_ticks(path)
    assert str(path) in str(refused.value)
    assert said in str(refused.value)


def test_a_damaged_archive_is_refused_by_name(tmp_path: Path) -> None:
    """Cut or foreign bytes in a .gz name the file."""
    path = written(tmp_path, DAY + GOOD * 2000, "cut.csv.gz")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(TickFileError, match=r"cut\.csv\.gz can not be read"):
        read_ticks(path)
    path.write_bytes(b"not an archive")
    with pytest.raises(TickFileError, match=r"cut\.csv\.gz can not be read"):
        read_ticks(path)


@given(st.lists(st.decimals(min_value=0, max_value=99999, places=5), min_size=1, max_size=50))
def test_numbers_are_read_exactly(numbers: list[object]) -> None:
    """Reading columns gives the doubles that reading one by one gives."""
    body = "\n".join(str(number) for number in numbers).encode()
    read = decimals(split(body, 1)[0], "a number").floats()
    assert read.tolist() == [float(str(number)) for number in numbers]


def test_a_generated_file_is_read_whole(tmp_path: Path) -> None:
    """Count, decimals and integer point sums are those of an independent count."""
    file = generate(tmp_path, "EURUSD", 20_000, seed=7)
    parsed = read_ticks(file.path)
    points = [int(np.rint(parsed.ticks[side] * 10**parsed.digits).sum()) for side in ("bid", "ask")]
    assert (len(parsed.ticks), parsed.digits, *points) == (
        file.ticks, file.digits, file.bid_points_sum, file.ask_points_sum,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("EURUSD", "lean_oanda_eurusd_ticks_2014-05-01_2014-05-15.csv.gz"),
        ("NZDUSD", "lean_oanda_nzdusd_ticks_2014-05-01_2014-05-15.csv.gz"),
        ("XAUUSD", "lean_oanda_xauusd_ticks_2014-05-04_2014-05-09.csv.gz"),
    ],
)
def test_a_real_file_is_read_whole(data_dir: Path, symbol: str, name: str) -> None:
    """The same on real ticks: EURUSD has 532,903."""
    file = count(symbol, data_dir / name)
    parsed = read_ticks(file.path)
    points = [int(np.rint(parsed.ticks[side] * 10**parsed.digits).sum()) for side in ("bid", "ask")]
    assert (len(parsed.ticks), parsed.digits, *points) == (
        file.ticks, file.digits, file.bid_points_sum, file.ask_points_sum,
    )  # fmt: skip
    assert symbol != "EURUSD" or len(parsed.ticks) == 532_903


def test_a_real_timestamp_file_is_read_whole(data_dir: Path) -> None:
    """TrueFX's shape."""
    parsed = read_ticks(data_dir / "nautilus_truefx_usdjpy_ticks.csv")
    assert (len(parsed.ticks), parsed.digits) == (1000, 3)
    assert parsed.ticks["time_msc"][0] == 1357077600295
