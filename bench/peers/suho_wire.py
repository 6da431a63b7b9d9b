"""Suho's own wire, agent to bridge, without the log: the agent's encoding, four lanes, the bridge's checks."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from suho.market.v1 import bridge_pb2 as pb
from suho.market.v1 import tick_pb2

from bench.peers.grpc_server import serve
from bench.race import Racer
from bench.source import Source
from mesh.channel import direct_channel
from mesh.market import Batch, codec
from services.data_bridge import wire

_METHOD = "/bench.Wire/StreamTicks"
_MESSAGE_TICKS = 2_000
_LANES = 4


def receive(pipe: Any, ticks: int) -> None:
    asyncio.run(_serve(pipe, ticks))


async def _serve(pipe: Any, ticks: int) -> None:
    count = 0

    async def stream(requests: AsyncIterator[bytes], _: Any) -> AsyncIterator[pb.StreamTicksResponse]:
        nonlocal count
        async for raw in requests:
            for arrival in wire.lane_request(raw, _MESSAGE_TICKS).arrivals:
                count += len(arrival.batch)
            if count >= ticks:
                pipe.send(count)
        yield pb.StreamTicksResponse()

    handler: Any = grpc.stream_stream_rpc_method_handler(stream, None, pb.StreamTicksResponse.SerializeToString)
    await serve(pipe, "bench.Wire", "StreamTicks", handler)


def send(address: str, source: Source) -> int:
    return asyncio.run(_send(address, source))


async def _send(address: str, source: Source) -> int:
    batches = source.batches(_MESSAGE_TICKS, RACER.most)
    async with asyncio.TaskGroup() as tasks:
        for lane in range(_LANES):
            tasks.create_task(_lane(address, batches[lane::_LANES]))
    return sum(map(len, batches))


async def _lane(address: str, batches: list[Batch]) -> None:
    async with direct_channel([address]) as channel:
        call: Any = channel.stream_stream(
            _METHOD,
            request_serializer=pb.StreamTicksRequestTwin.SerializeToString,
            response_deserializer=pb.StreamTicksResponse.FromString,
        )()
        for batch in batches:
            message = tick_pb2.TickBatchTwin(**codec.fields(batch))
            await call.write(pb.StreamTicksRequestTwin(batches=[message]))
        await call.done_writing()
        await call.read()


RACER = Racer("suho_wire", "Suho's wire alone, 4 lanes, 2,000 ticks a message", receive, send, 20_000_000)
