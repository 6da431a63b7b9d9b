"""The engine inside chdb: one statement at a time, each on a connection of its own."""

import re
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any


def _import_chdb() -> ModuleType:
    """chdb takes pyarrow and numpy along when it finds them; without, a start is half a second shorter."""
    hidden = [name for name in ("pyarrow", "numpy") if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: "not there"
    try:
        import chdb
    finally:
        for name in hidden:
            del sys.modules[name]
    return chdb


chdb = _import_chdb()

# Merges share two cores with everything else; the defaults are meant for a machine of ClickHouse's own.
_CONFIG = """\
<clickhouse>
  <timezone>UTC</timezone>
  <max_server_memory_usage>{memory_bytes}</max_server_memory_usage>
  <background_pool_size>2</background_pool_size>
  <background_merges_mutations_concurrency_ratio>2</background_merges_mutations_concurrency_ratio>
  <background_common_pool_size>2</background_common_pool_size>
  <background_move_pool_size>1</background_move_pool_size>
  <background_fetches_pool_size>1</background_fetches_pool_size>
  <background_schedule_pool_size>4</background_schedule_pool_size>
  <merge_tree>
    <number_of_free_entries_in_pool_to_execute_mutation>1</number_of_free_entries_in_pool_to_execute_mutation>
    <number_of_free_entries_in_pool_to_lower_max_size_of_merge>1</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
    <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>1</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>
  </merge_tree>
</clickhouse>
"""

_COMMENT = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)"
_IS_INSERT = re.compile(rf"{_COMMENT}*INSERT\b", re.IGNORECASE | re.DOTALL)
# The statement's own end: everything after it is data.
_INSERT_FORMAT = re.compile(r"\bFORMAT\s+(\w+)[ \t]*(?:;?\s*$|\r?\n)", re.IGNORECASE)
_LAST_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_STATEMENT_HEAD = 1 << 16


class EngineError(Exception):
    """ClickHouse refused; `code` is its own error number."""

    def __init__(self, message: str) -> None:
        # chdb writes a sentence of its own before ClickHouse's.
        start = max(message.find("Code: "), 0)
        super().__init__(message[start:])
        code = re.match(r"Code: (\d+)", message[start:])
        self.code = int(code[1]) if code else 1001  # STD_EXCEPTION


@dataclass(frozen=True)
class Request:
    """One statement as it came: SQL, the data of an insert, parameters by name, settings by name."""

    sql: bytes
    data: bytes = b""
    database: str = ""
    default_format: str = "TabSeparated"
    parameters: Mapping[str, str] | None = None
    settings: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Result:
    """What a statement gave; rows and bytes are counts."""

    body: bytes
    # None: a statement that has no result set, which clients tell from an empty one.
    format: str | None = None
    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    elapsed_s: float = 0.0


class Engine:
    """The one engine of this process, over the data in `folder`.

    A connection costs half a millisecond, so each statement gets one: what SET and USE change ends with it, and two
    requests can not meet in a session.
    """

    def __init__(self, folder: Path, memory_bytes: int) -> None:
        config = folder / "config.xml"
        config.write_text(_CONFIG.format(memory_bytes=memory_bytes), "utf-8")
        self._address = f"{folder / 'data'}?config-file={config}"
        self._opening = threading.Lock()
        # Without an open connection the engine would shut down between requests.
        self._resident = chdb.connect(self._address)
        self.version = str(self._resident.query("SELECT version()", "TabSeparated").bytes(), "ascii").strip()

    def close(self) -> None:
        self._resident.close()

    def execute(self, request: Request) -> Result:
        """Run it and wait.

        Raises:
            EngineError: ClickHouse's own refusal.
        """
        with self._opening:
            connection = chdb.connect(self._address)
        try:
            for statement in _session(request):
                connection.query(statement, "TabSeparated")
            head = request.sql[:_STATEMENT_HEAD].decode("utf-8", "surrogateescape")
            inline = _INSERT_FORMAT.search(head) if _IS_INSERT.match(head) else None
            if inline:
                statement_bytes = len(head[: inline.end()].encode("utf-8", "surrogateescape"))
                data = request.sql[statement_bytes:] + request.data
                return _insert(connection, head[: inline.start()], inline[1], data)
            return _query(connection, request)
        except (RuntimeError, chdb.ChdbError) as error:
            raise EngineError(str(error)) from None
        finally:
            connection.close()


def _session(request: Request) -> list[str]:
    """What makes the connection the request's own."""
    statements = []
    if request.database:
        statements.append(f"USE `{request.database.replace('`', '``')}`")
    if request.settings:
        pairs = (f"{_name(name)} = {_literal(value)}" for name, value in request.settings.items())
        statements.append(f"SET {', '.join(pairs)}")
    return statements


def _insert(connection: Any, statement: str, data_format: str, data: bytes) -> Result:
    with connection.send_insert(statement, data_format) as inserter:
        inserter.append(data)
        done = inserter.finish()
    return Result(b"", None, 0, 0, done.rows_written, done.bytes_written, done.elapsed)


def _query(connection: Any, request: Request) -> Result:
    sql = request.sql.decode("utf-8", "surrogateescape")
    if request.data:
        sql += "\n" + request.data.decode("utf-8", "surrogateescape")
    kind = connection._conn.classify_query(sql)
    if kind["statement_count"] > 1:
        raise EngineError("Code: 62. DB::Exception: Syntax error: multi-statements are not allowed. (SYNTAX_ERROR)")
    answer = connection.query(sql, request.default_format, params=dict(request.parameters or {}))
    body, stated = answer.bytes() or b"", _LAST_FORMAT.search(sql)
    reads = bool(body) or kind["query_class"].name == "READ_ONLY"
    return Result(
        body,
        (stated[1] if stated else request.default_format) if reads else None,
        answer.storage_rows_read(),
        answer.storage_bytes_read(),
        answer.rows_written(),
        answer.bytes_written(),
        answer.elapsed(),
    )


def _name(name: str) -> str:
    if not re.fullmatch(r"\w+", name):
        raise EngineError(f"Code: 115. DB::Exception: Setting {name!r} is neither a builtin one nor a word.")
    return name


def _literal(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
