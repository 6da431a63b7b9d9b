"""Made-up ticks, and what the log holds of them."""

import itertools

import numpy as np
from nats.aio.client import Client
from nats.js.api import DeliverPolicy
from suho.market.v1 import tick_pb2

from mesh.market import BEFORE_FIRST, Batch, TickId, codec
from mesh.market.batch import ordinals
from mesh.market.subjects import TICKS_STREAM, tick_subject

SERVER = "twin-1"
# 2026-03-02T00:00:00Z: a day's worth of ticks stays within the month.
START_MSC = 1_772_409_600_000


def history(count: int, symbol: str = "EURUSD", start_msc: int = START_MSC, prev: TickId = BEFORE_FIRST) -> Batch:
    """`count` ticks, three to a millisecond."""
    time_msc = start_msc + np.arange(count) // 3
    points = 110_000 + np.arange(count) % 500
    return Batch(
        server=SERVER,
        symbol=symbol,
        agent="pc-1",
        read_unix_ns=1_700_000_000_000_000_000,
        prev=prev,
        time_msc=time_msc,
        ordinal=ordinals(time_msc),
        bid=points / 1e5,
        ask=(points + 2) / 1e5,
        last=np.zeros(count),
        volume_real=np.zeros(count),
        volume=np.zeros(count, np.uint64),
        flags=np.full(count, 6, np.uint32),
    )


def identities(*batches: Batch) -> list[TickId]:
    return [batch.id_at(index) for batch in batches for index in range(len(batch))]


async def logged(bus: Client, symbol: str = "EURUSD") -> list[tick_pb2.TickBatchTwin]:
    """The log's messages of a symbol, oldest first; each follows on the one before it."""
    stream = bus.jetstream()
    subject = tick_subject(SERVER, symbol)
    info = await stream.stream_info(TICKS_STREAM, subjects_filter=subject)
    count = (info.state.subjects or {}).get(subject, 0)
    source = await stream.subscribe(subject, ordered_consumer=True, deliver_policy=DeliverPolicy.ALL)
    messages = [tick_pb2.TickBatchTwin.FromString((await source.next_msg(30)).data) for _ in range(count)]
    await source.unsubscribe()
    for before, after in itertools.pairwise(messages):
        assert reach(before) == (after.prev.time_msc, after.prev.ordinal), "a message does not follow on the last"
    return messages


def reach(message: tick_pb2.TickBatchTwin) -> TickId:
    if message.HasField("quarantine"):
        return TickId(message.quarantine.last.time_msc, message.quarantine.last.ordinal)
    return codec.decode(message).last_id


async def logged_ticks(bus: Client, symbol: str = "EURUSD") -> list[TickId]:
    """The identities in the log, in its order."""
    batches = [codec.decode(message) for message in await logged(bus, symbol) if not message.HasField("quarantine")]
    return identities(*batches)
