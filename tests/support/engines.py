"""The real engines, each alone, for tests: fixtures that give the address and the credentials.

Tests share a session's engine, so they make databases, streams and key prefixes of their own.
"""

from collections.abc import AsyncIterator

import pytest_asyncio

from compose.embedded.alone import clickhouse, nats, postgres, valkey
from compose.embedded.clickhouse import ClickHouse
from compose.embedded.nats import Nats
from compose.embedded.postgres import Postgres
from compose.embedded.valkey import Valkey


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


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def nats_engine() -> AsyncIterator[Nats]:
    """A module's own: streams bear names that programs give them, so that what one leaves another would meet."""
    async with nats() as engine:
        yield engine
