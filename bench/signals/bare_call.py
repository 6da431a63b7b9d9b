"""The limit beside a signal's way: a gRPC call with nothing in it, from one process to another and back."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from bench.hub import stock_server
from bench.signals.shots import PAUSE_S, Spread
from mesh.channel import direct_channel

_SERVICE = "bench.Bare"


class BareCall:
    """A signal's way, from the commit to the terminal, has one answer and one message of gRPC in it: about such a call,
    before any disk, thread, pipe or terminal."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._call: Any = channel.unary_unary(f"/{_SERVICE}/{stock_server.METHOD}")

    async def spread(self, calls: int) -> Spread:
        """At the pace of the signals."""
        took = []
        for _ in range(calls):
            began = time.perf_counter()
            await self._call(b"")
            took.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(PAUSE_S)
        return Spread.of(took)


@asynccontextmanager
async def open_bare_call() -> AsyncIterator[BareCall]:
    """A server in a process of its own, and who calls it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", stock_server.__name__, _SERVICE),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = int(await process.stdout.readline())
        async with direct_channel([f"127.0.0.1:{port}"]) as channel:
            yield BareCall(channel)
    finally:
        process.stdin.close()
        await process.wait()
