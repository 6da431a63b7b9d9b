"""One of several instances at a time: a lease that ends with its holder's connection."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable

from mesh.log import get_logger
from mesh.waiting import backoff
from services.database.postgres.heartbeat import open_alone, until_lost
from services.database.postgres.pool import UNAVAILABLE, Connection, Postgres

log = get_logger(__name__)

TICKS_SINK_LEASE = 0x5355484F_02
BACKFILL_SINK_LEASE = 0x5355484F_03
KAFKA_TICKS_LEASE = 0x5355484F_04
KAFKA_SIGNALS_LEASE = 0x5355484F_05

# How often a lease that another instance holds is tried for; who lost one lets the others try first.
_TRY_AGAIN_S = 0.25
_AFTER_OTHERS_S = 1.0

_HOLDER = (
    "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted"
    " AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND classid::bigint = $1::bigint >> 32 AND objid::bigint = $1::bigint & 4294967295 AND objsubid = 1"
)


class _LeaseLostError(Exception):
    pass


async def while_leased(dsn: str, lease: int, instance: str, work: Callable[[], Awaitable[None]]) -> None:
    """Run `work` whenever this process holds the lease; returns when `work` does, raises what it raises (in a group).

    Another instance has the lease as soon as the holder's connection is gone. Whoever loses it is cancelled, and stands
    by again. `instance` is what `holder` tells others.
    """
    for pause in backoff(_AFTER_OTHERS_S):
        try:
            async with open_alone(dsn, instance) as connection:
                await _acquire(connection, lease)
                if await _until_lost(connection, work):
                    return
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
    """By asking again and again: whoever waited within PostgreSQL would not notice that the connection died."""
    for tries in itertools.count(1):
        if await connection.fetchval("SELECT pg_try_advisory_lock($1)", lease):
            return
        if tries == 1:
            log.info("standing by: another instance holds the lease")
        await asyncio.sleep(_TRY_AGAIN_S)


async def _until_lost(connection: Connection, work: Callable[[], Awaitable[None]]) -> bool:
    """True when `work` ended by itself."""
    ended = False

    async def watch() -> None:
        await until_lost(connection)
        raise _LeaseLostError

    try:
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(watch(), name="lease")
            await work()
            ended = True
            watching.cancel()
    except* _LeaseLostError:
        log.warning("lease lost")
    return ended
