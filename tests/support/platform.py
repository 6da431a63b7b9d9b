"""`suho up` as a process, seen from outside."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil

from compose.embedded.facts import Facts
from compose.embedded.watch import Snapshot, settled
from mesh.channel import direct_channel
from mesh.environment import child_environment
from tests.support.waiting import eventually


def lost(account: Snapshot) -> dict[str, int]:
    """Ticks that were sent and nobody can account for, by symbol."""
    return {symbol: feed.sent - account.stored[symbol].accounted for symbol, feed in account.feeds.items()}


class RunningPlatform:
    """A `suho up` with its state in a folder of the test."""

    def __init__(self, process: asyncio.subprocess.Process, state: Path) -> None:
        self.process = process
        self.state = state
        self._output: list[str] = []
        self._messages: list[str] = []

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def mesh(self) -> dict[str, Any]:
        """mesh.json; empty before it is written."""
        try:
            facts: dict[str, Any] = json.loads((self.state / "mesh.json").read_text("utf-8"))
        except FileNotFoundError:
            return {}
        return facts

    @property
    def hubs(self) -> tuple[str, ...]:
        return tuple(self.mesh["hubs"])

    @property
    def twin(self) -> Path:
        """The twin's folder."""
        return Path(self.mesh["twin"])

    @property
    def server(self) -> str:
        """The twin's server name."""
        return str(self.mesh["server"])

    def pid_of(self, program: str) -> int | None:
        """None while it is not running."""
        pid: int | None = self.mesh.get("programs", {}).get(program, {}).get("pid")
        return pid

    def restarts_of(self, program: str) -> int:
        return int(self.mesh["programs"][program]["restarts"])

    def log_of(self, program: str) -> str:
        return (self.state / "logs" / f"{program}.log").read_text("utf-8", errors="replace")

    def kill(self, program: str) -> int:
        """SIGKILL to the program; its pid."""
        pid = self.pid_of(program)
        assert pid is not None, f"{program} is not running"
        os.kill(pid, signal.SIGKILL)
        return pid

    def everyone(self) -> list[psutil.Process]:
        """`suho up` and everything below it."""
        own = psutil.Process(self.pid)
        return [own, *own.children(recursive=True)]

    @property
    def output(self) -> str:
        """Standard output so far."""
        return "".join(self._output)

    @property
    def messages(self) -> str:
        """Standard error so far: what people see."""
        return "".join(self._messages)

    async def ready(self, timeout_s: float = 100) -> None:
        """Wait for "Ready in …"."""

        async def said() -> bool:
            over = self.process.returncode is not None
            assert not over or "Ready in" in self.messages, f"`suho up` ended:\n{self.messages}"
            return "Ready in" in self.messages

        await eventually(said, timeout_s)

    async def ended(self, timeout_s: float = 120) -> int:
        """Wait for its end; the exit status."""
        async with asyncio.timeout(timeout_s):
            return await self.process.wait()

    async def summary(self, timeout_s: float = 120) -> dict[str, Any]:
        """Wait for its end; the object on the last line of standard output."""
        await self.ended(timeout_s)
        lines = self.output.splitlines()
        assert lines, f"no summary:\n{self.messages[-4000:]}"
        facts: dict[str, Any] = json.loads(lines[-1])
        return facts

    async def account(self) -> Snapshot:
        """What was sent and what is stored, to the tick, as the summary has it; no tick comes from now on."""
        database = f"127.0.0.1:{self.mesh['ports']['database']}"
        async with direct_channel(self.hubs) as hubs, direct_channel([database]) as store:
            return await settled(Facts(hubs, store, self.server, self.twin))

    async def read(self) -> None:
        """Take in what it prints, until it ends."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        async with asyncio.TaskGroup() as group:
            group.create_task(_collect(self.process.stdout, self._output))
            group.create_task(_collect(self.process.stderr, self._messages))


@asynccontextmanager
async def run_platform(
    *arguments: str,
    state: Path | None = None,
    environment: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
) -> AsyncIterator[RunningPlatform]:
    """`suho up --ports auto --json` with `arguments`, ended with the block; without `state` in a temporary folder.

    A folder of ours stands in for --ephemeral, whose place only its own process knows. `prefix` is a command that
    becomes the one after it.
    """
    with contextlib.ExitStack() as stack:
        folder = state or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="suho-"))) / "state"
        process = await asyncio.create_subprocess_exec(
            *prefix,
            *(sys.executable, "-P", "-m", "cli", "up", "--state", str(folder), "--ports", "auto", "--json"),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=child_environment(environment or {}),
            start_new_session=True,
        )
        platform = RunningPlatform(process, folder)
        async with asyncio.TaskGroup() as group:
            group.create_task(platform.read())
            try:
                yield platform
            finally:
                await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(30):
                await process.wait()
        except TimeoutError:
            process.kill()
            raise


async def _collect(stream: asyncio.StreamReader, lines: list[str]) -> None:
    while line := await stream.readline():
        lines.append(line.decode("utf-8", "replace"))
