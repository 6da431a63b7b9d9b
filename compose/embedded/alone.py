"""One engine alone, for as long as a block runs, with its data in a temporary folder."""

import asyncio
import secrets
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from compose.embedded.clickhouse import ClickHouse
from compose.embedded.nats import Member, Nats
from compose.embedded.ports import free_ports
from compose.embedded.postgres import Postgres
from compose.embedded.process import Process, spawn
from compose.embedded.program import CannotStartError, Program
from compose.embedded.valkey import Valkey

_READY_WITHIN_S = 30.0
_LOOK_S = 0.02


@asynccontextmanager
async def running(program: Program, log: Path) -> AsyncIterator[Process]:
    """`program`, ready, until the end of the block.

    Raises:
        CannotStartError: it ended, or was not ready in time.
    """
    await program.prepare(log)
    process = await spawn(
        program.command, log, uid=program.uid, death_signal=program.death_signal, environment=program.environment
    )
    try:
        await _until_ready(program, process, log)
        yield process
    finally:
        if process.returncode is None:
            await process.stop(program.stop_signal, 5)


async def _until_ready(program: Program, process: Process, log: Path) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while not await program.ready():
        if process.returncode is not None or time.monotonic() > deadline:
            raise CannotStartError(f"{program.name} did not become ready; its log is {log}")
        await asyncio.sleep(_LOOK_S)


@asynccontextmanager
async def postgres() -> AsyncIterator[Postgres]:
    """A PostgreSQL of its own; `.dsn`."""
    with tempfile.TemporaryDirectory(prefix="suho-") as folder:
        engine = Postgres(Path(folder) / "postgres", free_ports(1)[0], secrets.token_hex(8))
        async with running(engine.program(), Path(folder) / "postgres.log"):
            yield engine


@asynccontextmanager
async def clickhouse() -> AsyncIterator[ClickHouse]:
    """A ClickHouse of its own; `.url`, `.port`, `.user`, `.password`."""
    with tempfile.TemporaryDirectory(prefix="suho-") as folder:
        engine = ClickHouse(Path(folder) / "clickhouse", free_ports(1)[0], secrets.token_hex(8))
        async with running(engine.program(), Path(folder) / "clickhouse.log"):
            yield engine


@asynccontextmanager
async def valkey() -> AsyncIterator[Valkey]:
    """A Valkey of its own; `.url`."""
    with tempfile.TemporaryDirectory(prefix="suho-") as folder:
        engine = Valkey(Path(folder) / "valkey", free_ports(1)[0], secrets.token_hex(8))
        async with running(engine.program(), Path(folder) / "valkey.log"):
            yield engine


@asynccontextmanager
async def nats(survives_power_loss: bool = False) -> AsyncIterator[Nats]:
    """A NATS with JetStream of its own; `.url`."""
    with tempfile.TemporaryDirectory(prefix="suho-") as folder:
        engine = Nats(Path(folder) / "nats", free_ports(1)[0], secrets.token_hex(8), survives_power_loss)
        async with running(engine.program(), Path(folder) / "nats.log"):
            yield engine


class NatsCluster:
    """Three NATS servers that hold JetStream together; each can die, be paused, and come back."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        ports, password = free_ports(6), secrets.token_hex(8)
        clients, routes = ports[:3], ports[3:]
        self.nodes = tuple(
            Nats(
                folder / f"nats-{number}",
                clients[number - 1],
                password,
                name=f"nats-{number}",
                member=Member(route, tuple(port for port in routes if port != route)),
            )
            for number, route in enumerate(routes, 1)
        )
        self._running: dict[int, tuple[Process, AsyncExitStack]] = {}

    @property
    def url(self) -> str:
        """Of all three, separated by commas."""
        return ",".join(node.url for node in self.nodes)

    async def start(self, index: int) -> None:
        """Start one that does not run, with the data it had."""
        stack = AsyncExitStack()
        node = self.nodes[index]
        process = await stack.enter_async_context(running(node.program(), self._folder / f"{node.name}.log"))
        self._running[index] = process, stack

    async def kill(self, index: int) -> None:
        """SIGKILL, also to one that is paused."""
        process, stack = self._running.pop(index)
        process.kill()
        await process.wait()
        await stack.aclose()

    def pause(self, index: int) -> None:
        """It keeps its connections, and does nothing."""
        self._running[index][0].send(signal.SIGSTOP)

    def resume(self, index: int) -> None:
        """It goes on where it was."""
        self._running[index][0].send(signal.SIGCONT)

    async def stop(self) -> None:
        """End all that run."""
        for index in list(self._running):
            await self.kill(index)


@asynccontextmanager
async def nats_cluster() -> AsyncIterator[NatsCluster]:
    """Three NATS servers of their own on loopback; `.url`, `.nodes`. JetStream is there two seconds later."""
    with tempfile.TemporaryDirectory(prefix="suho-") as folder:
        cluster = NatsCluster(Path(folder))
        try:
            for index in range(3):
                await cluster.start(index)
            yield cluster
        finally:
            await cluster.stop()
