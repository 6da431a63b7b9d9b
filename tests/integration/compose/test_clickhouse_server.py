"""The embedded ClickHouse as clickhouse-connect's async client sees it."""

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import clickhouse_connect
import numpy as np
import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from compose.embedded.alone import running
from compose.embedded.clickhouse import ClickHouse
from compose.embedded.ports import free_ports

pytestmark = pytest.mark.integration


def _connect(engine: ClickHouse, **options: Any) -> Any:
    return clickhouse_connect.get_async_client(
        host="127.0.0.1", port=engine.port, username=engine.user, password=engine.password, **options
    )


@pytest.fixture
async def client(clickhouse_engine: ClickHouse) -> AsyncIterator[Any]:
    """A client whose database is the test's own."""
    database = f"test_{secrets.token_hex(4)}"
    async with await _connect(clickhouse_engine) as first:
        await first.command(f"CREATE DATABASE {database}")
        async with await _connect(clickhouse_engine, database=database) as own:
            yield own
        await first.command(f"DROP DATABASE {database}")


def _ticks(rows: int) -> pa.Table:
    return pa.table({"id": np.arange(rows, dtype=np.uint64), "bid": np.linspace(1.0, 2.0, rows)})


async def _create(client: Any) -> None:
    await client.command("CREATE TABLE ticks (id UInt64, bid Float64) ENGINE = MergeTree ORDER BY id")


async def test_insert_and_query(client: Any) -> None:
    """Rows inserted as Arrow and as Python values come back, and the summary counts what was written."""
    await _create(client)
    summary = await client.insert_arrow("ticks", _ticks(5_000))
    assert summary.written_rows == 5_000
    summary = await client.insert("ticks", [[10_000, 1.5], [10_001, 1.6]], column_names=["id", "bid"])
    assert summary.written_rows == 2
    answer = await client.query("SELECT count(), max(id) FROM ticks")
    assert answer.result_rows == [(5_002, 10_001)]


async def test_summary_counts_insert_select(client: Any) -> None:
    """An INSERT … SELECT says how many rows it wrote."""
    await _create(client)
    summary = await client.command("INSERT INTO ticks SELECT number, 1.0 FROM numbers(77)")
    assert summary.written_rows == 77


async def test_uncompressed_and_compressed_inserts(clickhouse_engine: ClickHouse, client: Any) -> None:
    """Each compression that the client knows, and none, stores the same rows."""
    await _create(client)
    for compression in (False, "lz4", "zstd", "gzip"):
        async with await _connect(clickhouse_engine, database=client.database, compress=compression) as other:
            await other.insert_arrow("ticks", _ticks(100))
    assert await client.command("SELECT count() FROM ticks") == 400


async def test_parameters_and_settings(client: Any) -> None:
    """{name:Type} parameters reach the engine unharmed, and so do settings."""
    awkward = "it's \\ a\ttab, a\nline and {x}"
    answer = await client.query(
        "SELECT {text:String}, {number:Int64}, getSetting('max_threads')",
        parameters={"text": awkward, "number": -7},
        settings={"max_threads": 3},
    )
    assert answer.result_rows == [(awkward, -7, 3)]


async def test_comments_and_log_comment(client: Any) -> None:
    """SQL may begin and end with comments, and log_comment is a setting like any other."""
    sql = "-- why\n/* and\nhow */ SELECT getSetting('log_comment') -- end"
    assert (await client.query(sql, settings={"log_comment": "mark"})).result_rows == [("mark",)]


async def test_comments_before_an_insert(client: Any) -> None:
    """An INSERT behind a comment still finds its data."""
    await _create(client)
    await client.raw_insert("ticks", ["id", "bid"], "1\t1.5\n2\t1.6\n", fmt="TSV")
    await client.command("/* two */ INSERT INTO ticks FORMAT TSV", data="3\t1.5\n4\t1.5\n")
    await client.command("INSERT INTO ticks VALUES (5, 1.0)")
    assert await client.command("SELECT sum(id) FROM ticks") == 15


async def test_settings_do_not_leak(client: Any) -> None:
    """What SET and USE change ends with the request."""
    before = await client.command("SELECT getSetting('max_block_size')")
    await asyncio.gather(*(client.command("SET max_block_size = 7") for _ in range(8)))
    await client.command("USE system")
    values = await asyncio.gather(*(client.command("SELECT getSetting('max_block_size')") for _ in range(8)))
    assert set(values) == {before}
    assert await client.command("SELECT currentDatabase()") == client.database


async def test_errors_carry_clickhouses_codes(client: Any) -> None:
    """A refusal is a DatabaseError with ClickHouse's number and name; the connection goes on."""
    for sql, code, name in (
        ("SELECT * FROM missing", 60, "UNKNOWN_TABLE"),
        ("SELEC 1", 62, "SYNTAX_ERROR"),
        ("SELECT throwIf(1)", 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
        ("SELECT 1; SELECT 2", 62, "SYNTAX_ERROR"),
    ):
        with pytest.raises(DatabaseError) as refusal:
            await client.query(sql)
        assert (refusal.value.code, refusal.value.name) == (code, name)
    assert await client.command("SELECT 1") == 1


async def test_broken_insert_stores_nothing(client: Any) -> None:
    """Data that ends in the middle are refused, and no row is there."""
    await _create(client)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, _ticks(1000).schema) as writer:
        writer.write_table(_ticks(1000))
    with pytest.raises(DatabaseError):
        await client.raw_insert("ticks", None, sink.getvalue().to_pybytes()[:5000], fmt="ArrowStream")
    assert await client.command("SELECT count() FROM ticks") == 0


async def test_wrong_password(clickhouse_engine: ClickHouse) -> None:
    """A stranger is refused with ClickHouse's own code."""
    with pytest.raises(DatabaseError) as refusal:
        await clickhouse_connect.get_async_client(
            host="127.0.0.1", port=clickhouse_engine.port, username=clickhouse_engine.user, password="wrong"
        )
    assert refusal.value.code == 516


async def test_kill_query_by_log_comment(client: Any) -> None:
    """A running query can be found by its log_comment and killed."""
    mark = secrets.token_hex(4)
    slow = asyncio.ensure_future(
        client.query(
            "SELECT sleepEachRow(0.1) FROM numbers(1000) SETTINGS max_block_size = 1",
            settings={"log_comment": mark, "function_sleep_max_microseconds_per_block": 0},
        )
    )
    while not slow.done():  # asked to wait for the end itself, ClickHouse now and then waits for the query's own
        await client.command(f"KILL QUERY WHERE Settings['log_comment'] = '{mark}' AND read_rows > 0 ASYNC")
    # Killed while it waits it is an error, killed while it writes its answer it just ends short.
    (ended,) = await asyncio.gather(slow, return_exceptions=True)
    if isinstance(ended, DatabaseError):
        assert ended.code == 394
    else:
        assert len(ended.result_rows) < 1000


async def test_kill_9_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    """Rows whose insert was answered are there after SIGKILL and a new start."""
    engine = ClickHouse(tmp_path / "clickhouse", free_ports(1)[0], "secret")
    log = tmp_path / "clickhouse.log"
    async with running(engine.program(), log) as process, await _connect(engine) as client:
        await _create(client)
        for _ in range(20):
            await client.insert_arrow("ticks", _ticks(100))
        process.send(signal.SIGKILL)
        await process.wait()
    async with running(engine.program(), log), await _connect(engine) as client:
        assert await client.command("SELECT count() FROM ticks") == 2000
    assert "secret" not in log.read_text()
