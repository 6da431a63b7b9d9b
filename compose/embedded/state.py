"""The state folder of `suho up`: one owner at a time, passwords made once, ports remembered."""

import fcntl
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from compose.embedded import guard as guard_program
from compose.embedded.private import write_private
from compose.embedded.program import CannotStartError

# A killed `suho up` leaves its guard, which holds the lock until the last process has ended.
_GUARD_PATIENCE_S = 4.0


class StateLockedError(CannotStartError):
    """Another `suho up` owns the folder."""


class Guard:
    """The program that ends ours when we are killed; see guard.py."""

    def __init__(self, lock: int, ephemeral: Path | None) -> None:
        self._lock = lock
        self._command = [sys.executable, "-I", "-S", str(guard_program.__file__), str(ephemeral or "")]
        self._running: dict[int, int] = {}
        self._child = self._start()

    def add(self, pid: int, death_signal: int) -> None:
        self._running[pid] = death_signal
        self._tell(f"+{pid} {death_signal}\n")

    def remove(self, pid: int) -> None:
        self._running.pop(pid, None)
        self._tell(f"-{pid}\n")

    def close(self) -> None:
        """It ends what is still running, then itself."""
        self._child.communicate()

    def _start(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self._command, stdin=subprocess.PIPE, pass_fds=(self._lock,), start_new_session=True, text=True
        )

    def _tell(self, line: str) -> None:
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(line)
            self._child.stdin.flush()
        except BrokenPipeError:  # it was killed; the next one must know them all
            self._child.wait()
            self._child = self._start()
            for pid, death_signal in self._running.items():
                self._tell(f"+{pid} {death_signal}\n")


class State:
    """An open state folder."""

    def __init__(self, folder: Path, guard: Guard) -> None:
        self.folder = folder
        self.guard = guard

    @property
    def config(self) -> Path:
        return self.folder / "config"

    def log(self, program: str) -> Path:
        return self.folder / "logs" / f"{program}.log"

    def password(self, name: str) -> str:
        """Made when first asked for; the same ever after."""
        path = self.folder / "passwords.json"
        known: dict[str, str] = _read_json(path)
        if name not in known:
            known[name] = secrets.token_urlsafe(24)
            write_private(path, json.dumps(known, indent=2))
        return known[name]

    def ports(self) -> dict[str, int]:
        return _read_json(self.folder / "ports.json")

    def remember_ports(self, ports: Mapping[str, int]) -> None:
        write_private(self.folder / "ports.json", json.dumps(dict(ports), indent=2))

    def write_mesh(self, facts: Mapping[str, Any]) -> None:
        """What other commands read to find this mesh."""
        write_private(self.folder / "mesh.json", json.dumps(dict(facts), indent=2))


@contextmanager
def open_state(folder: Path | None) -> Iterator[State]:
    """Own `folder` until the end of the block; None: a temporary one, gone afterwards.

    Raises:
        StateLockedError: naming the process that owns it.
        CannotStartError: the folder can not be made.
    """
    ephemeral = folder is None
    path = Path(tempfile.mkdtemp(prefix="suho-")) if folder is None else folder.expanduser().resolve()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise CannotStartError(f"state folder {path} can not be used: {error.strerror}") from None
    try:
        _lock(lock, path)
        guard = Guard(lock, path if ephemeral else None)
        try:
            yield State(path, guard)
        finally:
            guard.close()
    finally:
        os.close(lock)
        if ephemeral:
            shutil.rmtree(path, ignore_errors=True)


def _lock(lock: int, path: Path) -> None:
    deadline = time.monotonic() + _GUARD_PATIENCE_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = int(os.pread(lock, 32, 0) or 0)
            if time.monotonic() > deadline or (holder and psutil.pid_exists(holder)):
                raise StateLockedError(
                    f"state folder {path} is in use by another `suho up` (pid {holder}): stop that one, or give "
                    "another folder with --state"
                ) from None
            time.sleep(0.05)
        else:
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
            return


def _read_json(path: Path) -> dict[str, Any]:
    try:
        read: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise CannotStartError(f"{path} is damaged ({error}): repair or remove it") from None
    return read
