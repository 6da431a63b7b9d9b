"""What people see of `suho up`."""

import re

import pytest

from compose.embedded.facts import Feed, Stored
from compose.embedded.screen import Screen
from compose.embedded.watch import Snapshot

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The rows of a terminal that is 80 wide, half of a feed stored."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    now = Snapshot({"EURUSD": Feed(2000, 2000, 5, False)}, {"EURUSD": Stored(stored=1000, distinct=1000, raw=1000)})
    screen = Screen(as_json=False)
    with screen.view():
        screen.status([], now, Snapshot(), "")
        return CONTROL.sub("", capsys.readouterr().out).split("\n")


def test_the_last_row_is_empty(shown: list[str]) -> None:
    """So that the echo of Ctrl-C moves nothing that is to be erased."""
    assert not shown[-1].strip()
    assert shown[-2].strip()


def test_a_replay_shows_how_far_it_is(shown: list[str]) -> None:
    """In percent and in ticks."""
    assert any(re.search(r"EURUSD .* 50 % 1,000 of 2,000", row) for row in shown), shown
