"""`suho ticks export` and `import`: what goes out comes in again, and nothing half done counts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from cli.output import EXIT_REFUSED, EXIT_UNREACHABLE
from cli.tick_days import MANIFEST, day_folders
from mesh.market.digest import digests
from tests.unit.cli.conftest import Suho
from tests.unit.cli.fake_platform import DAY, DAY_MS, FakePlatform, columns_of

SERVER = "Broker-Demo 1/2"
SYMBOL = "EUR.USD#"


@pytest.fixture
def filled(platform: FakePlatform) -> FakePlatform:
    """Two days of one symbol, with ticks that share a millisecond and an empty day between."""
    times = [DAY + 5, DAY + 5, DAY + 9, *range(DAY + 2 * DAY_MS, DAY + 2 * DAY_MS + 40)]
    platform.store.put(SERVER, SYMBOL, columns_of(*times))
    return platform


def exported(suho: Suho, out: Path, *more: object) -> Any:
    result = suho("export", SYMBOL, "--out", out, "--json", *more)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def imported(suho: Suho, *words: object) -> Any:
    result = suho("import", "--json", *words)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def whole(platform: FakePlatform, key: tuple[str, str] = (SERVER, SYMBOL)) -> tuple[int, int]:
    (digest,) = digests(platform.store.ticks[key], 0, 2**60, 2**60)
    return digest.count, digest.hash


def test_a_round_trip_is_equal(filled: FakePlatform, suho: Suho, tmp_path: Path) -> None:
    """Exported, lost, imported: the same digest; the second import finds everything there."""
    before = whole(filled)
    facts = exported(suho, tmp_path / "out")
    assert (facts["ticks"], facts["written"], [day["date"] for day in facts["days"]]) == (
        43, 2, ["2014-05-05", "2014-05-07"],
    )  # fmt: skip
    filled.store.ticks.clear()
    facts = imported(suho, tmp_path / "out")
    assert (facts["imported"], facts["there"], facts["quarantined"]) == (43, 0, 0)
    assert whole(filled) == before
    facts = imported(suho, tmp_path / "out")
    assert (facts["imported"], facts["there"]) == (0, 43)


def test_an_export_is_a_partitioned_data_set(filled: FakePlatform, suho: Suho, tmp_path: Path) -> None:
    """Any reader of such folders sees names, days and what the store knows of a tick beside its columns."""
    exported(suho, tmp_path / "out")
    table = ds.dataset(tmp_path / "out", format="parquet", partitioning="hive", exclude_invalid_files=True).to_table()
    assert set(table.column("server").to_pylist()) == {SERVER}
    assert set(table.column("symbol").to_pylist()) == {SYMBOL}
    assert table.column("date").to_pylist()[::42] == ["2014-05-05", "2014-05-07"]
    assert table.column("utc_msc").to_pylist()[0] == DAY + 5 - 7_200_000
    assert table.column("ordinal").to_pylist()[:3] == [0, 1, 0]
    assert set(table.column("generation").to_pylist()) == {0}


def test_finished_days_are_skipped_and_changed_ones_written_anew(
    filled: FakePlatform, suho: Suho, tmp_path: Path
) -> None:
    """A day counts while its file bears its checksum and the store still holds the same."""
    out = tmp_path / "out"
    exported(suho, out)
    filled.database.asked.clear()
    assert (exported(suho, out)["there"], filled.database.asked) == (2, [])
    first, last = day_folders(out)
    (first / "ticks.parquet").write_bytes(b"rotten")
    (last / MANIFEST).unlink()
    assert exported(suho, out)["written"] == 2
    filled.store.put(SERVER, SYMBOL, columns_of(DAY + 100))
    facts = exported(suho, out)
    assert [(day["state"], day["ticks"]) for day in facts["days"]] == [("written", 4), ("there", 40)]


def test_an_export_that_breaks_off_leaves_no_day_that_counts(
    filled: FakePlatform, suho: Suho, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is not there at all; the next run writes it."""
    out = tmp_path / "out"
    monkeypatch.setattr("cli.tick_parquet._GROUP_TICKS", 7)
    real, written = pq.ParquetWriter.write_table, []

    def breaks(writer: Any, table: Any) -> None:
        written.append(table.num_rows)
        if len(written) == 3:
            raise KeyboardInterrupt
        real(writer, table)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", breaks)
    assert suho("export", SYMBOL, "--out", out).exit_code == 130
    assert [path.name for path in sorted(out.rglob("*.*")) if path.is_file()] == [MANIFEST, "ticks.parquet"]
    monkeypatch.undo()


def test_a_day_that_grows_is_exported_up_to_its_newest_tick(filled: FakePlatform, suho: Suho, tmp_path: Path) -> None:
    """Ticks that come in while it is read are in the file; the next run writes the rest."""
    filled.database.meanwhile = [
        lambda: filled.store.put(SERVER, SYMBOL, columns_of(DAY + 3 * DAY_MS - 10)),
        lambda: filled.store.put(SERVER, SYMBOL, columns_of(DAY + 3 * DAY_MS - 5)),
    ]
    for ticks in (41, 42):
        facts = exported(suho, tmp_path / "out", "--from", "2014-05-07")
        assert [(day["state"], day["ticks"]) for day in facts["days"]] == [("written", ticks)]


