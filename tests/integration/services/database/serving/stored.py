"""Made-up ticks as the sink stores them."""

from typing import Any

import numpy as np
import pyarrow as pa

from mesh.market import BEFORE_FIRST, Batch
from mesh.market.batch import COLUMNS, ordinals
from services.database.clickhouse.client import ClickHouse

SETTINGS = {"async_insert": "0", "wait_end_of_query": "1"}
SYMBOL = "EURUSD"
# A Saturday, 23:00: an hour later a day, a week and a month begin.
START_MSC = 1_772_323_200_000 - 3_600_000


def made(server: str, count: int, seed: int, start_msc: int = START_MSC, gap_ms: int = 5000, **fields: Any) -> Batch:
    """`count` ticks, bursts and gaps among them; some without a bid, some without an ask."""
    rng = np.random.default_rng(seed)
    steps = rng.choice([0, 0, 1, gap_ms], count)
    time_msc = start_msc + np.cumsum(steps)
    bid = np.round(1.1 + np.cumsum(rng.integers(-5, 6, count)) * 1e-5, 5)
    ask = np.round(bid + rng.integers(-1, 9, count) * 1e-5, 5)
    return Batch(
        server=server,
        symbol=SYMBOL,
        agent="pc-1",
        read_unix_ns=1,
        prev=BEFORE_FIRST,
        time_msc=time_msc,
        ordinal=ordinals(time_msc),
        bid=np.where(rng.random(count) < 0.05, 0.0, bid),
        ask=np.where(rng.random(count) < 0.05, 0.0, ask),
        last=np.where(rng.random(count) < 0.5, 0.0, bid),
        volume_real=np.where(rng.random(count) < 0.5, 0.0, rng.integers(1, 9, count) / 4),
        volume=rng.integers(0, 2**63, count).astype(np.uint64) >> np.uint64(40),
        flags=rng.integers(0, 2**32, count).astype(np.uint32),
        **fields,
    )


async def store(clickhouse: ClickHouse, batch: Batch, **more: Any) -> None:
    """Insert as it is, again if it was there before."""
    for piece in batch.by_month():
        count = len(piece)
        columns = {name: pa.array(np.ascontiguousarray(getattr(piece, name))) for name in COLUMNS}
        columns |= {name: pa.array([getattr(piece, name)] * count) for name in ("server", "symbol", "agent")}
        columns["generation"] = pa.array(np.full(count, piece.generation, np.uint32))
        columns |= {name: pa.array(np.full(count, value)) for name, value in more.items()}
        await clickhouse.insert("ticks", pa.table(columns), SETTINGS)


async def correct(clickhouse: ClickHouse, server: str, generation: int, from_msc: int, to_msc: int) -> None:
    """From here on `generation` stands in that range."""
    await clickhouse.command(
        "INSERT INTO tick_corrections (server, symbol, generation, from_msc, to_msc) SELECT"
        " {server:String}, {symbol:String}, {generation:UInt32}, {from_msc:Int64}, {to_msc:Int64}",
        server=server,
        symbol=SYMBOL,
        generation=generation,
        from_msc=from_msc,
        to_msc=to_msc,
    )


def within(batch: Batch, from_msc: int, to_msc: int) -> Batch:
    start, stop = np.searchsorted(batch.time_msc, [from_msc, to_msc]).tolist()
    return batch.slice(start, stop)
