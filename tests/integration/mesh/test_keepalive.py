"""Peers that vanish without a word."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

import mesh.channel
from mesh.channel import direct_channel
from mesh.config import ServerSettings
from mesh.keepalive import keepalive
from mesh.server import Service, open_server
from tests.support import free_port
from tests.support.proxy import cuttable_proxy

pytestmark = pytest.mark.integration

SOON = keepalive(200, 200)


async def test_both_ends_notice_a_silent_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream through which nothing comes any more ends here and there, long before TCP would say so."""
    noticed = keepalive(200, 2_000)  # the way through here stands still with the test
    monkeypatch.setattr(mesh.channel, "KEEPALIVE", noticed)
    over = asyncio.Event()

    async def stream(requests: AsyncIterator[bytes], _: Any) -> AsyncIterator[bytes]:
        try:
            await anext(requests)
            yield b"stands"
            await asyncio.get_running_loop().create_future()
        finally:
            over.set()

    handler = grpc.method_handlers_generic_handler("t.T", {"S": grpc.stream_stream_rpc_method_handler(stream)})
    service = Service("t.T", lambda server: server.add_generic_rpc_handlers((handler,)))
    port = free_port()
    async with (
        open_server(ServerSettings(instance="t", port=0), [service], options=noticed) as server,
        cuttable_proxy(port, server.port) as proxy,
        direct_channel([f"127.0.0.1:{port}"]) as channel,
    ):
        call: Any = channel.stream_stream("/t.T/S")()
        await call.write(b"hello")
        await call.read()
        proxy.silent = True
        async with asyncio.timeout(8):
            with pytest.raises(grpc.aio.AioRpcError, match="UNAVAILABLE"):
                await call.read()
            await over.wait()


async def test_a_server_may_ping_at_times_of_its_own() -> None:
    """What it is told wins over what all servers are: a peer that answers nothing is given up as soon as it says."""
    async with open_server(ServerSettings(instance="t", port=0), [], options=SOON) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        async with asyncio.timeout(8):
            while await reader.read(1024):
                pass
        writer.close()
