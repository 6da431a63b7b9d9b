"""Sources of ticks beside the terminals."""

import asyncio
import gzip
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from mesh.config import SettingsError
from mesh.market import BEFORE_FIRST, Batch, TickId
from mesh.market.batch import COLUMNS
from pc_agent.domain.history import before
from pc_agent.market.archive_source import ArchiveSource, ticks_from
from pc_agent.market.file_source import FileSource
from pc_agent.market.plugins import CollectedSource, open_sources
from pc_agent.market.tick_archive import TickArchive
from pc_agent.market.tick_text import TickText
from pc_agent.settings.sources import SourceSettings, defect_of_sources
from pc_agent.terminal.messages import CloseSymbol, Credit, HistoryFound, ReadHistory, Reading, TicksRead
from pc_agent.ticks.sources import TickSources
from tests.support import eventually

HEADER = "timestamp,bid,ask\n"
DAY_MSC = 18_323 * 86_400_000  # 2020-03-02, a Monday


def lines(*ms: int, bid: float = 1.1) -> str:
    """A line for each millisecond of the day; every second one has the ask of the one before."""
    return "".join(
        f"2020-03-02 {at // 3_600_000:02}:{at // 60_000 % 60:02}:{at // 1000 % 60:02}.{at % 1000:03}+00:00,"
        f"{bid + n / 1e4:.5f},{bid + n // 2 / 1e4 + 0.0002:.5f}\n"
        for n, at in enumerate(ms)
    )


