"""Made-up ticks, and putting them into the log as a bridge does."""

from collections.abc import Sequence

import numpy as np
from nats.aio.client import Client
from suho.market.v1 import tick_pb2

from mesh.market import BEFORE_FIRST, Batch, TickId, codec, subjects
from mesh.market.batch import ordinals

# 2014-05-31T23:59:50Z: a batch further on reaches June.
START_MSC = 1_401_580_790_000
READ_UNIX_NS = 1_700_000_000_000_000_000


def batch(count: int, symbol: str = "EURUSD", start_msc: int = START_MSC, prev: TickId = BEFORE_FIRST) -> Batch:
    """`count` ticks, two to a millisecond, with five decimals."""
    points = 130_000 + np.arange(count) % 1000
    time_msc = start_msc + np.arange(count) // 2
    return Batch(
        server="twin-1",
        symbol=symbol,
        agent="pc-1",
        read_unix_ns=READ_UNIX_NS,
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


async def publish(bus: Client, *batches: Batch) -> None:
    """Each batch as a message of its own; all in the log when this returns."""
    for item in batches:
        await bus.jetstream().publish(*_message(item))


async def publish_many(bus: Client, batches: Sequence[Batch]) -> None:
    """The same, fast."""
    for item in batches[:-1]:
        await bus.publish(*_message(item))
    await publish(bus, batches[-1])


def _message(item: Batch) -> tuple[str, bytes]:
    """Subject and data."""
    message = tick_pb2.TickBatchTwin(**codec.fields(item))
    return subjects.tick_subject(item.server, item.symbol), message.SerializeToString()


async def publish_refusal(bus: Client, prev: TickId, last: TickId, count: int) -> None:
    message = tick_pb2.TickBatchTwin(
        server="twin-1",
        symbol="EURUSD",
        agent="pc-1",
        read_unix_ns=READ_UNIX_NS,
        prev=tick_pb2.TickId(time_msc=prev.time_msc, ordinal=prev.ordinal),
        quarantine=tick_pb2.Quarantine(
            last=tick_pb2.TickId(time_msc=last.time_msc, ordinal=last.ordinal), count=count, reason="NON_FINITE_PRICE"
        ),
    )
    await bus.jetstream().publish(subjects.tick_subject("twin-1", "EURUSD"), message.SerializeToString())
