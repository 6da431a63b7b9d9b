"""What `suho up` refuses before it starts anything."""

from pathlib import Path

import pytest

from compose.embedded.options import Options
from compose.embedded.platform import plan
from compose.embedded.program import CannotStartError


@pytest.mark.parametrize(
    ("options", "because"),
    [
        (Options(feeds=("EURUSD=nowhere.csv",)), "nowhere.csv does not exist"),
        (Options(feeds=("ticks.csv",)), "holds no plain symbol"),
        (Options(feeds=("synthetic", "EURUSD=a.csv")), "not both"),
        (Options(speed="fast"), "speed"),
        (Options(speed="0"), "speed"),
        (Options(until_fed=True), "--until-fed needs a feed that ends"),
    ],
)
def test_wrong_options(options: Options, because: str) -> None:
    """Each wrong option is an error that says what is wrong with it."""
    with pytest.raises(CannotStartError, match=because):
        plan(options)


def test_a_corrupt_file(tmp_path: Path) -> None:
    """A file that holds no ticks is refused by name."""
    file = tmp_path / "eurusd.csv"
    file.write_text("what,is\nthis,here\n")
    with pytest.raises(CannotStartError, match=r"eurusd\.csv"):
        plan(Options(feeds=(str(file),)))


def test_each_market_has_a_server_name_of_its_own() -> None:
    """Another seed is another market."""
    assert plan(Options(seed=1)).server != plan(Options(seed=2)).server
