"""The one listener through which `suho bench signals` has signals and ticks share a connection."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from bench.signals.front import open_front
from mesh.channel import direct_channel

pytestmark = pytest.mark.integration

_METHOD = "/suho.trading.v1.AgentLinkService/StreamSignals"


class _Engine(grpc.GenericRpcHandler):
    """Answers each message twice; refuses "no"."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        async def doubled(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            async for request in requests:
                if request == b"no":
                    await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not that")
                yield request * 2

        return grpc.stream_stream_rpc_method_handler(doubled)


async def test_streams_pass_the_front_both_ways_as_they_are() -> None:
    """Messages are passed on as they come, and a refusal with its status."""
    engine = grpc.aio.server()
    engine.add_generic_rpc_handlers((_Engine(),))
    port = engine.add_insecure_port("127.0.0.1:0")
    await engine.start()
    try:
        async with open_front("127.0.0.1:1", f"127.0.0.1:{port}") as address, direct_channel([address]) as channel:
            call: Any = channel.stream_stream(_METHOD)()
            await call.write(b"ab")
            assert await call.read() == b"abab"
            await call.write(b"no")
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call.read()
            assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
            assert refused.value.details() == "not that"
    finally:
        await engine.stop(0)
