"""Histories that change behind whoever has read them."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pc_agent.twin.domain.history import ClockStep, History, Replacement, Revision
from pc_agent.twin.domain.ticks import TICK_DTYPE, Ticks
from pc_agent.twin.feeds import FeedError
from pc_agent.twin.revisions import RevisionFile
from pc_agent.twin.terminal import Terminal
from tests.unit.pc_agent.twin.conftest import DAY_MS

Open = Callable[..., Terminal]
ALL = -1
HOUR_MS = 3_600_000
QUOTES = [(ms, 1.1, 1.2) for ms in (1000, 1500, 1500, 2500, 4000)]


def ask(terminal: Terminal, function: str, *arguments: Any) -> Any:
    code, message, value = terminal.handle(function, arguments)
    assert code == 1, message
    return value


def history(terminal: Terminal, symbol: str = "EURUSD") -> Ticks:
    """Both ways to read it agree."""
    pages = [ask(terminal, "copy_ticks_from", symbol, 0, 10**6, ALL)]
    pages.append(ask(terminal, "copy_ticks_range", symbol, 0, 2**31 - 1, ALL))
    assert pages[0] == pages[1]
    return np.frombuffer(pages[0], TICK_DTYPE)


def rows(terminal: Terminal, symbol: str = "EURUSD") -> list[tuple[int, float]]:
    ticks = history(terminal, symbol)
    assert ticks["time"].tolist() == (ticks["time_msc"] // 1000).tolist()
    return [(int(tick["time_msc"]) - DAY_MS, float(tick["bid"])) for tick in ticks]


def made(*times: int, bid: float = 1.5) -> Ticks:
    ticks = np.zeros(len(times), TICK_DTYPE)
    ticks["time_msc"] = times
    ticks["time"] = ticks["time_msc"] // 1000
    ticks["bid"], ticks["ask"], ticks["flags"] = bid, bid + 0.1, 6
    return ticks


def count(terminal: Terminal) -> tuple[int, int, bool]:
    status = ask(terminal, "feed_status")["EURUSD"]
    return status["sent"], status["total"], status["ended"]


def test_a_corrected_tick_stays_corrected(replay: Callable[..., str], open_terminal: Open) -> None:
    """Only that place among those of the millisecond; a new start shows the same."""
    feed = replay("EURUSD", QUOTES)
    terminal = open_terminal(feed)
    ask(terminal, "correct_tick", "EURUSD", DAY_MS + 1500, 1, 1.3, 1.4)
    expected = [(1000, 1.1), (1500, 1.1), (1500, 1.3), (2500, 1.1), (4000, 1.1)]
    assert rows(terminal) == expected
    assert rows(open_terminal(feed)) == expected
    assert count(open_terminal(feed)) == (5, 5, True)


def test_removed_ticks_stay_away_and_are_not_counted(
    replay: Callable[..., str], open_terminal: Open, hand: Any
) -> None:
    """What the feed releases afterwards is counted on."""
    feed = replay("EURUSD", QUOTES)
    terminal = open_terminal(feed, speed="1")
    hand.now_ms += 600
    ask(terminal, "feed_status")
    assert ask(terminal, "remove_ticks", "EURUSD", DAY_MS + 1500, DAY_MS + 2000) == 2
    assert (rows(terminal), count(terminal)) == ([(1000, 1.1)], (1, 3, False))
    terminal = open_terminal(feed, speed="1")
    hand.now_ms += 10_000
    assert rows(terminal) == [(1000, 1.1), (2500, 1.1), (4000, 1.1)]
    assert count(terminal) == (3, 3, True)


def test_ticks_are_inserted_behind_those_of_their_millisecond(replay: Callable[..., str], open_terminal: Open) -> None:
    """A history can be extended into a past that the feed never had."""
    feed = replay("EURUSD", QUOTES)
    terminal = open_terminal(feed)
    times = [DAY_MS - 86_400_000, DAY_MS + 1500, DAY_MS + 3000]
    assert ask(terminal, "insert_ticks", "EURUSD", made(*times).tobytes()) == 3
    expected = [(-86_400_000, 1.5), (1000, 1.1), (1500, 1.1), (1500, 1.1), (1500, 1.5), (2500, 1.1), (3000, 1.5)]
    assert rows(terminal) == [*expected, (4000, 1.1)] == rows(open_terminal(feed))
    assert count(open_terminal(feed)) == (8, 8, True)


@pytest.mark.parametrize(
    ("function", "arguments", "said"),
    [
        ("correct_tick", ("EURUSD", DAY_MS + 1500, 2, 1.0, 1.0), "has 2 ticks at"),
        ("correct_tick", ("EURUSD", DAY_MS + 1500, -1, 1.0, 1.0), "has 2 ticks at"),
        ("remove_ticks", ("GBPUSD", 0, 1), "shows no GBPUSD"),
        ("remove_ticks", ("EURUSD", 2, 2), "2 is not before 2"),
        ("insert_ticks", ("EURUSD", made(DAY_MS + 4001).tobytes()), "is not the past"),
        ("insert_ticks", ("EURUSD", made(2, 1).tobytes()), "not in order"),
        ("show_symbol", ("GBPUSD",), "no feed of GBPUSD"),
    ],
)
def test_what_can_not_be_done_is_refused_in_words(
    replay: Callable[..., str], open_terminal: Open, function: str, arguments: Any, said: str
) -> None:
    """And nothing is changed."""
    terminal = open_terminal(replay("EURUSD", QUOTES))
    code, message, _ = terminal.handle(function, arguments)
    assert (code, said in message) == (-2, True), message
    assert len(history(terminal)) == 5


def test_a_hidden_symbol_appears_with_its_history(replay: Callable[..., str], open_terminal: Open) -> None:
    """Until it is told the terminal does not know it; then it is there, selected, also after a new start."""
    feeds = replay("EURUSD", QUOTES), replay("GBPUSD", QUOTES[:3])
    terminal = open_terminal(*feeds, hidden=("GBPUSD",))
    assert [info.name for info in ask(terminal, "symbols_get", None)] == ["EURUSD"]
    assert ask(terminal, "symbols_total") == len(ask(terminal, "feed_status")) == 1
    assert terminal.handle("copy_ticks_from", ("GBPUSD", 0, 9, ALL))[1] == "Terminal: Not found"
    ask(terminal, "show_symbol", "GBPUSD")
    for is_new in (False, True):
        if is_new:
            terminal = open_terminal(*feeds, hidden=("GBPUSD",))
        assert [(info.name, info.select) for info in ask(terminal, "symbols_get", None)] == [
            ("EURUSD", True),
            ("GBPUSD", True),
        ]
        assert len(history(terminal, "GBPUSD")) == ask(terminal, "feed_status")["GBPUSD"]["sent"] == 3


def test_what_has_no_feed_can_not_be_hidden(replay: Callable[..., str], open_terminal: Open) -> None:
    """A typing error is said before anything starts."""
    with pytest.raises(FeedError, match="USDJPY can not be hidden"):
        open_terminal(replay("EURUSD", QUOTES), hidden=("USDJPY",))


def test_the_repeated_hour_stands_among_the_hour_before(
    replay: Callable[..., str], open_terminal: Open, hand: Any
) -> None:
    """A clock that steps back an hour: history is ordered by time, the newest quote is the one that came last."""
    quotes = [(minute * 60_000, 1 + minute / 1000, 2.0) for minute in range(1, 181, 30)]
    feed = replay("EURUSD", quotes)
    terminal = open_terminal(feed, speed="1")
    hand.now_ms += 91 * 60_000
    assert len(rows(terminal)) == 4
    ask(terminal, "step_clock", -HOUR_MS)
    hand.now_ms += 35 * 60_000
    hour = 60 * 60_000
    stepped = [(1, 1.001), (31, 1.031), (61, 1.061), (61, 1.121), (91, 1.091)]
    assert rows(terminal) == [(minute * 60_000, bid) for minute, bid in stepped]
    assert ask(terminal, "symbol_info_tick", "EURUSD").bid == 1.121
    terminal = open_terminal(feed, speed="1")
    assert rows(terminal) == [(minute * 60_000, bid) for minute, bid in stepped]
    assert ask(terminal, "symbol_info_tick", "EURUSD").bid == 1.121
    hand.now_ms += hour
    assert rows(terminal)[-1] == (91 * 60_000, 1.151)
    assert count(terminal) == (6, 6, True)


def test_an_hour_that_is_skipped_is_empty(replay: Callable[..., str], open_terminal: Open, hand: Any) -> None:
    """A clock that steps forth: what follows bears later times, nothing moves."""
    terminal = open_terminal(replay("EURUSD", QUOTES), speed="1")
    hand.now_ms += 600
    ask(terminal, "step_clock", HOUR_MS)
    hand.now_ms += 10_000
    assert [ms for ms, _ in rows(terminal)] == [1000, 1500, 1500, 2500 + HOUR_MS, 4000 + HOUR_MS]


def test_history_reads_fail_as_often_as_told(replay: Callable[..., str], open_terminal: Open) -> None:
    """Then they are answered again; what is no history read is answered all the while."""
    terminal = open_terminal(replay("EURUSD", QUOTES))
    ask(terminal, "disturb_history", 0.001, 2)
    for _ in range(2):
        assert terminal.handle("copy_ticks_from", ("EURUSD", 0, 1, ALL))[:2] == (-1, "Terminal: Call failed")
        ask(terminal, "symbol_info_tick", "EURUSD")
    assert len(history(terminal)) == 5


class Fixed:
    def __init__(self, ticks: Ticks) -> None:
        self.ticks = ticks


deeds = st.one_of(
    st.tuples(st.just("release"), st.integers(0, 6)),
    st.tuples(st.just("step"), st.sampled_from([-40, -7, 25])),
    st.tuples(st.just("replace"), st.integers(-60, 120), st.integers(1, 60), st.integers(0, 3)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.lists(deeds, max_size=12))
def test_a_history_is_what_was_done_in_order(gaps: list[int], done: list[tuple[Any, ...]]) -> None:
    """Whatever was released, stepped and replaced: a list kept sorted by time shows the same, before and after a
    new start from what is on disk."""
    times = np.cumsum(gaps)
    feed = made(*times.tolist())
    feed["bid"] = np.arange(len(feed))
    history, model, offset, released = History(Fixed(feed)), [], 0, 0
    newest: list[tuple[int, float]] = []
    revisions: list[Revision] = []
    for deed in done:
        if deed[0] == "release":
            upto = min(released + deed[1], len(feed))
            fresh = [(int(tick["time_msc"]) + offset, float(tick["bid"])) for tick in feed[released:upto]]
            model, newest = model + fresh, fresh[-1:] or newest
            history.release(upto)
            released = upto
        elif deed[0] == "step":
            revisions.append(ClockStep("X", released, deed[1]))
            history.revise(revisions[-1])
            offset += deed[1]
        else:
            _, start, length, count = deed
            ticks = made(*range(start, start + min(count, length)))
            revisions.append(Replacement("X", released, start, start + length, ticks))
            history.revise(revisions[-1])
            model = [row for row in model if not start <= row[0] < start + length]
            model += [(int(tick["time_msc"]), float(tick["bid"])) for tick in ticks]
        model.sort(key=lambda row: row[0])
        if deed[0] == "replace":
            newest = model[-1:]
    shown = [(int(tick["time_msc"]), float(tick["bid"])) for tick in history.ticks]
    assert shown == model
    assert [(int(tick["time_msc"]), float(tick["bid"])) for tick in history.newest] == newest
    assert replayed(feed, revisions, released).ticks.tobytes() == history.ticks.tobytes()
    assert replayed(feed, revisions, released).newest.tobytes() == history.newest.tobytes()


def replayed(feed: Ticks, revisions: list[Revision], released: int) -> History:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "revisions"
        file = RevisionFile(path)
        for revision in revisions:
            file.revise([revision])
        file.close()
        path.write_bytes(path.read_bytes() + b'{"revised": [{"sym')  # a death tore it
        file = RevisionFile(path)
        file.show("X")
        file.close()
        file = RevisionFile(path)
        assert file.shown == {"X"}
        history = History(Fixed(feed))
        for revision in file.revisions:
            history.release(revision.at)
            history.revise(revision)
        file.close()
    history.release(released)
    return history
