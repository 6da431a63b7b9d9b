"""How much of the machine a terminal's worker may use, and the terminal too where the worker starts it."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass

from mesh.log import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one processor, 100 is all of it; 0: no limit."""

    cpu_percent: float
    memory_mb: float

    def __bool__(self) -> bool:
        return bool(self.cpu_percent or self.memory_mb)


def make_room(limits: Iterable[Limits]) -> None:
    """The agent makes it possible that its workers have limits of their own; what hinders that is warned of."""
    if sys.platform == "linux" and any(limits):
        try:
            divide(divided_cgroup())
        except OSError as error:
            log.warning("the agent's cgroup can not be divided among its terminals", because=str(error), do=_SERVICE)


def limit_this_process(name: str, limits: Limits) -> None:
    """Bind this process and what it starts; what the system does not allow is warned of, and nothing else."""
    if not limits:
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

    from pc_agent.terminal.cgroups import divide, divided_cgroup, join_part

    _MB = 1 << 20
    _SERVICE = (
        "let systemd start it: `suho agent install` asks for a cgroup of its own with the cpu and memory controllers,"
        " which the system must give its users (Delegate=cpu memory in user@.service)"
    )

    def _limit(name: str, limits: Limits) -> list[str]:
        """A part of the agent's cgroup where that can be divided; else the memory by rlimit."""
        missing, because = ["cpu", "memory"], "it has no such controller"
        try:
            missing = join_part(divided_cgroup(), name, limits.cpu_percent, limits.memory_mb)
        except OSError as error:
            because = str(error)
        if limits.memory_mb and "memory" in missing:
            _limit_memory(limits.memory_mb)
            log.info("memory is limited by rlimit: mapped files do not count", terminal=name, not_by_cgroup=because)
        is_free = limits.cpu_percent and "cpu" in missing
        return [f"cpu_limit_percent: no cgroup of its own ({because})"] if is_free else []

    def _limit_memory(memory_mb: float) -> None:
        """Of what the process may write to; mapped files and shared memory are not counted."""
        most, (_, hard) = int(memory_mb * _MB), resource.getrlimit(resource.RLIMIT_DATA)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
