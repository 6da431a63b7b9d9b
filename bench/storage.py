"""How many bytes a stored tick takes, by codec: ClickHouse itself is asked, on the same ticks in the same order."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from bench.source import Source
from compose.embedded.alone import clickhouse
from services.database.clickhouse.arrow import numbers, words
from services.database.clickhouse.client import ClickHouse, open_clickhouse

_BLOCK = 500_000
# Our columns that say something; the rest are constants or nearly so.
_TYPES = {"time_msc": "Int64", "ordinal": "UInt32", "bid": "Float64", "ask": "Float64", "flags": "UInt32"}


@dataclass(frozen=True)
class Codecs:
    """One way to store the columns."""

    name: str
    time: str
    ordinal: str
    price: str
    flags: str


VARIANTS = (
    Codecs("plain", "NONE", "NONE", "NONE", "NONE"),
    Codecs("LZ4", "LZ4", "LZ4", "LZ4", "LZ4"),
    Codecs("ZSTD(1)", "ZSTD(1)", "ZSTD(1)", "ZSTD(1)", "ZSTD(1)"),
    Codecs("ZSTD(3)", "ZSTD(3)", "ZSTD(3)", "ZSTD(3)", "ZSTD(3)"),
    Codecs("Delta, ZSTD(1)", "Delta, ZSTD(1)", "T64, ZSTD(1)", "ZSTD(1)", "T64, ZSTD(1)"),
    Codecs("Delta, ZSTD(1); prices ZSTD(3)", "Delta, ZSTD(1)", "T64, ZSTD(1)", "ZSTD(3)", "T64, ZSTD(1)"),
    Codecs("Delta, ZSTD(1); prices Delta too", "Delta, ZSTD(1)", "T64, ZSTD(1)", "Delta, ZSTD(1)", "T64, ZSTD(1)"),
    Codecs("DoubleDelta + Gorilla", "DoubleDelta", "T64", "Gorilla", "T64"),
    Codecs(
        "DoubleDelta + Gorilla, ZSTD(1)", "DoubleDelta, ZSTD(1)", "T64, ZSTD(1)", "Gorilla, ZSTD(1)", "T64, ZSTD(1)"
    ),
    Codecs("DoubleDelta + FPC, ZSTD(1)", "DoubleDelta, ZSTD(1)", "T64, ZSTD(1)", "FPC, ZSTD(1)", "T64, ZSTD(1)"),
)


@dataclass(frozen=True)
class Size:
    """Bytes a tick of one variant: all columns, then the two that are large."""

    codecs: str
    bytes_per_tick: float
    time_bytes: float
    price_bytes: float


async def sizes(source: Source) -> AsyncIterator[Size]:
    """Every variant, on all ticks of `source`."""
    async with (
        clickhouse() as engine,
        open_clickhouse(f"{engine.url}/bench", engine.user, engine.password) as client,
    ):
        for number, codecs in enumerate(VARIANTS):
            yield await _size(client, f"ticks_{number}", codecs, source)


async def _size(client: ClickHouse, table: str, codecs: Codecs, source: Source) -> Size:
    by_column = {
        "time_msc": codecs.time,
        "ordinal": codecs.ordinal,
        "bid": codecs.price,
        "ask": codecs.price,
        "flags": codecs.flags,
    }
    definitions = ", ".join(f"{name} {_TYPES[name]} CODEC({codec})" for name, codec in by_column.items())
    await client.command(
        f"CREATE TABLE {table} (symbol LowCardinality(String), {definitions})"
        " ENGINE = MergeTree ORDER BY (symbol, time_msc, ordinal)"
    )
    for symbol in source.symbols:
        for at in range(0, len(symbol), _BLOCK):
            batch = symbol.slice(at, min(at + _BLOCK, len(symbol)))
            columns = {name: numbers(getattr(batch, name)) for name in _TYPES}
            rows = pa.table({"symbol": words([batch.symbol], np.array([len(batch)])), **columns})
            await client.insert(table, rows, {"async_insert": "0"})
    await client.command(f"OPTIMIZE TABLE {table} FINAL")
    found = await client.rows(
        "SELECT column, sum(column_data_compressed_bytes) AS bytes FROM system.parts_columns"
        " WHERE active AND database = currentDatabase() AND table = {table:String} GROUP BY column",
        table=table,
    )
    each = {row["column"]: row["bytes"] / source.ticks for row in found}
    return Size(codecs.name, sum(each.values()), each["time_msc"], each["bid"] + each["ask"])
