"""Reading a terminal's ticks page by page."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mesh.market import BEFORE_FIRST, TickId
from mesh.market.batch import ordinals
from pc_agent.domain.tick_cursor import Anchor, TickCursor

TICK = np.dtype(
    [
        ("time", "<i8"), ("bid", "<f8"), ("ask", "<f8"), ("last", "<f8"),
        ("volume", "<u8"), ("time_msc", "<i8"), ("flags", "<u4"), ("volume_real", "<f8"),
    ]
)  # fmt: skip

BASE_MS = 1_700_000_000_000
# Bursts within a millisecond and a second, quiet stretches.
steps = st.lists(st.sampled_from([0, 0, 0, 0, 1, 7, 300, 999, 1000, 4000]), min_size=1, max_size=120)


class History:
    """A terminal's ticks of one symbol, read as MT5 lets them be read."""

    def __init__(self, gaps: list[int]) -> None:
        times = BASE_MS + np.cumsum(gaps)
        self.ticks = np.zeros(len(gaps), TICK)
        self.ticks["time_msc"] = times
        self.ticks["time"] = times // 1000
        self.ticks["bid"] = np.arange(len(gaps))
        self.ticks["flags"] = 0x406
        self.shown = len(gaps)
        self.reads = 0

    def copy_from(self, second: int, count: int) -> np.ndarray:
        self.reads += 1
        assert isinstance(second, int)
        start = int(np.searchsorted(self.ticks["time"], second))
        return self.ticks[start : min(start + count, self.shown)]

    def ids(self) -> list[TickId]:
        times = self.ticks["time_msc"]
        return [TickId(int(t), int(o)) for t, o in zip(times, ordinals(times), strict=True)]


def read_all(history: History, cursor: TickCursor, limit: int = 10**9) -> list[tuple[TickId, float]]:
    found = []
    more = True
    while more:
        progress = cursor.accept(history.copy_from(cursor.from_s, cursor.count), limit)
        more = progress.more
        if progress.columns is not None:
            columns = progress.columns
            rows = zip(columns["time_msc"], columns["ordinal"], columns["bid"], strict=True)
            found += [(TickId(int(t), int(o)), float(b)) for t, o, b in rows]
    return found


@given(steps, st.integers(1, 9), st.integers(1, 20))
def test_every_tick_is_read_once_whatever_the_page(gaps: list[int], page: int, limit: int) -> None:
    """Bursts over page ends, dense seconds and small limits lose nothing and repeat nothing."""
    history = History(gaps)
    found = read_all(history, TickCursor(BEFORE_FIRST, page), limit)
    assert found == list(zip(history.ids(), range(len(gaps)), strict=True))


@given(steps, st.integers(1, 9), st.data())
def test_reading_goes_on_behind_any_tick(gaps: list[int], page: int, data: st.DataObject) -> None:
    """From any tick's identity the rest comes with the identities that it has when read from the beginning."""
    history = History(gaps)
    ids = history.ids()
    at = data.draw(st.integers(0, len(ids) - 1))
    cursor = TickCursor(ids[at], page)
    found = read_all(history, cursor)
    assert [tick for tick, _ in found] == ids[at + 1 :]
    assert cursor.anchor == Anchor(True, float(at), 0.0)


@given(steps, st.integers(1, 9), st.data())
def test_ticks_that_come_while_reading_are_read(gaps: list[int], page: int, data: st.DataObject) -> None:
    """A history that grows between reads, in the middle of a millisecond too, is read as if it had stood."""
    history = History(gaps)
    cursor = TickCursor(BEFORE_FIRST, page)
    found = []
    for shown in sorted(data.draw(st.lists(st.integers(0, len(gaps)), max_size=5))):
        history.shown = shown
        found += read_all(history, cursor)
    history.shown = len(gaps)
    found += read_all(history, cursor)
    assert [tick for tick, _ in found] == history.ids()


def test_a_second_denser_than_a_page_does_not_stall() -> None:
    """Ten thousand ticks of one millisecond behind a cursor in their middle are passed in few reads."""
    history = History([0] * 10_000 + [2_000])
    cursor = TickCursor(TickId(BASE_MS, 4_999), 100)
    assert len(read_all(history, cursor)) == 5_001
    assert history.reads < 30


def test_only_documented_flags_are_kept() -> None:
    """Bits that terminals set beyond the documented ones are masked away."""
    progress = TickCursor(BEFORE_FIRST).accept(History([0, 1]).ticks, 10)
    assert progress.columns is not None
    assert progress.columns["flags"].tolist() == [6, 6]


def test_a_missing_anchor_is_noticed_only_when_history_goes_on() -> None:
    """An empty history may still be loading; one that goes on without the tick has changed."""
    cursor = TickCursor(TickId(BASE_MS + 5, 0))
    cursor.accept(np.zeros(0, TICK), 10)
    assert cursor.anchor is None
    cursor.accept(History([0, 10]).ticks, 10)
    assert cursor.anchor == Anchor(False, 0.0, 0.0)


@given(steps, st.integers(1, 9), st.data())
def test_ticks_of_an_impossible_time_are_passed_over_and_counted(
    gaps: list[int], page: int, data: st.DataObject
) -> None:
    """Wherever they stand, the others come with the identities that they have without them."""
    clean = History(gaps)
    places = data.draw(st.lists(st.integers(0, len(gaps) - 1), max_size=6))
    bad = data.draw(st.sampled_from([0, -1, 4_102_444_800_000, 2**62]))
    history = History(gaps)
    history.ticks = np.insert(history.ticks, places, history.ticks[places])
    strange = np.array(sorted(places), int) + np.arange(len(places))
    history.ticks["time_msc"][strange] = bad
    history.shown = len(history.ticks)
    cursor = TickCursor(BEFORE_FIRST, page)
    found, refused, more = [], 0, True
    while more:
        progress = cursor.accept(history.copy_from(cursor.from_s, cursor.count), 7)
        more, refused = progress.more, refused + progress.refused
        if progress.columns is not None:
            rows = zip(progress.columns["time_msc"], progress.columns["ordinal"], strict=True)
            found += [TickId(int(t), int(o)) for t, o in rows]
    assert found == clean.ids()
    assert refused == len(places)
