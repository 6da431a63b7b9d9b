"""Connections to PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import asyncpg

from mesh.config import SettingsError
from mesh.errors import MeshError, Reason
from mesh.log import get_logger
from mesh.waiting import until_available
from services.database.domain.migration import Migration, pending

log = get_logger(__name__)

Connection = Any  # asyncpg's own, or one that its pool lends

# Any number that nothing else in this database locks.
_MIGRATION_LOCK = 0x5355484F_01
_COMMAND_TIMEOUT_S = 10

# What is raised while the engine is away, going down, lets nobody in, or can not write for a while: the same statement
# may succeed later. An OSError covers refused and reset connections, and timeouts.
UNAVAILABLE: tuple[type[Exception], ...] = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.TransactionRollbackError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InterfaceError,
    # Of a connection that was cut while it greeted: the first statement finds it in no state for one.
    asyncpg.InternalClientError,
)
# What a wrong setting is answered with at the start.
_NOT_LET_IN = (
    asyncpg.ClientConfigurationError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InsufficientPrivilegeError,
)


class Postgres:
    """A pool whose connections say clearly when the engine is away."""

    def __init__(self, pool: "asyncpg.Pool", dsn: str) -> None:
        self._pool = pool
        self.dsn = dsn

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection, one statement a transaction.

        Raises:
            MeshError: ENGINE_UNAVAILABLE. What else PostgreSQL raises stays what it is.
        """
        try:
            async with self._pool.acquire(timeout=_COMMAND_TIMEOUT_S) as connection:
                try:
                    yield connection
                except (Exception, asyncio.CancelledError):
                    await _end_statement(connection)
                    raise
        except UNAVAILABLE as error:
            raise MeshError(
                Reason.ENGINE_UNAVAILABLE,
                f"PostgreSQL is away or can not do it now ({type(error).__name__}); try again",
            ) from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection within a transaction that commits at the block's end, and rolls back when it raises."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """A connection that only reads, all of it as of one moment."""
        async with (
            self.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield connection


@contextmanager
def storing(table: str) -> Iterator[None]:
    """Raises MeshError INVALID_ARGUMENT, for who told them, when PostgreSQL refuses the values for rows of `table`.

    What another table refuses, or a key that we count ourselves, is no fault of theirs.
    """
    try:
        yield
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
        if isinstance(error, asyncpg.IntegrityConstraintViolationError) and (
            error.table_name != table or error.constraint_name == f"{table}_pkey"
        ):
            raise
        raise MeshError(Reason.INVALID_ARGUMENT, f"PostgreSQL can not store this: {error.args[0]}") from error


async def _end_statement(connection: Connection) -> None:
    """End the transaction of a statement that was prepared and then never executed.

    asyncpg prepares and executes in two messages. Cut off between them (a caller that left, an argument that does not
    fit), the server keeps the statement's transaction open, and whoever is lent the connection next would be within it.
    """
    with suppress(*UNAVAILABLE):
        await connection.execute("SELECT 1")


async def _leave_as_it_is(_: Connection) -> None:
    """Every setting here is a transaction's own: the usual reset would be one more round trip on a signal's way."""


@asynccontextmanager
async def open_postgres(dsn: str, connections: int) -> AsyncIterator[Postgres]:
    """Wait for PostgreSQL; a pool for as long as the block runs."""

    async def attempt() -> "asyncpg.Pool":
        try:
            return await asyncpg.create_pool(
                dsn,
                min_size=2,
                max_size=connections,
                command_timeout=_COMMAND_TIMEOUT_S,
                timeout=5,
                reset=_leave_as_it_is,
                # A signal that comes after a quiet hour must not be the one that waits for its statement to be planned.
                max_cached_statement_lifetime=0,
            )
        except _NOT_LET_IN as error:
            raise SettingsError(f"setting 'postgres_dsn': PostgreSQL refuses it ({type(error).__name__})") from None

    pool = await until_available("postgres", attempt, UNAVAILABLE)
    try:
        yield Postgres(pool, dsn)
    finally:
        pool.terminate()


@asynccontextmanager
async def migration_lock(postgres: Postgres) -> AsyncIterator[Connection]:
    """One instance at a time prepares the engines; the others wait here."""
    async with postgres.connection() as connection:
        await connection.execute("SELECT pg_advisory_lock($1)", _MIGRATION_LOCK, timeout=120)
        try:
            yield connection
        finally:
            await connection.execute("SELECT pg_advisory_unlock($1)", _MIGRATION_LOCK)


async def migrate(connection: Connection, available: tuple[Migration, ...]) -> None:
    """Apply what is pending, each migration in a transaction with its record. Hold `migration_lock`.

    Raises:
        MigrationError: an applied file was changed.
    """
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations"
        " (name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    applied = await connection.fetch("SELECT name, checksum FROM schema_migrations")
    for migration in pending(available, [(row["name"], row["checksum"]) for row in applied]):
        async with connection.transaction():
            await connection.execute(migration.sql, timeout=120)
            await connection.execute(
                "INSERT INTO schema_migrations (name, checksum) VALUES ($1, $2)", migration.name, migration.checksum
            )
        log.info("migrated", engine="postgres", migration=migration.name)
