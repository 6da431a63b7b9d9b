"""When ticks become visible, and that they stay so."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pc_agent.twin.domain.random_walk import HABITS, walk
from pc_agent.twin.domain.ticks import TICK_DTYPE
from pc_agent.twin.terminal import Terminal
from pc_agent.twin.tick_file import TickFile

ALL = -1
QUOTES = [(ms, 1.1, 1.2) for ms in (1000, 1500, 1500, 2500, 4000)]


def sent(terminal: Terminal) -> dict[str, int]:
    code, _, status = terminal.handle("feed_status", ())
    assert code == 1
    return {symbol: feed["sent"] for symbol, feed in status.items()}


def page(terminal: Terminal, *arguments: Any) -> list[int]:
    code, message, records = terminal.handle("copy_ticks_from", arguments)
    assert code == 1, message
    return [int(ms) % 86_400_000 for ms in np.frombuffer(records, TICK_DTYPE)["time_msc"]]


def test_max_speed_releases_everything_at_once(
    replay: Callable[..., str], open_terminal: Callable[..., Terminal]
) -> None:
    """All ticks are history from the first call on, and the feed has ended."""
    terminal = open_terminal(replay("EURUSD", QUOTES))
    _, _, status = terminal.handle("feed_status", ())
    assert status == {"EURUSD": {"sent": 5, "total": 5, "digits": 5, "ended": True}}


def test_market_time_is_elapsed_time_times_speed(
    replay: Callable[..., str], open_terminal: Callable[..., Terminal], hand: Any
) -> None:
    """It begins at the first tick of any symbol, not at its own."""
    later = replay("GBPUSD", [(3000, 1.3, 1.4), (9000, 1.3, 1.4)])
    terminal = open_terminal(replay("EURUSD", QUOTES), later, speed="2")
    assert sent(terminal) == {"EURUSD": 0, "GBPUSD": 0}
    hand.now_ms += 1
    assert sent(terminal) == {"EURUSD": 1, "GBPUSD": 0}
    hand.now_ms += 1000
    assert sent(terminal) == {"EURUSD": 4, "GBPUSD": 1}


def test_a_restart_neither_takes_back_nor_plays_on(
    replay: Callable[..., str], open_terminal: Callable[..., Terminal], hand: Any
) -> None:
    """Market time stands still while the terminal is down."""
    feed = replay("EURUSD", QUOTES)
    terminal = open_terminal(feed, speed="1")
    hand.now_ms += 600
    assert sent(terminal) == {"EURUSD": 3}
    hand.now_ms += 60_000
    terminal = open_terminal(feed, speed="1")
    assert sent(terminal) == {"EURUSD": 3}
    hand.now_ms += 1000
    assert sent(terminal) == {"EURUSD": 4}


def test_a_held_market_stands_still_until_the_next_start(
    replay: Callable[..., str], open_terminal: Callable[..., Terminal], hand: Any
) -> None:
    """What was sent can be counted, because nothing more comes."""
    feed = replay("EURUSD", QUOTES)
    terminal = open_terminal(feed, speed="1")
    hand.now_ms += 600
    _, _, status = terminal.handle("hold_feeds", ())
    assert status["EURUSD"]["sent"] == 3
    hand.now_ms += 60_000
    assert sent(terminal) == {"EURUSD": 3}
    terminal = open_terminal(feed, speed="1")
    hand.now_ms += 1000
    assert sent(terminal) == {"EURUSD": 4}


def test_pages_begin_at_whole_seconds_and_go_on(
    replay: Callable[..., str], open_terminal: Callable[..., Terminal]
) -> None:
    """copy_ticks_from gives `count` ticks from the second on; at the end it gives none."""
    terminal = open_terminal(replay("EURUSD", QUOTES))
    day = 1_577_836_800
    assert page(terminal, "EURUSD", 0, 2, ALL) == [1000, 1500]
    assert page(terminal, "EURUSD", day + 1, 3, ALL) == [1000, 1500, 1500]
    assert page(terminal, "EURUSD", day + 2, 100, ALL) == [2500, 4000]
    assert page(terminal, "EURUSD", day + 5, 100, ALL) == []
    _, _, records = terminal.handle("copy_ticks_range", ("EURUSD", day + 2, day + 4, ALL))
    assert len(np.frombuffer(records, TICK_DTYPE)) == 2
    assert page(terminal, "EURUSD", 0, 9, 2) == []  # no trades of others


def test_what_is_asked_wrongly_is_said(replay: Callable[..., str], open_terminal: Callable[..., Terminal]) -> None:
    """Unknown symbols are not found; impossible numbers are invalid params."""
    terminal = open_terminal(replay("EURUSD", QUOTES))
    assert terminal.handle("copy_ticks_from", ("NONE", 0, 1, ALL))[:2] == (-4, "Terminal: Not found")
    assert terminal.handle("symbol_info", ("NONE",))[:2] == (-4, "Terminal: Not found")
    assert terminal.handle("symbol_select", ("NONE", True))[:2] == (-1, "Terminal: Call failed")
    for arguments in (("EURUSD", -(2**31), 1, ALL), ("EURUSD", 0, 0, ALL), ("EURUSD", 0, 1, 0)):
        assert terminal.handle("copy_ticks_from", arguments)[:2] == (-2, "Terminal: Invalid params")


def test_groups_take_and_leave_symbols_in_order(
    replay: Callable[..., str], open_terminal: Callable[..., Terminal]
) -> None:
    """'!' takes away what a condition before it took."""
    terminal = open_terminal(*(replay(symbol, QUOTES) for symbol in ("EURUSD", "EURJPY", "GBPUSD")))
    names = [info.name for info in terminal.handle("symbols_get", ("EUR*,!*JPY",))[2]]
    assert names == ["EURUSD"]


def test_a_torn_record_is_cut_off(tmp_path: Path) -> None:
    """What a death left half written is gone at the next start, and appending goes on."""
    path = tmp_path / "ticks"
    path.write_bytes(np.zeros(3, TICK_DTYPE).tobytes() + b"torn")
    file = TickFile(path)
    assert len(file.ticks) == 3
    file.append(np.ones(2, TICK_DTYPE))
    assert file.ticks["time_msc"].tolist() == [0, 0, 0, 1, 1]
    file.close()


def test_the_random_walk_is_that_of_a_market() -> None:
    """Seeded, ordered, sharing milliseconds now and then, never crossed, at the symbol's rate and digits."""
    habits = HABITS["EURUSD"]
    ticks = walk(habits, (1, 0), habits.start, 1_000_000, 4_600_000)
    assert np.array_equal(ticks, walk(habits, (1, 0), habits.start, 1_000_000, 4_600_000))
    gaps = np.diff(ticks["time_msc"])
    assert gaps.min() == 0
    assert 0.005 < (gaps == 0).mean() < 0.05
    assert ticks["time_msc"][0] > 1_000_000
    assert ticks["time_msc"][-1] <= 4_600_000
    assert (ticks["ask"] > ticks["bid"]).all()
    assert 0.7 < len(ticks) / 3600 / habits.ticks_per_s < 1.3
    assert (np.round(ticks["bid"], habits.digits) == ticks["bid"]).all()


