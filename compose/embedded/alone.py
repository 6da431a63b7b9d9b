"""One engine alone, for as long as a block runs, with its data in a temporary folder."""

import asyncio
import secrets
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from compose.embedded.clickhouse import ClickHouse
from compose.embedded.nats import Nats
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
