"""The engines from wheels, one by one."""

import asyncpg
import nats as nats_client
import pytest
import redis.asyncio as redis

from compose.embedded.clickhouse import ClickHouse
from compose.embedded.nats import Nats
from compose.embedded.postgres import Postgres
from compose.embedded.valkey import Valkey

pytestmark = pytest.mark.integration


async def test_postgres_answers(postgres_engine: Postgres) -> None:
    """A client with the DSN reaches PostgreSQL 18 with UTF-8 and checksums."""
    connection = await asyncpg.connect(postgres_engine.dsn)
    try:
        assert (await connection.fetchval("SHOW server_version")).startswith("18.")
        assert await connection.fetchval("SHOW server_encoding") == "UTF8"
        assert await connection.fetchval("SHOW data_checksums") == "on"
    finally:
        await connection.close()


async def test_postgres_wants_the_password(postgres_engine: Postgres) -> None:
    """A wrong password is refused."""
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres_engine.dsn.replace(postgres_engine.password, "wrong"))


async def test_valkey_answers(valkey_engine: Valkey) -> None:
    """A client with the URL writes and reads; one without the password does not."""
    async with redis.from_url(valkey_engine.url) as client:
        await client.set("key", "value")
        assert await client.get("key") == b"value"
    async with redis.Redis(port=valkey_engine.port, retry=None) as stranger:
        with pytest.raises(redis.AuthenticationError):
            await stranger.get("key")


async def test_nats_answers(nats_engine: Nats) -> None:
    """A client with the URL declares a stream and publishes to it."""
    client = await nats_client.connect(nats_engine.url)
    try:
        stream = client.jetstream()
        await stream.add_stream(name="TRIAL", subjects=["trial.>"])
        assert (await stream.publish("trial.a", b"x")).seq == 1
    finally:
        await client.close()


async def test_clickhouse_answers(clickhouse_engine: ClickHouse) -> None:
    """A clickhouse-connect client reaches it over HTTP."""
    import clickhouse_connect

    client = await clickhouse_connect.get_async_client(
        host="127.0.0.1",
        port=clickhouse_engine.port,
        username=clickhouse_engine.user,
        password=clickhouse_engine.password,
    )
    try:
        assert str(await client.command("SELECT version()")).startswith("26.")
    finally:
        await client.close()
