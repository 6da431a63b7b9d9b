"""What the engines can do by themselves, without anything of ours in the way."""

import asyncio
import time
from collections import deque

import nats
import numpy as np
import pyarrow as pa
from nats.js.api import PubAck
from suho.market.v1 import tick_pb2

from bench.source import Source
from compose.embedded.alone import clickhouse
from compose.embedded.alone import nats as nats_alone
from mesh.clock import unix_ns
from mesh.market import codec
from services.database.clickhouse.arrow import tick_rows
from services.database.clickhouse.client import migrate, open_clickhouse
from services.database.domain.annotation import Annotations
from services.database.domain.log import Ticks
from services.database.migrations import migrations

_BLOCK = 100_000
_MESSAGE_TICKS = 2_000
_UNDER_WAY = 64


async def clickhouse_insert(source: Source, most: int) -> float:
    """Rows a second of ClickHouse's own Arrow insert: our table, blocks of 100,000 rows made beforehand."""
    async with (
        clickhouse() as engine,
        open_clickhouse(f"{engine.url}/suho", engine.user, engine.password) as client,
    ):
        await migrate(client, migrations("clickhouse"))
        blocks = [_rows(source, at) for at in range(min(most, source.ticks) // _BLOCK)]
        began = time.perf_counter()
        for block in blocks:
            await client.insert("ticks", block, {"async_insert": "0", "wait_end_of_query": "1"})
        return len(blocks) * _BLOCK / (time.perf_counter() - began)


def _rows(source: Source, number: int) -> pa.Table:
    symbol = source.symbols[number % len(source.symbols)]
    at = number // len(source.symbols) * _BLOCK % max(1, len(symbol) - _BLOCK)
    batch = symbol.slice(at, min(at + _BLOCK, len(symbol)))
    notes = Annotations(batch.time_msc, np.zeros(len(batch), np.uint32))
    return tick_rows([Ticks(number + 1, batch)], notes, 1, unix_ns())


async def jetstream(source: Source, most: int, survives_power_loss: bool = False) -> float:
    """Ticks a second into a JetStream file stream, 2,000 a message, confirmed, 64 messages under way."""
    batches = source.batches(_MESSAGE_TICKS, most)
    messages = [tick_pb2.TickBatchTwin(**codec.fields(batch)).SerializeToString() for batch in batches]
    async with nats_alone(survives_power_loss) as engine:
        bus = await nats.connect(engine.url)
        try:
            stream = bus.jetstream()
            await stream.add_stream(name="BENCH", subjects=["bench.>"])
            began = time.perf_counter()
            under_way: deque[asyncio.Future[PubAck]] = deque()
            for message in messages:
                under_way.append(await stream.publish_async("bench.ticks", message))
                if len(under_way) == _UNDER_WAY:
                    await under_way.popleft()
            for confirmed in under_way:
                await confirmed
            return sum(map(len, batches)) / (time.perf_counter() - began)
        finally:
            await bus.close()
