"""Drives `plain_caller.py`: a process that knows the mesh only through gRPC's xDS bootstrap."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mesh.channel import bootstrap
from tests.support.hub import ECHO

WHO = f"/{ECHO}/Who"
# `stop` tells every reply there was.
_LONGEST_ANSWER = 64 << 20
_SCRIPT = Path(__file__).with_name("plain_caller.py")


class PlainClient:
    """The process's commands as methods."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def ask(self, *words: object) -> Any:
        """Send a command and give its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join(map(str, words)).encode() + b"\n")
        async with asyncio.timeout(30):
            line = await self._process.stdout.readline()
        assert line, "the client died"
        return json.loads(line)

    async def call(self, path: str = WHO, **headers: str) -> Any:
        """One call through `xds:///mesh`."""
        return await self.ask("call", path, *(f"{name.replace('_', '-')}={value}" for name, value in headers.items()))

    async def replies(self, number: int, **headers: str) -> Counter[str]:
        """Who answered so many calls, one after the other."""
        return Counter([(await self.call(**headers)).get("reply", "") for _ in range(number)])


@asynccontextmanager
async def run_client(
    address: str,
    dependencies: Iterable[str] = (),
    *,
    zone: str = "",
    heeds_errors: bool = False,
    go: Path | None = None,
) -> AsyncIterator[PlainClient]:
    """A client of the hub at `address`, isolated from this project's code.

    Args:
        heeds_errors: It takes a hub's word that there is no such resource.
        go: `tests/go/xdsclient`, to be run in place of the Python script.
    """
    made = bootstrap([address], "plain-1", "plain", dependencies, zone, separate=go is not None)
    environment = {"GRPC_XDS_BOOTSTRAP_CONFIG": json.dumps(made)}
    if heeds_errors:
        environment["GRPC_EXPERIMENTAL_XDS_DATA_ERROR_HANDLING"] = "true"
    command = (str(go),) if go is not None else (sys.executable, "-I", str(_SCRIPT))
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, env=environment, limit=_LONGEST_ANSWER
    )
    try:
        yield PlainClient(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
