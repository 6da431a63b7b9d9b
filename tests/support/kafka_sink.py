"""A process that does nothing but bring the tick log to Kafka, for tests that kill it: NATS_URL BOOTSTRAP."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mesh.bus import open_bus
from mesh.market import subjects
from services.database.jetstream import INTERRUPTED as LOG_INTERRUPTED
from services.database.jetstream import TickLog
from services.database.kafka.positions import TICKS_WRITER
from services.database.kafka.ticks import SecondLog, TickTopic
from services.database.kafka.topics import INTERRUPTED, Cluster
from services.database.kafka.writer import open_writer
from services.database.sink import Sink


@asynccontextmanager
async def kafka_sink(tick_log: TickLog, bootstrap: str) -> AsyncIterator[Sink]:
    """The sink of ticks, not running yet."""
    cluster = Cluster(bootstrap, 0)
    failures = (*LOG_INTERRUPTED, *INTERRUPTED)
    async with open_writer(cluster, TICKS_WRITER, "zstd") as writer:
        store = TickTopic(cluster, writer, tick_log.name)
        yield Sink(SecondLog(tick_log), store, 2 << 20, failures, print, "test", lambda _: None)


async def main(nats_url: str, bootstrap: str) -> None:
    async with open_bus(nats_url, "test") as bus:
        tick_log = TickLog(bus, subjects.TICKS_STREAM, 256 << 20, "log_max_bytes")
        async with kafka_sink(tick_log, bootstrap) as sink:
            await sink.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
