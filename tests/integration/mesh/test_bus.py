"""The connection to NATS, as programs hold it."""

import asyncio

import pytest

from mesh.bus import open_bus
from tests.support import eventually

pytestmark = pytest.mark.integration


async def test_a_bus_that_died_with_data_unsent_is_closed_in_silence() -> None:
    """A program that stops ends as it would have, though its last words reach nobody."""
    peers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """As much of NATS as greets a client."""
        peers.append(writer)
        writer.write(b'INFO {"server_id":"x","version":"2.11.0","max_payload":1048576,"headers":true}\r\n')
        while line := await reader.readline():
            if line == b"PING\r\n":
                writer.write(b"PONG\r\n")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with open_bus(f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}", "t") as bus:
        server.close()
        peers[0].transport.abort()
        await eventually(lambda: not bus.is_connected)
        await bus.publish("some.subject", b"words")
