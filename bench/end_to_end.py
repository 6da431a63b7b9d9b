"""Agent to ClickHouse with everything on this machine; and from the agent's reading to a subscriber."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from suho.market.v1 import bridge_pb2 as pb
from suho.market.v1 import tick_pb2

from bench.platform import replay_of, running, summary_of
from bench.source import Source, generated
from mesh.channel import mesh_channel
from mesh.config import MeshSettings

_SUBSCRIBE = "/suho.market.v1.BridgeService/Subscribe"
_MEASURED_S = 10.0
_WARM_S = 3.0


@dataclass(frozen=True)
class Latency:
    """Milliseconds from the agent's reading of a tick to its subscriber; each tick counts."""

    ticks_per_s: float
    p50_ms: float
    p99_ms: float


async def stored(source: Source, *more: str) -> dict[str, Any]:
    """Replay `source` as fast as it goes; `suho up`'s summary: ticks a second, memory, the exact account."""
    with replay_of(source) as feeds:
        return await summary_of(*feeds, "--speed", "max", "--until-fed", *more)


async def subscriber(ticks_per_s: int) -> Latency:
    """Subscribe to three symbols that tick so often in all, on a platform that stores them too."""
    source = generated(int(ticks_per_s * (_MEASURED_S + 4 * _WARM_S)))
    span_s = max(int(one.time_msc[-1] - one.time_msc[0]) for one in source.symbols) / 1000
    speed = ticks_per_s * span_s / source.ticks
    with replay_of(source) as feeds:
        async with running(*feeds, "--speed", f"{speed:.3f}") as mesh:
            return await _listen(MeshSettings(instance="suho-bench", hubs=tuple(mesh["hubs"])))


async def _listen(settings: MeshSettings) -> Latency:
    delays: list[int] = []
    counts: list[int] = []
    async with mesh_channel(settings, "suho-bench", ("data-bridge",)) as channel:
        call: Any = channel.unary_stream(
            _SUBSCRIBE,
            request_serializer=pb.SubscribeRequest.SerializeToString,
            response_deserializer=pb.SubscribeResponseTwin.FromString,
        )(pb.SubscribeRequest())
        await call.initial_metadata()
        began = time.monotonic()
        try:
            async with asyncio.timeout(_WARM_S + _MEASURED_S):
                async for response in call:
                    now = time.time_ns()
                    if time.monotonic() - began > _WARM_S:
                        batches: list[tick_pb2.TickBatchTwin] = list(response.batches)
                        delays += [now - batch.read_unix_ns for batch in batches]
                        counts += [batch.count for batch in batches]
        except (TimeoutError, grpc.aio.AioRpcError):
            call.cancel()
    return _latency(np.array(delays, np.int64), np.array(counts, np.int64))


def _latency(delays_ns: np.ndarray, counts: np.ndarray) -> Latency:
    order = np.argsort(delays_ns)
    reached = np.cumsum(counts[order])
    total = int(counts.sum())
    places = [int(np.searchsorted(reached, share * total)) for share in (0.5, 0.99)]
    p50, p99 = (float(delays_ns[order][place]) / 1e6 for place in places)
    return Latency(total / _MEASURED_S, p50, p99)
