"""One JSON text a tick over `websockets`: how browsers and most bridges do it."""

import asyncio
import json
from typing import Any

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from bench.race import Racer
from bench.source import Source


def receive(pipe: Any, ticks: int) -> None:
    asyncio.run(_serve(pipe, ticks))


async def _serve(pipe: Any, ticks: int) -> None:
    async def take(connection: ServerConnection) -> None:
        count = 0
        async for text in connection:
            json.loads(text)
            count += 1
            if count == ticks:
                pipe.send(count)

    async with serve(take, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        pipe.send(f"ws://127.0.0.1:{port}")
        await server.serve_forever()


def send(address: str, source: Source) -> int:
    return asyncio.run(_send(address, source))


async def _send(address: str, source: Source) -> int:
    sent = 0
    async with connect(address, compression=None) as connection:
        for batch in source.batches(1000, RACER.most):
            columns = zip(batch.time_msc.tolist(), batch.bid.tolist(), batch.ask.tolist(), strict=True)
            for time_msc, bid, ask in columns:
                await connection.send(
                    json.dumps({"symbol": batch.symbol, "time_msc": time_msc, "bid": bid, "ask": ask})
                )
                sent += 1
    return sent


RACER = Racer("websockets_json", "websockets, one JSON a tick", receive, send, 150_000)
