"""The real engines, each alone, for tests: session-wide fixtures that give the address and the credentials.

Tests share a session's engine, so they make databases, streams and key prefixes of their own.
"""

import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest_asyncio

from compose.embedded.clickhouse import ClickHouse
from compose.embedded.nats import Nats
from compose.embedded.ports import free_ports
from compose.embedded.postgres import Postgres
from compose.embedded.process import Process, spawn
from compose.embedded.program import Program
from compose.embedded.valkey import Valkey
from tests.support.waiting import eventually


@asynccontextmanager
async def running(program: Program, log: Path) -> AsyncIterator[Process]:
    """`program`, ready, until the end of the block."""
    await program.prepare(log)
    process = await spawn(
        program.command, log, uid=program.uid, death_signal=program.death_signal, environment=program.environment
    )

    async def ready() -> bool:
        assert process.returncode is None, f"{program.name} ended; its log is {log}"
        return await program.ready()

    try:
        await eventually(ready, timeout_s=30)
        yield process
    finally:
        if process.returncode is None:
            await process.stop(program.stop_signal, 5)


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
async def nats() -> AsyncIterator[Nats]:
    """A NATS with JetStream of its own; `.url`."""
    with tempfile.TemporaryDirectory(prefix="suho-") as folder:
        engine = Nats(Path(folder) / "nats", free_ports(1)[0], secrets.token_hex(8))
        async with running(engine.program(), Path(folder) / "nats.log"):
            yield engine


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres_engine() -> AsyncIterator[Postgres]:
    async with postgres() as engine:
        yield engine


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def clickhouse_engine() -> AsyncIterator[ClickHouse]:
    async with clickhouse() as engine:
        yield engine


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def valkey_engine() -> AsyncIterator[Valkey]:
    async with valkey() as engine:
        yield engine


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def nats_engine() -> AsyncIterator[Nats]:
    async with nats() as engine:
        yield engine
