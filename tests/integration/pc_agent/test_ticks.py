"""Ticks from a terminal to a bridge, with everything between them breaking."""

from pathlib import Path

import numpy as np
import psutil
import pytest

from pc_agent.domain.lanes import lane_of
from tests.integration.pc_agent.conftest import Rig
from tests.support import eventually
from tests.support.proxy import cuttable_proxy
from tests.support.replay_file import ReplayFile, generate
from tests.support.waiting import free_port

pytestmark = pytest.mark.integration


def assert_exact(rig: Rig, file: ReplayFile) -> None:
    """The bridge holds the file: every tick once, in order."""
    stored = rig.bridge.joined(file.symbol)
    assert stored is not None
    assert len(stored) == file.ticks
    points = 10**file.digits
    assert int(np.rint(stored.bid * points).sum()) == file.bid_points_sum
    assert int(np.rint(stored.ask * points).sum()) == file.ask_points_sum
    assert np.all(np.diff(stored.time_msc) >= 0)


def two_files(folder: Path, ticks: int = 60_000) -> list[ReplayFile]:
    return [generate(folder, "EURUSD", ticks, 1), generate(folder, "GBPUSD", ticks // 2, 2)]


async def all_there(rig: Rig, files: list[ReplayFile]) -> None:
    await eventually(lambda: all(rig.bridge.count(file.symbol) >= file.ticks for file in files), timeout_s=25)
    for file in files:
        assert_exact(rig, file)


async def test_every_tick_arrives_once_on_its_symbols_lane(rig: Rig, tmp_path: Path) -> None:
    """A whole replay is stored exactly, in messages of allowed size, over five connections counted from outside."""
    files = two_files(tmp_path)
    await rig.start_terminal([file.feed for file in files], "max")
    await rig.start_agent()
    await all_there(rig, files)
    assert rig.bridge.largest <= 2_000
    server = rig.engine.hello.account.server if rig.engine.hello else ""
    for file in files:
        assert rig.bridge.lanes[lane_of(server, file.symbol)].count(file.symbol) == 1
    assert all(len(list(batch.by_month())) == 1 for batch in rig.bridge.batches["EURUSD"])
    assert rig.agent is not None
    await rig.joined()
    remote = [c.raddr.port for c in psutil.Process(rig.agent.pid).net_connections("tcp") if c.raddr]
    assert sorted(remote) == sorted([*[rig.ports[0]] * 4, rig.ports[1]])


async def test_nothing_is_lost_when_the_worker_is_killed(rig: Rig, tmp_path: Path) -> None:
    """SIGKILL to the worker, in the middle, costs no tick and doubles none."""
    files = two_files(tmp_path)
    await rig.start_terminal([file.feed for file in files], "max")
    await rig.start_agent()
    for share in (0.05, 0.4):
        await eventually(lambda share=share: rig.bridge.count("EURUSD") > files[0].ticks * share, interval_s=0.002)
        for worker in rig.workers():
            worker.kill()
    await all_there(rig, files)


async def test_nothing_is_lost_when_lanes_break_or_move_and_the_log_is_set_back(rig: Rig, tmp_path: Path) -> None:
    """One cut connection, all cut at once, a log that lost its end and a drain are all made good."""
    files = two_files(tmp_path)
    port = free_port()
    async with cuttable_proxy(port, rig.ports[0]) as proxy:
        rig.ports = port, rig.ports[1]
        await rig.start_terminal([file.feed for file in files], "max")
        await rig.start_agent()
        await eventually(lambda: rig.bridge.count("EURUSD") > 2_000, interval_s=0.002)
        proxy.cut_one()
        await eventually(lambda: rig.bridge.count("EURUSD") > 8_000, interval_s=0.002)
        while proxy.connections:
            proxy.cut_one()
        await eventually(lambda: rig.bridge.count("EURUSD") > 16_000, interval_s=0.002)
        rig.bridge.forget("EURUSD")
        rig.bridge.draining = next(lane for lane, symbols in rig.bridge.lanes.items() if "EURUSD" in symbols)
        await all_there(rig, files)
    assert rig.bridge.drained
    assert rig.bridge.out_of_sync


async def test_a_history_that_differs_from_what_was_stored_is_told(rig: Rig, tmp_path: Path) -> None:
    """When the bridge's newest tick is another than the terminal's at its place, the agent says so loudly."""
    file = generate(tmp_path, "EURUSD", 5_000, 3)
    port = free_port()
    async with cuttable_proxy(port, rig.ports[0]) as proxy:
        rig.ports = port, rig.ports[1]
        await rig.start_terminal([file.feed], "max")
        await rig.start_agent()
        await all_there(rig, [file])
        rig.bridge.forget("EURUSD")
        rig.bridge.welcome_values["EURUSD"] = (9.0, 9.1)
        while proxy.connections:
            proxy.cut_one()
        await eventually(lambda: "HISTORY_CHANGED" in rig.log.read_text())
        await all_there(rig, [file])
