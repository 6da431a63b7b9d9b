"""The store's file: opened, brought up to date, put aside when it can not be read."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from mesh.log import get_logger
from pc_agent.store.migrations import migrations

log = get_logger(__name__)

Connection = duckdb.DuckDBPyConnection

# A few rows want few threads and little memory, and nothing is ever fetched: no extension, no other file.
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "threads": "1",
    "async_threads": "1",
    "memory_limit": "64MB",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
}
# In this order: each takes the right to what came before.
_CLOSED = ("SET temp_directory = ''", "SET enable_external_access = false", "SET lock_configuration = true")


class StoreMigrationError(Exception):
    """The file was written by a newer version, or a migration was changed; the message says which."""


@dataclass(frozen=True, slots=True)
class StoreFile:
    connection: Connection
    # Where one lies that could not be read; a new one was begun.
    damaged: Path | None


def open_file(file: Path) -> StoreFile:
    """The file, its schema up to date. One that is damaged is kept beside a new one.

    Raises:
        StoreMigrationError
    """
    try:
        return StoreFile(_ready(file), None)
    except duckdb.Error as error:
        if not file.exists():
            raise
        aside = _put_aside(file)
        log.error("the store could not be read and is begun anew", kept_as=str(aside), because=str(error)[:300])
        return StoreFile(_ready(file), aside)


def _ready(file: Path) -> Connection:
    connection = duckdb.connect(file, config=_CONFIG)
    try:
        for statement in _CLOSED:
            connection.execute(statement)
        _migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _put_aside(file: Path) -> Path:
    number = 1
    while (aside := file.with_name(f"{file.name}.damaged-{number}")).exists():
        number += 1
    file.rename(aside)
    log_file = file.with_name(f"{file.name}.wal")
    if log_file.exists():
        log_file.rename(aside.with_name(f"{aside.name}.wal"))
    return aside


@contextmanager
def transaction(connection: Connection) -> Iterator[Connection]:
    """All or nothing. What is committed goes into the file at once, as one that dies leaves no log to be replayed."""
    connection.begin()
    try:
        yield connection
    except BaseException:
        connection.rollback()
        raise
    connection.commit()
    connection.execute("CHECKPOINT")


def _migrate(connection: Connection) -> None:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migration (name VARCHAR PRIMARY KEY, checksum VARCHAR NOT NULL)"
    )
    applied = dict(connection.execute("SELECT name, checksum FROM schema_migration ORDER BY name").fetchall())
    available = {name: (sql, _checksum(sql)) for name, sql in migrations()}
    for name, checksum in applied.items():
        if name not in available:
            raise StoreMigrationError(f"the store was written by a newer version ({name}): run that one")
        if available[name][1] != checksum:
            raise StoreMigrationError(f"{name} was changed after it was applied: restore it and add a new migration")
    for name, (sql, checksum) in available.items():
        if name not in applied:
            with transaction(connection):
                connection.execute(sql)
                connection.execute("INSERT INTO schema_migration VALUES (?, ?)", [name, checksum])


def _checksum(sql: str) -> str:
    return hashlib.sha256(sql.replace("\r\n", "\n").encode()).hexdigest()  # line ends are a checkout's business
