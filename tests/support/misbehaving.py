"""Small TCP servers that answer as they are told, or not at all."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def tcp_server(behaviour: Behaviour, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
    """A server that treats every connection so, until the other side or the block is done; gives its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await behaviour(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host, port)
    async with server:
        yield server.sockets[0].getsockname()[1]


def saying(answer: bytes) -> Behaviour:
    """Say it to whoever says anything, or waits a moment, and hang up."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(0.05):
                await reader.read(4096)
        except TimeoutError:
            pass
        writer.write(answer)
        await writer.drain()

    return behave


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take everything in and say nothing."""
    while await reader.read(4096):
        pass


async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hang up at once."""


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Talk without end and without a line break."""
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()
