"""One protobuf message a tick on one gRPC stream: how most gRPC bridges do it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from suho.market.v1 import tick_pb2

from bench.peers.grpc_server import serve
from bench.race import Racer
from bench.source import Source
from mesh.channel import direct_channel

_METHOD = "/bench.Ticks/Stream"


def receive(pipe: Any, ticks: int) -> None:
    asyncio.run(_serve(pipe, ticks))


async def _serve(pipe: Any, ticks: int) -> None:
    async def stream(requests: AsyncIterator[tick_pb2.Tick], _: Any) -> tick_pb2.TickId:
        count = 0
        async for _tick in requests:
            count += 1
        pipe.send(count)
        return tick_pb2.TickId()

    handler = grpc.stream_unary_rpc_method_handler(stream, tick_pb2.Tick.FromString, tick_pb2.TickId.SerializeToString)
    await serve(pipe, "bench.Ticks", "Stream", handler)


def send(address: str, source: Source) -> int:
    return asyncio.run(_send(address, source))


async def _send(address: str, source: Source) -> int:
    sent = 0
    async with direct_channel([address]) as channel:
        call: Any = channel.stream_unary(
            _METHOD,
            request_serializer=tick_pb2.Tick.SerializeToString,
            response_deserializer=tick_pb2.TickId.FromString,
        )()
        for batch in source.batches(1000, RACER.most):
            columns = zip(batch.time_msc.tolist(), batch.ordinal.tolist(), batch.bid, batch.ask, strict=True)
            for time_msc, ordinal, bid, ask in columns:
                tick_id = tick_pb2.TickId(time_msc=time_msc, ordinal=ordinal)
                await call.write(tick_pb2.Tick(server=batch.server, symbol=batch.symbol, id=tick_id, bid=bid, ask=ask))
                sent += 1
        await call.done_writing()
        await call
    return sent


RACER = Racer("grpc_each", "gRPC stream, one message a tick", receive, send, 60_000)
