"""One of several instances at a time: a lease that ends with its holder's connection."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg

from mesh.log import get_logger
from mesh.waiting import backoff
from services.database.postgres.pool import UNAVAILABLE, Connection

log = get_logger(__name__)

SINK_LEASE = 0x5355484F_02


class _LeaseLostError(Exception):
    pass


async def while_leased(dsn: str, lease: int, work: Callable[[], Awaitable[None]]) -> None:
    """Run `work` whenever this process holds the lease; returns when `work` does, raises what it raises (in a group).

    PostgreSQL gives the lease to the next in line as soon as the holder's connection is gone. Whoever loses it is
    cancelled, and stands in line again.
    """
    for pause in backoff():
        try:
            connection = await asyncpg.connect(dsn, timeout=5)
            try:
                await _acquire(connection, lease)
                if await _until_lost(connection, work):
                    return
            finally:
                connection.terminate()
        except UNAVAILABLE as error:
            log.warning("lease not reachable", because=type(error).__name__)
        await asyncio.sleep(pause)


async def _acquire(connection: Connection, lease: int) -> None:
    if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", lease):
        log.info("standing by: another instance holds the lease")
        await connection.execute("SELECT pg_advisory_lock($1)", lease)


async def _until_lost(connection: Connection, work: Callable[[], Awaitable[None]]) -> bool:
    """True when `work` ended by itself."""
    lost = asyncio.Event()
    connection.add_termination_listener(lambda _: lost.set())

    async def watch() -> None:
        await lost.wait()
        raise _LeaseLostError

    try:
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(watch(), name="lease")
            await work()
            watching.cancel()
    except* _LeaseLostError:
        log.warning("lease lost")
    return not lost.is_set()
