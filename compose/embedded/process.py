"""A child process that does not outlive its parent."""

import asyncio
import contextlib
import errno
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from mesh.environment import child_environment

# Linux: the kernel signals the child when we vanish. A program asks for it rather than a function between fork and
# exec, because that would really fork, and gRPC's threads do not survive a fork.
_SETPRIV = shutil.which("setpriv")


class Watch(Protocol):
    """Told of every child, so that it can end them when this process is killed."""

    def add(self, pid: int, death_signal: int) -> None: ...
    def remove(self, pid: int) -> None: ...


class Unwatched:
    """For children that Linux's death signal alone looks after."""

    def add(self, pid: int, death_signal: int) -> None:
        pass

    def remove(self, pid: int) -> None:
        pass


class Process:
    """One running child, the leader of a session and process group of its own."""

    def __init__(self, child: asyncio.subprocess.Process, watch: Watch) -> None:
        self._child = child
        self._watch = watch

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def returncode(self) -> int | None:
        return self._child.returncode

    async def wait(self) -> int:
        """Its exit status, negative for a signal; what it left of its group is killed."""
        status = await self._child.wait()
        self.kill()
        self._watch.remove(self.pid)
        return status

    def send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._child.send_signal(number)

    def kill(self) -> None:
        """SIGKILL to it and its children."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a group of zombies
            os.killpg(self.pid, signal.SIGKILL)

    async def stop(self, number: signal.Signals, patience_s: float) -> int:
        """Ask with `number`, kill after `patience_s`."""
        self.send(number)
        try:
            async with asyncio.timeout(patience_s):
                return await self.wait()
        except TimeoutError:
            self.kill()
            return await self.wait()


async def spawn(
    command: Sequence[str],
    log: Path,
    *,
    death_signal: signal.Signals = signal.SIGTERM,
    uid: int | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: int | None = None,
    watch: Watch | None = None,
) -> Process:
    """Start `command` with its output appended to `log`. Call it in the main thread.

    Linux ties a death signal to the *thread* that started the child, which must therefore live as long as we do.
    A session of its own keeps Ctrl-C away from it: who started it ends it, in order.

    Raises:
        OSError: there is no such program.
    """
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command[0])
    identity: dict[str, Any] = {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = await asyncio.create_subprocess_exec(
            *_tied_to_us(death_signal),
            *command,
            stdin=asyncio.subprocess.DEVNULL if stdin is None else stdin,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            env=_environment(environment or {}),
            start_new_session=True,
            **identity,
        )
    process = Process(child, watch or Unwatched())
    process._watch.add(process.pid, death_signal)
    return process


async def run_once(command: Sequence[str], log: Path, **how: Any) -> int:
    """Run `command` to its end; its exit status. It is killed when the caller is cancelled."""
    process = await spawn(command, log, **how)
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.kill()


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    inherited = child_environment(extra)
    inherited.pop("GRPC_XDS_BOOTSTRAP_CONFIG", None)  # who *we* are in the mesh
    return inherited


def _tied_to_us(death_signal: signal.Signals) -> tuple[str, ...]:
    return (_SETPRIV, "--pdeathsig", death_signal.name.removeprefix("SIG"), "--") if _SETPRIV else ()