def test_the_synthetic_market_goes_on_where_it_stopped(open_terminal: Callable[..., Terminal], hand: Any) -> None:
    """Ticks arrive as time passes; after a restart the old ones are the same and time never falls."""
    terminal = open_terminal("synthetic", speed="1")
    hand.now_ms += 30_000
    before = page(terminal, "EURUSD", 0, 10**6, ALL)
    assert len(before) > 50
    hand.now_ms += 3_600_000
    terminal = open_terminal("synthetic", speed="1")
    assert page(terminal, "EURUSD", 0, len(before), ALL) == before
    hand.now_ms += 30_000
    after = page(terminal, "EURUSD", 0, 10**6, ALL)
    assert len(after) > len(before) + 50
    assert after == sorted(after)


def test_a_symbol_tells_of_its_day(
    replay: Callable[..., str], open_terminal: Callable[..., Terminal], hand: Any
) -> None:
    """High, low, open of the day so far and the close of the day before; a corrected past is another day."""
    day = 86_400_000
    path = replay("EURUSD", [(day - 1000, 1.05, 1.06), (day - 500, 1.15, 1.16)])
    with open(path.partition("=")[2], "a") as file:
        file.writelines(f"2020-01-02,{ms},{bid},{bid + 0.01:.2f}\n" for ms, bid in ((0, 1.2), (500, 1.3), (1000, 1.1)))
    terminal = open_terminal(path, speed="1")

    def told() -> tuple[float, ...]:
        code, _, info = terminal.handle("symbol_info", ("EURUSD",))
        assert code == 1
        return info.session_open, info.bidhigh, info.bidlow, info.askhigh, info.asklow, info.session_close

    assert told() == (0.0,) * 6
    seen = []
    for ms in (1, 500, 500, 500, 500):
        hand.now_ms += ms
        seen.append(told())
    assert seen == [
        (1.05, 1.05, 1.05, 1.06, 1.06, 0.0),
        (1.05, 1.15, 1.05, 1.16, 1.06, 0.0),
        (1.2, 1.2, 1.2, 1.21, 1.21, 1.15),
        (1.2, 1.3, 1.2, 1.31, 1.21, 1.15),
        (1.2, 1.3, 1.1, 1.31, 1.11, 1.15),
    ]
    time_msc = 1_577_923_200_500
    assert terminal.handle("correct_tick", ("EURUSD", time_msc, 0, 1.25, 1.26))[0] == 1
    assert told()[1] == 1.25
    _, _, info = terminal.handle("symbol_info", ("EURUSD",))
    assert info.price_change == round((1.1 / 1.15 - 1) * 100, 4)
