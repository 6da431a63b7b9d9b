"""The agent's settings: taken from the mesh as a whole or not at all, journalled, and remembered."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mesh.config import load_settings
from mesh.configuration import KeptConfig, Made
from pc_agent.config import AgentSettings
from pc_agent.domain.live_settings import DeadMan
from pc_agent.settings import journal
from pc_agent.settings.journal import JOURNAL, STATE, append, records
from pc_agent.settings.keeper import SettingsKeeper
from tests.support import eventually


@pytest.fixture(autouse=True)
def level() -> Iterator[None]:
    """The log's level is the process's: it is put back."""
    before = logging.getLogger().level
    yield
    logging.getLogger().setLevel(before)


class Mesh:
    """Keeps what the test says."""

    def __init__(self) -> None:
        self.kept: KeptConfig | None = None
        self.reports: list[tuple[int, int, str, Mapping[str, str]]] = []
        self._told = asyncio.Event()

    def put(self, version: int, **values: Any) -> None:
        self.kept = KeptConfig(values, Made(version, "ann", "calmer", 5))
        self._told.set()

    async def newer(self, known: KeptConfig | None) -> KeptConfig:
        while self.kept is None or self.kept == known:
            self._told.clear()
            await self._told.wait()
        return self.kept

    def report(
        self, service_version: int, instance_version: int, refusal: str = "", notes: Mapping[str, str] | None = None
    ) -> None:
        self.reports.append((service_version, instance_version, refusal, notes or {}))


def own(folder: Path, *arguments: str) -> AgentSettings:
    file = folder / "agent.toml"
    if not file.exists():
        file.write_text("max_order_volume = 1\n")
    return load_settings(AgentSettings, "pc-agent", ["--state-dir", str(folder), "--config", str(file), *arguments])


@asynccontextmanager
async def running(folder: Path, mesh: Mesh, *arguments: str) -> AsyncIterator[SettingsKeeper]:
    keeper = SettingsKeeper(own(folder, *arguments), lambda: 77)
    keeper.start()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(keeper.run(mesh))
        try:
            yield keeper
        finally:
            task.cancel()


async def reported(mesh: Mesh, version: int) -> Mapping[str, str]:
    await eventually(lambda: mesh.reports and mesh.reports[-1][0] == version and not mesh.reports[-1][2])
    return mesh.reports[-1][3]


async def test_what_is_safe_is_in_force_at_once_and_the_rest_is_said(tmp_path: Path) -> None:
    """Live values for who waits on them; others at the next start; laxer ones are held, and the log's level changes."""
    mesh = Mesh()
    async with running(tmp_path, mesh, "--max-open-positions", "3") as keeper:
        before = keeper.live.now
        waiting = asyncio.create_task(keeper.live.changed(before))
        mesh.put(1, deviation_points=5, dead_man="flatten", max_order_volume=2, max_open_positions=1, idle_ms=50,
                 log_level="error")  # fmt: skip
        now = await waiting
        assert (now.deviation_points, now.dead_man, now.max_order_volume) == (5, DeadMan.FLATTEN, Decimal(1))
        assert now.max_open_positions == 3
        assert logging.getLogger().level == logging.ERROR
        assert await reported(mesh, 1) == {
            "idle_ms": "at the next start",
            "max_order_volume": "this PC's own 1 is stricter",
            "max_open_positions": "the command line of this PC says 3",
        }
        mesh.put(2, max_order_volume="0.5")
        await reported(mesh, 2)
        assert keeper.live.now.max_order_volume == Decimal("0.5")
        assert keeper.live.now.deviation_points == before.deviation_points


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"deviation_points": -1}, "setting 'deviation_points' of pc-agent (kept by the mesh)"),
        ({"deviation_point": 1}, "did you mean 'deviation_points'?"),
        ({"state_dir": "/elsewhere"}, "'state_dir' is this PC's alone"),
        ({"terminals": []}, "'terminals' is this PC's alone"),
        ({"dead_man": "explode"}, "'dead_man'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
async def test_a_bad_value_refuses_its_whole_version(tmp_path: Path, values: dict[str, Any], sentence: str) -> None:
    """The one before goes on, the mesh is told why, and the next good one is taken."""
    mesh = Mesh()
    async with running(tmp_path, mesh) as keeper:
        mesh.put(1, deviation_points=5)
        await reported(mesh, 1)
        mesh.put(2, max_spread_points=30, **values)
        await eventually(lambda: mesh.reports[-1][2])
        version, _, refusal, _ = mesh.reports[-1]
        assert version == 1
        assert sentence in refusal
        assert "version service 2" in refusal
        assert (keeper.live.now.deviation_points, keeper.live.now.max_spread_points) == (5, 0)
        mesh.put(3, deviation_points=6)
        await reported(mesh, 3)
        assert keeper.live.now.deviation_points == 6


async def test_every_change_is_journalled(tmp_path: Path) -> None:
    """Who, when, which version, old and new, and what became of it; the refused too, and what changed on the PC."""
    mesh = Mesh()
    async with running(tmp_path, mesh):
        mesh.put(1, deviation_points=5, max_order_volume=2)
        await reported(mesh, 1)
        mesh.put(2, deviation_points=-5)
        await eventually(lambda: mesh.reports[-1][2])
    (tmp_path / "agent.toml").write_text("max_order_volume = 1\nmax_open_positions = 7\n")
    SettingsKeeper(own(tmp_path), lambda: 78).start()
    applied, refused, started = records(tmp_path)
    made = {"version": 1, "by": "ann", "reason": "calmer", "changed_unix_ms": 5}
    assert (applied["at_unix_ms"], applied["from"], applied["outcome"], applied["of_service"]) == (
        *(77, "mesh", "applied"),
        made,
    )
    assert applied["changes"] == [
        {"name": "deviation_points", "old": 20, "new": 5, "outcome": "now"},
        {"name": "max_order_volume", "old": "1", "new": 2, "outcome": "this PC's own 1 is stricter"},
    ]
    assert (refused["outcome"], refused["changes"], refused["of_service"]["version"]) == ("refused", [], 2)
    assert "deviation_points" in refused["because"]
    assert (started["at_unix_ms"], started["from"]) == (78, "start")
    assert started["changes"] == [
        {"name": "max_open_positions", "old": 200, "new": 7, "outcome": f"file {tmp_path / 'agent.toml'}"}
    ]


async def test_a_restart_without_a_hub_goes_on_with_what_was_kept_last(tmp_path: Path) -> None:
    """What waited for it is in force then; the hub's telling the same again changes nothing."""
    mesh = Mesh()
    async with running(tmp_path, mesh):
        mesh.put(1, deviation_points=5, idle_ms=50)
        await reported(mesh, 1)
    keeper = SettingsKeeper(own(tmp_path))
    assert keeper.start().idle_ms == 50
    assert keeper.live.now.deviation_points == 5
    assert (keeper.applied.service_version, keeper.applied.notes) == (1, {})
    count = len(list(records(tmp_path)))
    told = len(mesh.reports)
    async with running(tmp_path, mesh):
        await eventually(lambda: len(mesh.reports) == told + 2)
    assert len(list(records(tmp_path))) == count


@pytest.mark.parametrize("text", ["", "{", '{"kept": 1}', json.dumps({"kept": {"values": {"idle_ms": 0}}})])
async def test_what_can_not_be_recalled_leaves_the_pc_s_own_settings(tmp_path: Path, text: str) -> None:
    """A damaged file keeps nobody from trading."""
    (tmp_path / STATE).write_text(text)
    keeper = SettingsKeeper(own(tmp_path))
    assert keeper.start() == own(tmp_path)


async def test_what_was_kept_and_no_longer_fits_this_pc_is_left_out(tmp_path: Path) -> None:
    """Until the mesh tells something that does."""
    kept = {"values": {"idle_ms": 0}, "of_service": {"version": 1}, "of_instance": {}}
    (tmp_path / STATE).write_text(json.dumps({"kept": kept, "settings": {}}))
    keeper = SettingsKeeper(own(tmp_path))
    assert keeper.start() == own(tmp_path)
    assert keeper.applied.service_version == 0


async def test_what_can_not_be_journalled_is_not_put_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk refuses a version as a bad value does."""

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    mesh = Mesh()
    async with running(tmp_path, mesh) as keeper:
        monkeypatch.setattr("pc_agent.settings.keeper.append", full)
        mesh.put(1, deviation_points=5)
        await eventually(lambda: mesh.reports and "no space left" in mesh.reports[-1][2])
        assert keeper.live.now.deviation_points == 20


def test_the_journal_is_bounded_and_a_line_cut_off_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One file and the one before it."""
    monkeypatch.setattr(journal, "_LARGEST", 30)
    for number in range(7):
        append(tmp_path, {"number": number})
    assert [record["number"] for record in records(tmp_path)] == [3, 4, 5, 6]
    with (tmp_path / JOURNAL).open("a") as file:
        file.write('{"number": ')
    assert [record["number"] for record in records(tmp_path)][-1] == 6
