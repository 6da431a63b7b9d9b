"""The way to ClickHouse: its HTTP interface."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, OperationalError

from mesh.config import SettingsError
from mesh.errors import MeshError, Reason
from mesh.log import get_logger
from mesh.waiting import until_available
from services.database.domain.migration import Migration, pending

log = get_logger(__name__)

# What a failed statement raises: the engine away, or refusing.
FAILED: tuple[type[Exception], ...] = (ClickHouseError, OSError)

_TIMEOUT_S = 60
_PIECE = 1 << 20
_WAIT = {"async_insert": "0", "wait_end_of_query": "1"}
_AUTHENTICATION_FAILED = "AUTHENTICATION_FAILED"


class ClickHouse:
    """One database of a ClickHouse server."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of a query with `{name:Type}` parameters.

        Raises:
            MeshError: ENGINE_UNAVAILABLE.
        """
        with answering():
            result = await self._client.query(sql, parameters=parameters)
        return list(result.named_results())

    async def records(self, sql: str, row: np.dtype[Any], **parameters: Any) -> npt.NDArray[Any]:
        """The rows of a query whose columns are the numbers of `row`, in its order, each as wide as there.

        Raises:
            MeshError: ENGINE_UNAVAILABLE.
        """
        with answering():
            data = await self._client.raw_query(sql, parameters=parameters, fmt="RowBinary")
        return np.frombuffer(data, row)

    async def command(self, sql: str, **parameters: Any) -> None:
        await self._client.command(sql, parameters=parameters)

    async def insert(self, table: str, rows: pa.Table, settings: Mapping[str, str]) -> int:
        """Insert synchronously, as one block. A request is sent once, never again by itself.

        Returns:
            How many rows ClickHouse says it wrote.
        """
        block = memoryview(await asyncio.to_thread(_block, rows))

        async def once() -> AsyncIterator[bytes]:  # a plain body would be repeated by the client when in doubt
            for start in range(0, len(block), _PIECE):
                yield bytes(block[start : start + _PIECE])

        summary = await self._client.raw_insert(table, rows.schema.names, once(), settings=dict(settings), fmt="Arrow")
        return summary.written_rows

    async def insert_json(self, table: str, rows: Sequence[str]) -> None:
        """Insert rows, each a JSON object, into a table that does not mind one twice. Raises one of FAILED."""
        block = "\n".join(rows).encode()
        await self._client.raw_insert(table, None, block, settings=dict(_WAIT), fmt="JSONEachRow")


@asynccontextmanager
async def open_clickhouse(url: str, user: str, password: str) -> AsyncIterator[ClickHouse]:
    """Wait for ClickHouse, make the database when it is missing; a client for as long as the block runs.

    Raises:
        SettingsError: user or password are refused.
    """
    parts = urlsplit(url)
    database = parts.path.strip("/")

    async def attempt() -> AsyncClient:
        await _make_database(parts.scheme, parts.hostname or "", parts.port or 8123, user, password, database)
        return await _client(parts.scheme, parts.hostname or "", parts.port or 8123, user, password, database)

    client = await until_available("clickhouse", attempt, FAILED)
    try:
        yield ClickHouse(client)
    finally:
        await client.close()


async def migrate(clickhouse: ClickHouse, available: tuple[Migration, ...]) -> None:
    """Apply what is pending, statement by statement, each migration recorded when all of it is in.

    ClickHouse has no transactions and no lock for this: hold PostgreSQL's.

    Raises:
        MigrationError: an applied file was changed.
    """
    await clickhouse.command(
        "CREATE TABLE IF NOT EXISTS schema_migrations (name String, checksum String, applied_at DateTime DEFAULT now())"
        " ENGINE = MergeTree ORDER BY name"
    )
    applied = await clickhouse.rows("SELECT name, checksum FROM schema_migrations")
    for migration in pending(available, [(row["name"], row["checksum"]) for row in applied]):
        for statement in migration.statements:
            await clickhouse.command(statement)
        await clickhouse.command(
            "INSERT INTO schema_migrations (name, checksum) SELECT {name:String}, {checksum:String}",
            name=migration.name,
            checksum=migration.checksum,
        )
        log.info("migrated", engine="clickhouse", migration=migration.name)


@contextmanager
def answering() -> Iterator[None]:
    """Raises MeshError ENGINE_UNAVAILABLE for what the client raises when ClickHouse is away."""
    try:
        yield
    except (OperationalError, OSError) as error:
        raise MeshError(
            Reason.ENGINE_UNAVAILABLE, f"ClickHouse does not answer ({type(error).__name__}); try again"
        ) from error


def _block(rows: pa.Table) -> pa.Buffer:
    """Arrow's file format."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, rows.schema) as writer:
        writer.write_table(rows)
    return sink.getvalue()


async def _client(scheme: str, host: str, port: int, user: str, password: str, database: str) -> AsyncClient:
    return await clickhouse_connect.get_async_client(
        interface=scheme,
        host=host,
        port=port,
        username=user,
        password=password,
        database=database,
        compress=False,  # loopback and local networks are faster than the compressor
        autogenerate_session_id=False,  # statements of one session would wait for each other
        query_retries=0,
        connect_timeout=5,
        send_receive_timeout=_TIMEOUT_S,
    )


async def _make_database(scheme: str, host: str, port: int, user: str, password: str, database: str) -> None:
    try:
        client = await _client(scheme, host, port, user, password, "default")
    except DatabaseError as error:
        if _AUTHENTICATION_FAILED in str(error):
            raise SettingsError("setting 'clickhouse_user' or 'clickhouse_password': ClickHouse refuses them") from None
        raise
    try:
        await client.command("CREATE DATABASE IF NOT EXISTS {name:Identifier}", parameters={"name": database})
    finally:
        await client.close()
