"""Control groups of Linux (version 2): the agent's is divided among its terminals' workers.

The kernel gives controllers only to groups whose parent has no process of its own: so the agent itself goes into one of
them too.
"""

import os
from contextlib import suppress
from pathlib import Path

_CONTROLLERS = frozenset({"cpu", "memory"})
_AGENT = "suho-agent"
_PERIOD_US = 100_000
_MB = 1 << 20


def divided_cgroup() -> Path:
    """The group that the agent and its workers have parts of, whichever of them this is.

    Raises:
        OSError: the system has none of version 2.
    """
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text("utf-8").splitlines()]
    root = next((fields[1] for fields in mounts if fields[2] == "cgroup2"), "")
    lines = Path("/proc/self/cgroup").read_text("utf-8").splitlines()
    place = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "")
    if not root or not place:
        raise FileNotFoundError(2, "the system has no cgroups of version 2")
    own = Path(root) / place.lstrip("/")
    return own.parent if own.name == _AGENT else own


def divide(whole: Path) -> None:
    """This process and its children go into a part of `whole`; others may then have limits.

    Raises:
        OSError: this user may not, other programs live in it, or it has none of the controllers.
    """
    given = (whole / "cgroup.controllers").read_text("utf-8").split()
    controllers = sorted(_CONTROLLERS.intersection(given))
    if not controllers:
        raise FileNotFoundError(2, "its group has been given neither the cpu nor the memory controller")
    part = whole / _AGENT
    part.mkdir(exist_ok=True)
    for process in _family(whole):
        _write(part / "cgroup.procs", str(process))
    for controller in controllers:
        _write(whole / "cgroup.subtree_control", f"+{controller}")


def join_part(whole: Path, name: str, cpu_percent: float, memory_mb: float) -> list[str]:
    """Go into a part of `whole` that has these limits, 0: none; which controllers are missing for them.

    Raises:
        OSError: this user may not.
    """
    part = whole / f"suho-terminal-{name}"
    part.mkdir(exist_ok=True)
    wanted = {
        "cpu": f"{int(cpu_percent / 100 * _PERIOD_US)} {_PERIOD_US}" if cpu_percent else "",
        "memory": str(int(memory_mb * _MB)) if memory_mb else "",
    }
    limited = {f"{controller}.max": limit for controller, limit in wanted.items() if limit}
    missing = [name for name in limited if not (part / name).exists()]
    for name in limited.keys() - missing:
        _write(part / name, limited[name])
    if len(missing) < len(limited):
        _write(part / "cgroup.procs", str(os.getpid()))
    else:
        part.rmdir()
    return [name.removesuffix(".max") for name in missing]


def _family(group: Path) -> list[int]:
    """Which of the group's processes are this one and its children."""
    own, family = os.getpid(), []
    for process in map(int, (group / "cgroup.procs").read_text("utf-8").split()):
        with suppress(FileNotFoundError):  # it has just ended
            # Behind the name, which may hold anything: state, then the parent.
            parent = Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()[1]
            if own in (process, int(parent)):
                family.append(process)
    return family


def _write(file: Path, text: str) -> None:
    """The kernel makes these files, and takes what is written for a command."""
    with file.open("r+", encoding="utf-8") as opened:
        opened.write(text)
