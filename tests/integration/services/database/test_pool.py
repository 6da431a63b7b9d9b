"""Connections that are lent on."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from services.database.config import DatabaseSettings
from services.database.postgres.pool import Connection, open_postgres

pytestmark = pytest.mark.integration


async def test_a_caller_that_leaves_between_preparing_and_executing_leaves_nothing_behind(
    settings: DatabaseSettings,
) -> None:
    """Else the next one's snapshot would begin within the statement's transaction, which PostgreSQL refuses."""

    async def leaves(connection: Connection) -> None:
        await connection.prepare("SELECT count(*) FROM pg_class")
        raise asyncio.CancelledError

    await _is_lent_on_clean(settings, leaves, asyncio.CancelledError)


async def test_an_argument_that_does_not_fit_leaves_nothing_behind(settings: DatabaseSettings) -> None:
    """It is found between preparing and executing."""

    async def misfits(connection: Connection) -> None:
        await connection.fetch("SELECT count(*) FROM pg_class WHERE oid = $1", "no number")

    await _is_lent_on_clean(settings, misfits, asyncpg.DataError)


async def _is_lent_on_clean(
    settings: DatabaseSettings, use: Callable[[Connection], Awaitable[None]], raised: type[BaseException]
) -> None:
    async with open_postgres(settings.postgres_dsn.get_secret_value(), 2) as postgres:
        lent: list[int] = []

        async def interrupted() -> None:
            async with postgres.connection() as connection:
                lent.append(connection.get_server_pid())
                await use(connection)

        with pytest.raises(raised):
            await interrupted()
        async with postgres.snapshot() as again:
            assert [again.get_server_pid()] == lent
            assert await again.fetchval("SHOW transaction_isolation") == "repeatable read"
