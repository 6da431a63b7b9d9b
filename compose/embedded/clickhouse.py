"""ClickHouse from the wheel `chdb-core`, in a process of its own behind ClickHouse's HTTP interface."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from compose.embedded import tcp
from compose.embedded.private import write_private
from compose.embedded.program import Program

_USER = "suho"


@dataclass(frozen=True)
class ClickHouse:
    """A ClickHouse on loopback that keeps its data in `folder`."""

    folder: Path
    port: int
    password: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def user(self) -> str:
        return _USER

    def program(self) -> Program:
        command = (sys.executable, "-P", "-m", "compose.embedded.clickhouse_server", "--config", str(self._config))
        return Program("clickhouse", command, self._ready, prepare=self._prepare)

    @property
    def _config(self) -> Path:
        return self.folder / "clickhouse.toml"

    async def _prepare(self, _log: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "state_dir": str(self.folder.resolve()),
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        write_private(self._config, "\n".join(lines) + "\n")

    async def _ready(self) -> bool:
        return await tcp.answers(self.port, b"GET /ping HTTP/1.0\r\n\r\n", b"Ok.")
