"""How much of the machine a worker may use."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from pc_agent.terminal import cgroups, job_object, limits
from pc_agent.terminal.cgroups import divide, join_part
from pc_agent.terminal.job_object import cpu_rate
from pc_agent.terminal.limits import Limits, limit_this_process, make_room

OWN = str(os.getpid())


def group_of(folder: Path, **files: str) -> Path:
    """A cgroup with such files (cgroup_procs is cgroup.procs), as the kernel makes them."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".", 1)).write_text(text)
    return folder


def test_a_part_of_the_agents_cgroup_has_a_terminals_limits(tmp_path: Path) -> None:
    """A quota of each tenth of a second, and bytes."""
    part = group_of(tmp_path / "suho-terminal-one", cpu_max="", memory_max="", cgroup_procs="")
    assert join_part(tmp_path, "one", 150, 512) == []
    files = ("cpu.max", "memory.max", "cgroup.procs")
    assert [(part / name).read_text() for name in files] == ["150000 100000", str(512 << 20), OWN]


def test_a_controller_that_is_missing_is_told_and_takes_no_other_limit_away(tmp_path: Path) -> None:
    """A part that limits nothing is not left behind."""
    part = group_of(tmp_path / "suho-terminal-one", memory_max="", cgroup_procs="")
    assert join_part(tmp_path, "one", 50, 512) == ["cpu"]
    assert ((part / "memory.max").read_text(), (part / "cgroup.procs").read_text()) == (str(512 << 20), OWN)
    assert join_part(tmp_path, "two", 50, 0) == ["cpu"]
    assert not (tmp_path / "suho-terminal-two").exists()


def test_the_agent_makes_room_for_its_workers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It goes into a part of its own with its children and leaves others where they are; then parts get controllers."""
    written: list[tuple[Path, str]] = []
    monkeypatch.setattr(cgroups, "_write", lambda file, text: written.append((file, text)))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        group_of(tmp_path, cgroup_controllers="cpuset cpu", cgroup_procs=f"1 {OWN} {child.pid}")
        divide(tmp_path)
        child.communicate(b"\n")
    procs = tmp_path / "suho-agent" / "cgroup.procs"
    assert written == [(procs, OWN), (procs, str(child.pid)), (tmp_path / "cgroup.subtree_control", "+cpu")]
    (tmp_path / "cgroup.controllers").write_text("pids")
    with pytest.raises(OSError, match="neither the cpu nor the memory"):
        divide(tmp_path)


def test_what_can_not_be_limited_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where no cgroup may be divided the processor is not limited; without limits nothing is said."""
    monkeypatch.setattr(limits, "divided_cgroup", lambda: tmp_path / "nowhere")
    with capture_logs() as logs:
        for given in (Limits(50, 0), Limits(0, 0)):
            make_room([given])
            limit_this_process("one", given)
    assert [log["event"] for log in logs] == [
        *("the agent's cgroup can not be divided among its terminals", "limits are not applied"),
    ]
    assert "suho agent install" in logs[0]["do"]
    assert "cpu_limit_percent" in logs[1]["which"][0]


def test_memory_is_limited_where_no_cgroup_may_be_made() -> None:
    """Who wants more gets an error of its own, and takes nothing from the others."""
    program = (
        "from pc_agent.terminal import limits\n"
        "from pathlib import Path\nlimits.divided_cgroup = lambda: Path('/nowhere')\n"
        "limits.limit_this_process('one', limits.Limits(0, 200))\n"
        "try:\n    bytearray(400 << 20)\nexcept MemoryError:\n    print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "refused"


def test_a_job_counts_in_parts_of_all_processors() -> None:
    """One of four wholly is a quarter; the structures are as large as Windows expects."""
    assert [cpu_rate(100, 4), cpu_rate(50, 2), cpu_rate(0.0001, 64), cpu_rate(6_400, 2)] == [2_500, 2_500, 1, 10_000]
    if ctypes.sizeof(ctypes.c_void_p) == 8:
        assert ctypes.sizeof(job_object._ExtendedLimits) == 144
    assert ctypes.sizeof(job_object._CpuRate) == 8
