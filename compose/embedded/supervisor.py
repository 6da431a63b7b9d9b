"""Keeps programs running: starts them together, restarts what dies, ends them in order."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from compose.embedded.process import Process, Watch, spawn
from compose.embedded.program import CannotStartError, Program

_PROBE_EVERY_S = 0.05
# After this long a program is well again, and its next death counts as its first.
_WELL_AFTER_S = 60.0
_STOP_WITHIN_S = 4.5
_LONGEST_STOP_S = 1.5
_TAIL_LINES = 12


class Phase(StrEnum):
    """Where a program is in its life."""

    STARTING = "starting"
    READY = "ready"
    WAITING = "waiting to restart"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Patience:
    """How a program that dies is restarted."""

    first_s: float = 1.0
    most_s: float = 64.0
    well_after_s: float = _WELL_AFTER_S

    def pauses(self) -> Iterator[float]:
        """1, 2, 4 … 64, 64 … seconds."""
        pause = self.first_s
        while True:
            yield pause
            pause = min(pause * 2, self.most_s)


@dataclass(frozen=True)
class LogLimit:
    """How long a program's log may become, and how often that is looked at."""

    most_bytes: int = 16 * 1024**2
    every_s: float = 30.0


class Supervised:
    """A program and how it is doing."""

    def __init__(self, program: Program, log: Path) -> None:
        self.program = program
        self.log = log
        self.phase = Phase.STARTING
        self.restarts = 0
        self.process: Process | None = None
        # Where in its log the present run begins.
        self.log_start = 0
        self.ready = asyncio.Event()
        # From the start of the supervisor to the first time it was ready.
        self.ready_s: float | None = None

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process and self.process.returncode is None else None


Tell = Callable[[str], None]


class Supervisor:
    """Runs `programs`, which end in the order of `stop_order`: groups of names, first to last."""

    def __init__(
        self,
        programs: Iterable[Program],
        stop_order: Sequence[Collection[str]],
        log: Callable[[str], Path],
        watch: Watch,
        tell: Tell,
        changed: Callable[[], None] = lambda: None,
        patience: Patience = Patience(),
        log_limit: LogLimit = LogLimit(),
    ) -> None:
        self.supervised = {program.name: Supervised(program, log(program.name)) for program in programs}
        self._stop_order = stop_order
        self._watch = watch
        self._tell = tell
        self._changed = changed
        self._patience = patience
        self._log_limit = log_limit
        self._began = time.monotonic()

    async def run(self, stop: asyncio.Event) -> None:
        """Keep everything running until `stop` is set, then end everything.

        Raises:
            CannotStartError: (in a group) a program says that a setting is wrong, or can not be started at all.
        """
        self._began = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                work = [group.create_task(self._keep(one)) for one in self.supervised.values()]
                work.append(group.create_task(self._keep_logs_short()))
                await stop.wait()
                for task in work:
                    task.cancel()
        finally:
            await self._stop_all()

    async def until_ready(self, names: Iterable[str] | None = None) -> None:
        """Wait until all of `names` (default: all there are) have been ready once."""
        for name in names or self.supervised:
            await self.supervised[name].ready.wait()

    async def _keep(self, one: Supervised) -> None:
        pauses = self._patience.pauses()
        while True:
            one.phase = Phase.STARTING
            started = time.monotonic()
            status = await self._run_once(one)
            if status == os.EX_CONFIG:
                raise CannotStartError(f"{one.name} can not start with its settings:\n{_tail(one)}")
            if time.monotonic() - started > self._patience.well_after_s:
                pauses = self._patience.pauses()
            pause = next(pauses)
            one.restarts += 1
            one.phase = Phase.WAITING
            lines = f"\n{_tail(one)}" if status > 0 and not one.ready.is_set() else ""
            self._tell(f"{one.name} {_how_it_ended(status)}; starting it again in {pause:g} s{lines}")
            self._changed()
            await asyncio.sleep(pause)

    async def _keep_logs_short(self) -> None:
        while True:
            for one in self.supervised.values():
                try:
                    _keep_short(one, self._log_limit.most_bytes)
                except OSError as error:
                    self._tell(f"the log of {one.name} grows beyond its size: {error.strerror}")
            await asyncio.sleep(self._log_limit.every_s)

    async def _run_once(self, one: Supervised) -> int:
        program = one.program
        one.log_start = one.log.stat().st_size if one.log.exists() else 0
        await program.prepare(one.log)
        try:
            one.process = process = await spawn(
                program.command,
                one.log,
                death_signal=program.death_signal,
                uid=program.uid,
                environment=program.environment,
                watch=self._watch,
            )
        except OSError as error:
            raise CannotStartError(f"{one.name} can not be started: {program.command[0]}: {error.strerror}") from None
        self._changed()
        async with asyncio.TaskGroup() as group:
            probing = group.create_task(self._until_ready(one))
            status = await process.wait()
            probing.cancel()
        return status

    async def _until_ready(self, one: Supervised) -> None:
        while True:
            if await one.program.ready():
                break
            await asyncio.sleep(_PROBE_EVERY_S)
        one.phase = Phase.READY
        if one.ready_s is None:
            one.ready_s = time.monotonic() - self._began
            one.ready.set()
        self._changed()

    async def _stop_all(self) -> None:
        """Group after group; who does not end in time is killed, so that all is over within five seconds."""
        deadline = time.monotonic() + _STOP_WITHIN_S
        for number, names in enumerate(self._stop_order):
            left = deadline - time.monotonic()
            later = 0.15 * (len(self._stop_order) - number - 1)
            await self._stop_group(names, max(0.1, min(_LONGEST_STOP_S, left - later)))
        for one in self.supervised.values():
            one.phase = Phase.STOPPED

    async def _stop_group(self, names: Collection[str], patience_s: float) -> None:
        async with asyncio.TaskGroup() as group:
            for name in names:
                one = self.supervised.get(name)
                if one is not None and one.process is not None and one.process.returncode is None:
                    group.create_task(self._stop(one.process, one, patience_s))

    async def _stop(self, process: Process, one: Supervised, patience_s: float) -> None:
        if await process.stop(one.program.stop_signal, patience_s) == -signal.SIGKILL:
            self._tell(f"{one.name} did not end within {patience_s:.1f} s and was killed")


def _keep_short(one: Supervised, most_bytes: int) -> None:
    """A long log becomes `….log.1`, in place of the one before: programs append, so theirs goes on from nothing."""
    if one.log.exists() and one.log.stat().st_size > most_bytes:
        shutil.copyfile(one.log, one.log.with_name(one.log.name + ".1"))
        os.truncate(one.log, 0)
        one.log_start = 0


def _how_it_ended(status: int) -> str:
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def _tail(one: Supervised) -> str:
    """The last lines that its last run wrote, indented."""
    try:
        with one.log.open("rb") as file:
            file.seek(max(file.seek(0, 2) - 8192, one.log_start))
            lines = file.read().decode("utf-8", "replace").splitlines()[-_TAIL_LINES:]
    except OSError as error:
        lines = [f"(no log: {error.strerror})"]
    return "\n".join(f"    {line}" for line in lines)
