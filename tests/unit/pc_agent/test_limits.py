"""How much of the machine a worker may use."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from pc_agent.terminal import job_object, limits
from pc_agent.terminal.job_object import cpu_rate
from pc_agent.terminal.limits import Limits, join_cgroup, limit_this_process

FILES = ("cpu.max", "memory.max", "cgroup.procs")


def test_a_cgroup_of_its_own_has_the_limits(tmp_path: Path) -> None:
    """A quota of each tenth of a second, and bytes."""
    group = tmp_path / "suho-one"
    group.mkdir()
    for name in FILES:
        (group / name).touch()
    join_cgroup(tmp_path, "one", Limits(150, 512))
    assert [(group / name).read_text() for name in FILES] == ["150000 100000", str(512 << 20), str(os.getpid())]


def test_a_controller_that_is_missing_is_an_error(tmp_path: Path) -> None:
    """Nothing is written that nobody reads."""
    with pytest.raises(OSError, match=r"cpu\.max"):
        join_cgroup(tmp_path, "one", Limits(50, 0))
    assert not (tmp_path / "suho-one" / "cpu.max").exists()


def test_what_can_not_be_limited_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where no cgroup may be made the processor is not limited; without limits nothing is said."""
    monkeypatch.setattr(limits, "own_cgroup", lambda: tmp_path / "nowhere")
    with capture_logs() as logs:
        limit_this_process("one", Limits(50, 0))
        limit_this_process("one", Limits(0, 0))
    assert [log["event"] for log in logs] == ["limits are not applied"]
    assert "cpu_limit_percent" in logs[0]["which"][0]


def test_memory_is_limited_where_no_cgroup_may_be_made() -> None:
    """Who wants more gets an error of its own, and takes nothing from the others."""
    program = (
        "from pc_agent.terminal import limits\n"
        "limits.own_cgroup = lambda: limits.Path('/nowhere')\n"
        "limits.limit_this_process('one', limits.Limits(0, 200))\n"
        "try:\n    bytearray(400 << 20)\nexcept MemoryError:\n    print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"


def test_a_job_counts_in_parts_of_all_processors() -> None:
    """One of four wholly is a quarter; the structures are as large as Windows expects."""
    assert [cpu_rate(100, 4), cpu_rate(50, 2), cpu_rate(0.0001, 64), cpu_rate(6_400, 2)] == [2_500, 2_500, 1, 10_000]
    if ctypes.sizeof(ctypes.c_void_p) == 8:
        assert ctypes.sizeof(job_object._ExtendedLimits) == 144
    assert ctypes.sizeof(job_object._CpuRate) == 8
