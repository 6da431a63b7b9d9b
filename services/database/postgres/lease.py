"""One of several instances at a time: a lease that ends with its holder's connection."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg

from mesh.log import get_logger
from mesh.waiting import backoff
from services.database.postgres.pool import UNAVAILABLE, Connection, Postgres

log = get_logger(__name__)

TICKS_SINK_LEASE = 0x5355484F_02
BACKFILL_SINK_LEASE = 0x5355484F_03
KAFKA_TICKS_LEASE = 0x5355484F_04
KAFKA_SIGNALS_LEASE = 0x5355484F_05

# A holder that is cut off from PostgreSQL stops, and PostgreSQL gives its lease on, within so many seconds each.
_BEAT_S = 2.0
_SILENCE_S = 6.0
_KEEPALIVE = {"tcp_keepalives_idle": "3", "tcp_keepalives_interval": "1", "tcp_keepalives_count": "3"}

_HOLDER = (
    "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted"
    " AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND classid::bigint = $1::bigint >> 32 AND objid::bigint = $1::bigint & 4294967295 AND objsubid = 1"
)


class _LeaseLostError(Exception):
    pass


async def while_leased(dsn: str, lease: int, instance: str, work: Callable[[], Awaitable[None]]) -> None:
    """Run `work` whenever this process holds the lease; returns when `work` does, raises what it raises (in a group).

    PostgreSQL gives the lease to the next in line as soon as the holder's connection is gone. Whoever loses it is
    cancelled, and stands in line again. `instance` is what `holder` tells others.
    """
    for pause in backoff():
        try:
            connection = await asyncpg.connect(
                dsn, timeout=5, server_settings={"application_name": instance, **_KEEPALIVE}
            )
            try:
                await _acquire(connection, lease)
                if await _until_lost(connection, work):
                    return
            finally:
                connection.terminate()
        except UNAVAILABLE as error:
            log.warning("lease not reachable", because=type(error).__name__)
        await asyncio.sleep(pause)


async def holder(postgres: Postgres, lease: int) -> str:
    """The instance that holds the lease; empty: none.

    Raises:
        MeshError: ENGINE_UNAVAILABLE.
    """
    async with postgres.connection() as connection:
        return str(await connection.fetchval(_HOLDER, lease) or "")


async def _acquire(connection: Connection, lease: int) -> None:
    if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", lease):
        log.info("standing by: another instance holds the lease")
        await connection.execute("SELECT pg_advisory_lock($1)", lease)


async def _until_lost(connection: Connection, work: Callable[[], Awaitable[None]]) -> bool:
    """True when `work` ended by itself."""
    lost = asyncio.Event()
    connection.add_termination_listener(lambda _: lost.set())

    async def watch() -> None:
        while not lost.is_set():
            try:
                async with asyncio.timeout(_BEAT_S):
                    await lost.wait()
            except TimeoutError:
                await _beat(connection, lost)
        raise _LeaseLostError

    try:
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(watch(), name="lease")
            await work()
            watching.cancel()
    except* _LeaseLostError:
        log.warning("lease lost")
    return not lost.is_set()


async def _beat(connection: Connection, lost: asyncio.Event) -> None:
    try:
        await connection.execute("SELECT 1", timeout=_SILENCE_S)
    except UNAVAILABLE:
        lost.set()