class Lanes:
    """Keeps what is read, as a bridge would."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.anchors: list[Any] = []
        self.carried: dict[Any, int] = {}

    def carry(self, newest_msc: Any) -> None:
        self.carried = dict(newest_msc)

    def read_anew(self, places: Any) -> None:
        return None

    def ticks_read(self, server: str, ticks: TicksRead) -> None:
        columns: Any = {name: np.frombuffer(ticks.columns[name], dtype) for name, dtype in COLUMNS.items()}
        self.batches.append(Batch(server, ticks.symbol, "a", 0, BEFORE_FIRST, **columns))

    def history_found(self, server: str, found: HistoryFound) -> None:
        self.anchors.append(found.anchor)

    @property
    def ids(self) -> list[tuple[int, int]]:
        """Milliseconds of the day and places."""
        return [(int(t) - DAY_MSC, int(o)) for b in self.batches for t, o in zip(b.time_msc, b.ordinal, strict=True)]

    @property
    def bids(self) -> list[float]:
        return [float(bid) for batch in self.batches for bid in batch.bid]

    @property
    def flags(self) -> list[int]:
        return [int(flags) for batch in self.batches for flags in batch.flags]


@asynccontextmanager
async def running(*sources: CollectedSource) -> AsyncIterator[tuple[TickSources, Lanes]]:
    together, lanes = TickSources(sources), Lanes()
    together.listener = lanes
    async with asyncio.TaskGroup() as tasks:
        works = [tasks.create_task(source.run()) for source in sources]
        await eventually(lambda: all(source.connected for source in sources))
        yield together, lanes
        for work in works:
            work.cancel()


def grows(tmp_path: Path) -> FileSource:
    return FileSource("feed", "csv-feed", {"EURUSD": tmp_path / "ticks.csv"}, tmp_path / "archive", is_whole=False)


async def test_a_file_that_grows_is_read_line_by_whole_line(tmp_path: Path) -> None:
    """Half a line waits for its rest; bad ones are left out, counted and told."""
    file = tmp_path / "ticks.csv"
    file.write_text(HEADER + lines(10, 10, 20))
    source = grows(tmp_path)
    with capture_logs() as logs:
        async with running(source) as (together, lanes):
            assert lanes.carried.keys() == {("csv-feed", "EURUSD")}
            together.send("csv-feed", Reading("EURUSD", 1, BEFORE_FIRST, 1_000))
            await eventually(lambda: len(lanes.ids) == 3)
            half = lines(20, 30)
            with file.open("a") as more:
                more.write(half[:-20])
                more.flush()
                await eventually(lambda: len(lanes.ids) == 4)
                more.write(
                    half[-20:] + "nonsense\n" + lines(40) + lines(5) + "2020-03-02 00:00:01+00:00,-1,2\n" + lines(50)
                )
            await eventually(lambda: len(lanes.ids) == 7)
    assert lanes.ids == [(10, 0), (10, 1), (20, 0), (20, 1), (30, 0), (40, 0), (50, 0)]
    assert source.bad_lines == 3
    assert sum(line["event"].startswith("bad lines") for line in logs) >= 1


async def test_a_file_that_is_rotated_or_truncated_is_read_from_its_beginning(tmp_path: Path) -> None:
    """The rest of the old one first; what was taken stays, with its places."""
    file = tmp_path / "ticks.csv"
    file.write_text(HEADER + lines(10, 20))
    source = grows(tmp_path)
    async with running(source) as (together, lanes):
        together.send("csv-feed", Reading("EURUSD", 1, BEFORE_FIRST, 1_000))
        await eventually(lambda: len(lanes.ids) == 2)
        with file.open("a") as old:
            file.rename(tmp_path / "ticks.csv.1")
            await eventually(lambda: not source.connected)
            old.write(lines(20))
        await eventually(lambda: len(lanes.ids) == 3)
        file.write_text(HEADER + lines(20, 30, bid=1.2))
        await eventually(lambda: len(lanes.ids) == 5)
        file.write_text(HEADER + lines(40))  # shorter than it was
        await eventually(lambda: len(lanes.ids) == 6)
        assert lanes.ids == [(10, 0), (20, 0), (20, 1), (20, 2), (30, 0), (40, 0)]
        file.write_text(HEADER + lines(*range(50, 100)))
        await eventually(lambda: len(lanes.ids) == 56)
        file.write_text(HEADER + lines(*range(50, 70)) + lines(200))  # its head is as it was
        await eventually(lambda: len(lanes.ids) == 57)
        assert lanes.ids[-1] == (200, 0)


async def test_what_is_read_again_is_the_same(tmp_path: Path) -> None:
    """After a restart in the middle, torn archive and lost note included: the places, prices and marks of one piece."""
    every = [at for at in range(0, 90_000, 7) for _ in range(1 + at % 3)]
    text = lines(*every)
    file = tmp_path / "ticks.csv"
    file.write_text(HEADER + text[: len(text) // 3 + 57])
    async with running(grows(tmp_path)):
        pass
    archive = next((tmp_path / "archive").glob("*.ticks"))
    with archive.open("ab") as torn:
        torn.write(b"x" * 100)
    file.write_text(HEADER + text)
    other = FileSource("whole", "w", {"EURUSD": file}, tmp_path / "other", is_whole=True)
    again, whole = Lanes(), Lanes()
    for source, lanes in ((grows(tmp_path), again), (other, whole)):
        async with running(source) as (together, found):
            together.send(source.server, Reading("EURUSD", 1, BEFORE_FIRST, 10**6))
            await eventually(lambda found=found: len(found.ids) == len(every))  # type: ignore[misc]
        lanes.batches = found.batches
    assert again.ids == whole.ids
    assert again.bids == whole.bids
    assert again.flags == whole.flags
    assert [at for at, _ in whole.ids] == every


async def test_a_replay_answers_for_its_history(tmp_path: Path) -> None:
    """Reading goes on behind the mesh's newest tick, with what is there; pages of a range; the newest tick's place."""
    file = tmp_path / "ticks.csv.gz"
    with gzip.open(file, "wt") as packed:
        packed.write(HEADER + lines(10, 10, 20, 1_030, 1_030, 2_000).rstrip("\n"))
    source = FileSource("r", "s", {"EURUSD": file}, tmp_path / "archive", is_whole=True)
    async with running(source) as (together, lanes):
        await eventually(lambda: source.newest_msc["EURUSD"] == DAY_MSC + 2_000)
        after = TickId(DAY_MSC + 10, 1)
        together.send("s", Reading("EURUSD", 1, after, 2))
        await eventually(lambda: len(lanes.ids) == 2)
        assert lanes.anchors[0].present
        together.send("s", Credit("EURUSD", 1))
        await eventually(lambda: len(lanes.ids) == 3)
        assert lanes.ids == [(20, 0), (1_030, 0), (1_030, 1)]
        together.send("s", CloseSymbol("EURUSD"))
        begin, end = DAY_MSC + 1_000, DAY_MSC + 2_000
        page = await together.read_history("s", ReadHistory(0, "EURUSD", before(begin), begin, end))
        assert np.frombuffer(page.columns["ordinal"], "<u4").tolist() == [0, 1]
        assert page.ended
        assert await together.read_newest("s", "EURUSD") == TickId(DAY_MSC + 2_000, 0)
        assert (await together.read_history("s", ReadHistory(0, "GBPUSD", after, begin, end))).error


async def test_a_replay_at_its_own_pace_shows_no_tick_too_early(tmp_path: Path) -> None:
    """A hundred times as fast: after the first tick the second is 20 ms later, the third far away."""
    file = tmp_path / "ticks.csv"
    file.write_text(HEADER + lines(0, 2_000, 3_600_000))
    source = FileSource("r", "s", {"EURUSD": file}, tmp_path / "archive", is_whole=True, speed=100)
    async with running(source) as (together, lanes):
        await eventually(lambda: source.newest_msc["EURUSD"] == DAY_MSC)
        together.send("s", Reading("EURUSD", 1, BEFORE_FIRST, 100))
        await eventually(lambda: len(lanes.ids) == 2)
        assert source.newest_msc["EURUSD"] == DAY_MSC + 2_000


async def test_no_file_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor one that is being read when the source ends."""
    (tmp_path / "ticks.csv").write_text(HEADER + lines(10, 20))
    begun, go_on, open_at_the_end = threading.Event(), threading.Event(), list[bool]()

    class Slow(TickText):
        def read(self) -> Any:
            begun.set()
            go_on.wait(30)
            return super().read()

        def close(self) -> None:
            super().close()
            open_at_the_end.append(self._file is not None)

    monkeypatch.setattr("pc_agent.market.file_source.TickText", Slow)
    source = grows(tmp_path)
    async with asyncio.TaskGroup() as tasks:
        work = tasks.create_task(source.run())
        await eventually(begun.is_set)
        work.cancel()
    assert open_at_the_end == []
    go_on.set()
    await eventually(lambda: open_at_the_end == [False])


