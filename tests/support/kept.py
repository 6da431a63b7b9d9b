"""A program that is started again at once, however it ends."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from mesh.environment import child_environment


class Kept:
    """`python -m MODULE ARGUMENTS`; what it says goes to `log`."""

    def __init__(self, module: str, *arguments: str, log: Path, environment: Mapping[str, str] | None = None) -> None:
        self._command = (sys.executable, "-P", "-m", module, *arguments)
        self._log = log
        self._environment = child_environment(environment or {})
        self._process: asyncio.subprocess.Process | None = None
        self.starts = 0

    @property
    def pid(self) -> int | None:
        """None while it is not running."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def run(self) -> None:
        """Keep it, for ever; it ends with this."""
        try:
            while True:
                with self._log.open("ab") as log:
                    self._process = await asyncio.create_subprocess_exec(
                        *self._command,
                        stdin=asyncio.subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        env=self._environment,
                    )
                self.starts += 1
                await self._process.wait()
        finally:
            if self.pid is not None:
                assert self._process is not None
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._process.pid, signal.SIGCONT)
                    self._process.terminate()
                await self._process.wait()


@asynccontextmanager
async def keeping(*programs: Kept) -> AsyncIterator[None]:
    """All of them, as long as the block lasts."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(program.run()) for program in programs]
        yield
        for task in running:
            task.cancel()
