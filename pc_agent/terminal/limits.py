"""How much of the machine a terminal's worker may use, and the terminal too where the worker starts it."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from mesh.log import get_logger

log = get_logger(__name__)

_PERIOD_US = 100_000
_MB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one processor, 100 is all of it; 0: no limit."""

    cpu_percent: float
    memory_mb: float


def limit_this_process(name: str, limits: Limits) -> None:
    """Bind this process and what it starts; what the system does not allow is warned of, and nothing else."""
    if not (limits.cpu_percent or limits.memory_mb):
        return
    missed = _limit(name, limits)
    if missed:
        log.warning("limits are not applied", terminal=name, which=missed)


if sys.platform == "win32":
    from pc_agent.terminal.job_object import put_in_job

    def _limit(_: str, limits: Limits) -> list[str]:
        try:
            put_in_job(limits.cpu_percent, limits.memory_mb)
        except OSError as error:
            return [f"a job object could not be made: {error}"]
        return []

else:
    import resource

    def _limit(name: str, limits: Limits) -> list[str]:
        """A cgroup of its own where this user may make one; else the memory by rlimit."""
        try:
            join_cgroup(own_cgroup(), name, limits)
        except OSError as error:
            missed = [f"cpu_limit_percent: no cgroup of its own ({error.strerror})"] if limits.cpu_percent else []
            if limits.memory_mb:
                _limit_memory(limits.memory_mb)
            return missed
        return []

    def _limit_memory(memory_mb: float) -> None:
        """Of what the process may write to; mapped files and shared memory are not counted."""
        most, (_, hard) = int(memory_mb * _MB), resource.getrlimit(resource.RLIMIT_DATA)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def own_cgroup() -> Path:
    """The folder of the process's cgroup (version 2). Raises OSError: there is none."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text("utf-8").splitlines()]
    root = next((fields[1] for fields in mounts if fields[2] == "cgroup2"), "")
    lines = Path("/proc/self/cgroup").read_text("utf-8").splitlines()
    place = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "")
    if not root or not place:
        raise FileNotFoundError(2, "the system has no cgroups of version 2")
    return Path(root) / place.lstrip("/")


def join_cgroup(parent: Path, name: str, limits: Limits) -> None:
    """Go into a group below `parent` that has these limits.

    Raises:
        OSError: this user may not, or the group has not got the controllers.
    """
    group = parent / f"suho-{name}"
    group.mkdir(exist_ok=True)
    if limits.cpu_percent:
        quota = int(limits.cpu_percent / 100 * _PERIOD_US)
        _write(group / "cpu.max", f"{quota} {_PERIOD_US}")
    if limits.memory_mb:
        _write(group / "memory.max", str(int(limits.memory_mb * _MB)))
    _write(group / "cgroup.procs", str(os.getpid()))


def _write(file: Path, text: str) -> None:
    """The kernel makes these files; one that is not there is a controller that is not."""
    with file.open("r+", encoding="utf-8") as opened:
        opened.write(text)
