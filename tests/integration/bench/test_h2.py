"""The benchmarks' own gRPC client against gRPC's server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from bench.hub.h2 import Connection, connections
from bench.race import NoShowError

pytestmark = pytest.mark.integration

_ONE = "/bench.Echo/One"
_MANY = "/bench.Echo/Many"


@asynccontextmanager
async def _echo() -> AsyncIterator[Connection]:
    async def one(request: bytes, context: Any) -> bytes:
        if not request:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "say something")
        return request * 2

    async def many(requests: AsyncIterator[bytes], _: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request

    handlers: dict[str, Any] = {
        "One": grpc.unary_unary_rpc_method_handler(one),
        "Many": grpc.stream_stream_rpc_method_handler(many),
    }
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with connections(port, 1) as (connection,):
            yield connection
    finally:
        await server.stop(0)


async def test_what_is_sent_comes_back_in_order_however_much_it_is() -> None:
    """Messages larger than a frame, and more of them than the server's window takes at once, on many calls."""
    async with _echo() as connection:
        assert await connection.ask(_ONE, b"x" * 16_000) == b"x" * 32_000
        heard: list[list[bytes]] = [[] for _ in range(20)]
        over: asyncio.Queue[str] = asyncio.Queue()
        sent = [bytes([turn]) * 4_000 for turn in range(100)]
        for into in heard:
            opened = connection.call(_MANY, lambda message, _, into=into: into.append(message), over.put_nowait)
            for turn, message in enumerate(sent):
                opened.send(message, last=turn == len(sent) - 1)
        async with asyncio.timeout(20):
            ends = [await over.get() for _ in heard]
        assert all(messages == sent for messages in heard)
        assert all("grpc-status" in end for end in ends)


async def test_a_refusal_is_told_in_the_servers_words() -> None:
    """A benchmark that can not go on says why."""
    async with _echo() as connection:
        with pytest.raises(NoShowError, match="say something"):
            await connection.ask(_ONE, b"")


async def test_a_connection_that_ends_ends_its_calls() -> None:
    """Nobody waits for a server that died."""
    async with _echo() as connection:
        over: asyncio.Queue[str] = asyncio.Queue()
        connection.call(_MANY, lambda *_: None, over.put_nowait).send(b"x")
        connection._transport.abort()  # type: ignore[union-attr]
        async with asyncio.timeout(5):
            assert "ended" in await over.get()
