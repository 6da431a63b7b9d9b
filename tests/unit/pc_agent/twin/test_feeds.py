"""Feeds as a person gives them."""

from pathlib import Path

import pytest

from pc_agent.twin.feeds import FeedError, check_speed, plan_feeds, replayed_files, server_name

TICKS = "date,ms_of_day_utc,bid,ask\n2014-05-01,1,1.1,1.2\n"


@pytest.fixture
def ticks(tmp_path: Path) -> Path:
    path = tmp_path / "lean_oanda_eurusd_ticks_2014-05-01_2014-05-15.csv"
    path.write_text(TICKS)
    return path


def test_nothing_given_is_the_synthetic_market() -> None:
    """The default needs no file."""
    assert plan_feeds([]) == plan_feeds(["synthetic"]) == ("synthetic",)
    assert replayed_files(("synthetic",)) == {}


def test_a_bare_file_takes_the_symbol_from_its_name(ticks: Path) -> None:
    """Six letters that are two currencies are plain."""
    assert plan_feeds([str(ticks)]) == (f"EURUSD={ticks}",)
    assert plan_feeds([f"euro.x={ticks}"]) == (f"euro.x={ticks}",)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["EURUSD=missing.csv"], "missing.csv does not exist"),
        (["EURUSD="], "expected SYMBOL=FILE"),
        (["EUR USD={ticks}"], "is no symbol"),
        (["{folder}/march.csv"], "holds no plain symbol"),
        (["{folder}/eurusd_gbpusd.csv"], "holds no plain symbol"),
        (["EURUSD={ticks}", "eurusd={ticks}"], "given twice"),
        (["synthetic", "EURUSD={ticks}"], "not both"),
        (["EURUSD={bars}"], "these are bars"),
    ],
)
def test_feeds_that_can_not_be_played_are_refused_in_words(
    tmp_path: Path, ticks: Path, arguments: list[str], said: str
) -> None:
    """Before anything starts."""
    bars = tmp_path / "bars.csv"
    bars.write_text("timestamp,open,high,low,close\n")
    with pytest.raises(FeedError, match=said):
        plan_feeds([argument.format(ticks=ticks, folder=tmp_path, bars=bars) for argument in arguments])


def test_different_markets_never_share_a_server_name(tmp_path: Path, ticks: Path) -> None:
    """The name follows content and symbol, not the place of the file or the order given."""
    moved = tmp_path / "moved.csv"
    moved.write_text(TICKS)
    other = tmp_path / "other.csv"
    other.write_text(TICKS.replace("1.1", "1.15"))
    name = server_name([f"EURUSD={ticks}"], 1)
    assert name.startswith("replay-")
    assert name == server_name([f"EURUSD={moved}"], 2)
    assert name != server_name([f"EURUSD={other}"], 1)
    assert name != server_name([f"GBPUSD={ticks}"], 1)
    pair = [f"EURUSD={ticks}", f"GBPUSD={other}"]
    assert server_name(pair, 1) == server_name(pair[::-1], 1)
    assert server_name(["synthetic"], 5) == "twin-5"


@pytest.mark.parametrize("speed", ["0", "-1", "fast", "nan", "inf"])
def test_a_speed_that_is_none_is_refused(speed: str) -> None:
    """It is 'max' or a positive number."""
    with pytest.raises(FeedError, match="speed"):
        check_speed(speed, ["synthetic"])


def test_max_speed_needs_a_feed_that_ends(ticks: Path) -> None:
    """The synthetic market never does."""
    check_speed("max", [f"EURUSD={ticks}"])
    with pytest.raises(FeedError, match="needs a feed that ends"):
        check_speed("max", ["synthetic"])
