"""A connection that is kept for long: when it dies without a word, both ends notice within seconds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from services.database.postgres.pool import UNAVAILABLE, Connection

_BEAT_S = 2.0
_SILENCE_S = 6.0
# PostgreSQL gives up, and with it what the connection holds, an end that does not answer for as long.
_SERVER = {
    "tcp_keepalives_idle": "3",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "6000",  # keepalives are not sent while an answer waits to be acknowledged
}


@asynccontextmanager
async def open_alone(dsn: str, name: str) -> AsyncIterator[Connection]:
    """A connection of no pool, on which a statement that is not answered fails within seconds.

    Args:
        name: What others see of it in `pg_stat_activity`.
    """
    connection = await asyncpg.connect(
        dsn, timeout=_SILENCE_S, command_timeout=_SILENCE_S, server_settings={"application_name": name, **_SERVER}
    )
    try:
        yield connection
    finally:
        connection.terminate()


async def until_lost(connection: Connection) -> None:
    """Returns when the connection has ended, or PostgreSQL does not answer on it any more."""
    ended = asyncio.Event()
    connection.add_termination_listener(lambda _: ended.set())
    while not ended.is_set():
        try:
            async with asyncio.timeout(_BEAT_S):
                await ended.wait()
        except TimeoutError:
            try:
                await connection.execute("SELECT 1")
            except UNAVAILABLE:
                return
