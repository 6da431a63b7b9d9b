"""What can go wrong with a running platform: processes killed or paused, ports cut off from everybody."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import psutil

from tests.support.platform import RunningPlatform

# The worker is the agent's child; all others stand in mesh.json.
PROGRAMS = (
    *("hub", "database", "data-bridge", "trading-engine", "pc-agent", "worker", "twin"),
    *("postgres", "clickhouse", "valkey", "nats"),
)
PORTS = ("hub", "database", "data-bridge", "postgres", "clickhouse", "valkey", "nats")


@dataclass(frozen=True)
class Fault:
    """One thing that happens, `after_s` the one before it; pauses and partitions last `for_s`."""

    after_s: float
    kind: str
    target: str
    for_s: float = 0.0

    def __str__(self) -> str:
        lasts = f" for {self.for_s:.1f} s" if self.for_s else ""
        return f"{self.after_s:4.1f} s later: {self.kind} {self.target}{lasts}"


def schedule(
    seed: int,
    partitions: bool,
    programs: Sequence[str] = PROGRAMS,
    ports: Sequence[str] = PORTS,
    every_s: float = 2.5,
) -> Iterator[Fault]:
    """Faults without end, the same for the same seed; every program is hit before one is hit again."""
    chance = random.Random(seed)
    while True:
        round_of: list[tuple[str, str]] = [("kill", name) for name in programs]
        round_of += [("pause", name) for name in chance.sample(programs, 4)]
        round_of += [("partition", name) for name in chance.sample(ports, 4)] if partitions else []
        chance.shuffle(round_of)
        for kind, target in round_of:
            lasts = 0.0 if kind == "kill" else chance.uniform(0.5, 6.0)
            yield Fault(chance.uniform(0.4 * every_s, 1.6 * every_s), kind, target, lasts)


class Faults:
    """Does to `platform` what a schedule says; keeps what was done."""

    def __init__(self, platform: RunningPlatform, pids: Mapping[str, Callable[[], int | None]] | None = None) -> None:
        """`pids`: programs beside the platform's, or in place of them."""
        self._platform = platform
        self._pids = pids or {}
        self._enough = asyncio.Event()
        self.done: list[dict[str, object]] = []

    def stop(self) -> None:
        """Finish the fault that is under way, and begin no other."""
        self._enough.set()

    async def run(self, faults: Iterator[Fault], for_s: float | None = None) -> None:
        """One after another, for so long or until `stop`; at the end everything runs and is reachable again."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(for_s):
                for fault in faults:
                    if await self._is_enough(fault.after_s):
                        return
                    self.done.append(asdict(fault) | {"hit": await self._do(fault)})

    async def _is_enough(self, within_s: float) -> bool:
        try:
            async with asyncio.timeout(within_s):
                return await self._enough.wait()
        except TimeoutError:
            return False

    async def _do(self, fault: Fault) -> bool:
        """Whether there was somebody to hit."""
        if fault.kind == "partition":
            with cut_off(self._platform.mesh["ports"][fault.target]):
                await asyncio.sleep(fault.for_s)
            return True
        pid = self._pid(fault.target)
        if pid is None:
            return False
        if fault.kind == "kill":
            return _signal(pid, signal.SIGKILL)
        with _paused(pid):
            await asyncio.sleep(fault.for_s)
        return True

    def _pid(self, name: str) -> int | None:
        if name != "worker":
            return self._pids.get(name, partial(self._platform.pid_of, name))()
        try:
            agent = psutil.Process(self._pid("pc-agent"))
            return next((one.pid for one in agent.children() if "spawn_main" in " ".join(one.cmdline())), None)
        except psutil.NoSuchProcess:
            return None


@contextlib.contextmanager
def _paused(pid: int) -> Iterator[None]:
    _signal(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def prepare_network() -> None:
    """In a network namespace of our own: loopback, with room for rules before the one that delivers locally."""
    for command in ("ip link set lo up", "ip rule del pref 0", "ip rule add pref 100 lookup local"):
        subprocess.run(command.split(), check=True, capture_output=True)


@contextlib.contextmanager
def cut_off(port: int) -> Iterator[None]:
    """What is sent to `port` vanishes, and what it answers finds no connection; connections stay as they are."""
    rule = f"pref 10 ipproto tcp dport {port} blackhole"
    subprocess.run(["ip", "rule", "add", *rule.split()], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["ip", "rule", "del", *rule.split()], check=True, capture_output=True)