def test_what_is_not_there_can_not_be_exported(filled: FakePlatform, suho: Suho, tmp_path: Path) -> None:
    """A time without ticks, a symbol in the wrong case."""
    result = suho("export", SYMBOL, "--out", tmp_path, "--from", "2015-01-01")
    assert (result.exit_code, "no tick of EUR.USD# is stored in that time" in result.stderr) == (EXIT_REFUSED, True)
    result = suho("export", "eur.usd#", "--out", tmp_path)
    assert (result.exit_code, "did you mean EUR.USD#?" in result.stderr) == (EXIT_REFUSED, True)
    assert suho("export", SYMBOL, "--out", tmp_path, "--from", "yesterday").exit_code == 2


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda day: (day / "ticks.parquet").write_bytes(b"rotten"), "does not bear its manifest's checksum"),
        (lambda day: (day / MANIFEST).unlink(), "its export did not finish"),
        (lambda day: (day / "ticks.parquet").unlink(), "can not be read"),
        (lambda day: (day / MANIFEST).write_text("{"), "can not be read: export the day again"),
        (lambda day: (day / MANIFEST).write_text('{"format": 9}'), "of another format"),
    ],
)
def test_damaged_days_are_refused_before_anything_is_sent(
    filled: FakePlatform, suho: Suho, tmp_path: Path, damage: Any, said: str
) -> None:
    """Checksums are looked at first, of all days."""
    exported(suho, tmp_path / "out")
    *_, last = day_folders(tmp_path / "out")
    damage(last)
    filled.store.ticks.clear()
    result = suho("import", tmp_path / "out")
    assert (result.exit_code, said in result.stderr) == (EXIT_REFUSED, True), result.stderr
    assert not filled.bridge.imported_messages


def test_an_import_that_broke_off_goes_on(filled: FakePlatform, suho: Suho, tmp_path: Path) -> None:
    """Days that are stored are left out, the one that broke off is sent again."""
    before = whole(filled)
    exported(suho, tmp_path / "out")
    filled.store.ticks.clear()
    filled.bridge.import_fails_after = 1
    assert suho("import", tmp_path / "out").exit_code == EXIT_UNREACHABLE
    filled.bridge.import_fails_after = None
    facts = imported(suho, tmp_path / "out")
    assert [(day["there"], day["imported"]) for day in facts["days"]] == [(3, 0), (0, 40)]
    assert whole(filled) == before


def test_an_import_adds_what_is_missing_and_replaces_nothing(filled: FakePlatform, suho: Suho, tmp_path: Path) -> None:
    """Ticks that are stored are counted; those stored with another value are left, told, and status 1."""
    exported(suho, tmp_path / "out")
    filled.store.ticks.clear()
    filled.store.put(SERVER, SYMBOL, columns_of(DAY + 5, DAY + 9, bid=1.1))
    result = suho("import", tmp_path / "out", "--json")
    facts = json.loads(result.stdout)
    assert (result.exit_code, "1 ticks are stored with other values" in result.stderr) == (EXIT_REFUSED, True)
    assert {name: facts[name] for name in ("there", "differing", "imported")} == {
        "there": 1, "differing": 1, "imported": 41,
    }  # fmt: skip
    assert filled.store.ticks[SERVER, SYMBOL]["bid"][2] == 1.1 + 1e-5


CSV = "timestamp,bid,ask\n2014-05-05 23:59:59.999+00:00,1.1,1.2\n2014-05-06 00:00:00+00:00,1.1,1.3\n"
EXPORT = "<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>\t<FLAGS>\r\n2014.05.05\t23:59:59.999\t1.1\t1.2\t\t\t134\r\n"


def test_tick_files_are_imported_under_the_name_they_are_given(
    platform: FakePlatform, suho: Suho, tmp_path: Path
) -> None:
    """CSV and MT5's own export, by days; undocumented flags stay out."""
    for name, text in (("ticks.csv", CSV), ("export.csv", EXPORT)):
        (tmp_path / name).write_text(text)
    facts = imported(suho, tmp_path / "ticks.csv", "--symbol", "X", "--server", "S")
    assert ([day["date"] for day in facts["days"]], facts["imported"]) == (["2014-05-05", "2014-05-06"], 2)
    assert imported(suho, tmp_path / "ticks.csv", "--symbol", "X", "--server", "S")["there"] == 2
    imported(suho, tmp_path / "export.csv", "--symbol", "Y", "--server", "S")
    assert platform.store.ticks["S", "Y"]["flags"].tolist() == [6]
    assert np.array_equal(platform.store.ticks["S", "X"]["ask"], [1.2, 1.3])


def test_files_go_in_messages_of_at_most_two_thousand(platform: FakePlatform, suho: Suho, tmp_path: Path) -> None:
    """More of them than may be under way at once."""
    rows = "".join(f"2014-05-05,{ms},1.1,1.2\n" for ms in range(20_001))
    (tmp_path / "ticks.csv").write_text("date,ms_of_day_utc,bid,ask\n" + rows)
    assert imported(suho, tmp_path / "ticks.csv", "--symbol", "X", "--server", "S")["imported"] == 20_001
    assert platform.bridge.imported_messages == 11


def test_a_file_that_can_not_be_imported_says_why(platform: FakePlatform, suho: Suho, tmp_path: Path) -> None:
    """Whose ticks they are is asked for; a bad row is found; an empty folder is no export."""
    path = tmp_path / "ticks.csv"
    path.write_text(CSV + "x\n")
    (tmp_path / "empty").mkdir()
    for words, said in (
        ((path,), "give --symbol and --server"),
        ((path, "--symbol", "X", "--server", "S"), "line 4: expected 3 fields"),
        ((tmp_path / "empty",), "holds no exported day"),
    ):
        result = suho("import", *words)
        assert (result.exit_code, said in result.stderr) == (EXIT_REFUSED, True), result.stderr