async def test_a_file_that_is_not_there_is_told_and_waited_for(tmp_path: Path) -> None:
    """Or one of another shape."""
    source = grows(tmp_path)
    with capture_logs() as logs:
        async with asyncio.TaskGroup() as tasks:
            work = tasks.create_task(source.run())
            await eventually(lambda: any("can not be read" in line["event"] for line in logs))
            assert not source.connected
            (tmp_path / "ticks.csv").write_text("a,b,c\n1,2,3\n")
            await eventually(lambda: any("expected the header" in line.get("because", "") for line in logs))
            assert not source.connected
            work.cancel()


class Counting(ArchiveSource):
    """An example of a plug-in: a quote for each number that the settings name, one price higher each time."""

    def __init__(self, settings: SourceSettings, folder: Path) -> None:
        super().__init__(settings.name, settings.server_name, settings.options["symbols"], folder)
        self._count = int(settings.options["count"])

    async def collect(self) -> None:
        """All at once; a real one would wait for its feed here."""
        for symbol, archive in self.archives.items():
            have = len(archive.ticks)
            place = np.arange(have, self._count)
            self.append(symbol, ticks_from(time_msc=DAY_MSC + place * 500, bid=1.0 + place, ask=1.5 + place, flags=6))
        self.set_connected(True)


async def test_a_class_of_ones_own_is_a_source(tmp_path: Path) -> None:
    """Named by module and class; it begins where it was."""
    plugin = f"{__name__}:Counting"
    for count in (3, 5):
        options = {"symbols": ["BTC/USD"], "count": count}
        settings = SourceSettings(name="mine", kind="plugin", plugin=plugin, options=options)
        async with running(*open_sources([settings], tmp_path)) as (together, lanes):
            together.send("plugin-mine", Reading("BTC/USD", 1, BEFORE_FIRST, 100))
            await eventually(lambda count=count, lanes=lanes: len(lanes.ids) == count)  # type: ignore[misc]
            reader = together.reader(("plugin-mine", "BTC/USD"))
            assert reader is not None
            assert reader.name == "mine"
    assert lanes.bids == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "plugin", ["no.such.module:Class", f"{__name__}:Nothing", "no-entry-point", f"{__name__}:Lanes"]
)
def test_a_plug_in_that_is_not_there_is_told(tmp_path: Path, plugin: str) -> None:
    """With its name."""
    settings = SourceSettings(name="mine", kind="plugin", plugin=plugin)
    with pytest.raises(SettingsError, match=r"setting 'sources': .*"):
        open_sources([settings], tmp_path)


def test_settings_of_sources_fit_together() -> None:
    """Each kind has what it needs, and a name of its own."""
    with pytest.raises(ValueError, match="needs files"):
        SourceSettings(name="a", kind="csv")
    with pytest.raises(ValueError, match="needs plugin"):
        SourceSettings(name="a", kind="plugin")
    one = SourceSettings(name="a", kind="csv", files={"EURUSD": Path("x.csv")})
    assert one.server_name == "csv-a"
    assert "2 terminals and sources are called 'a'" in defect_of_sources([one], ["a"])
    assert not defect_of_sources([one], ["terminal"])


def test_what_the_disk_lost_is_brought_again(tmp_path: Path) -> None:
    """A note that says more than the archive holds counts for nothing."""
    archive = TickArchive(tmp_path, "EURUSD")
    archive.append(ticks_from(time_msc=np.arange(DAY_MSC, DAY_MSC + 5)), {"offset": 99})
    archive.close()
    file = next(tmp_path.glob("*.ticks"))
    again = TickArchive(tmp_path, "EURUSD")
    assert again.note["offset"] == 99
    again.close()
    file.write_bytes(file.read_bytes()[:100])
    lost = TickArchive(tmp_path, "EURUSD")
    assert lost.note == {}
    assert len(lost.ticks) == 0
    lost.close()
