"""One listener for bridge and engine, which passes lanes on: so ticks and signals can share a connection."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc

from mesh.channel import direct_channel
from mesh.keepalive import KEEPALIVE

_TICKS = "/suho.market.v1.BridgeService/StreamTicks"
_SIGNALS = "/suho.trading.v1.AgentLinkService/StreamSignals"


@asynccontextmanager
async def open_front(bridge: str, engine: str) -> AsyncIterator[str]:
    """Its address, as long as the block lasts."""
    async with AsyncExitStack() as stack:
        lanes = {
            _TICKS: await stack.enter_async_context(direct_channel([bridge])),
            _SIGNALS: await stack.enter_async_context(direct_channel([engine])),
        }
        server = grpc.aio.server(options=[*KEEPALIVE, ("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers((_Lanes(lanes),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await server.stop(0)


class _Lanes(grpc.GenericRpcHandler):
    """Streams by their method; messages are bytes, never decoded."""

    def __init__(self, channels: Mapping[str, grpc.aio.Channel]) -> None:
        self._channels = channels

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        channel = self._channels.get(handler_call_details.method)
        if channel is None:
            return None
        onward: Any = channel.stream_stream(handler_call_details.method)

        async def passed_on(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            call = onward(requests)
            try:
                async for response in call:
                    yield response
            except grpc.aio.AioRpcError as error:
                await context.abort(error.code(), error.details(), error.trailing_metadata() or ())
            except asyncio.CancelledError:
                call.cancel()
                raise

        return grpc.stream_stream_rpc_method_handler(passed_on)
