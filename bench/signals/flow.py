"""How many ticks of a market flow, as the bridge counts them."""

import asyncio
import time

import grpc
from suho.market.v1 import bridge_pb2, bridge_pb2_grpc

from bench.race import NoShowError

_WITHIN_S = 30.0


class Flow:
    """The ticks of one trade server that the bridge has published since `begin`."""

    def __init__(self, channel: grpc.aio.Channel, server: str) -> None:
        self._stub: bridge_pb2_grpc.BridgeServiceAsyncStub = bridge_pb2_grpc.BridgeServiceStub(channel)
        self._server = server
        self._began_s, self._before = 0.0, 0

    async def begin(self) -> None:
        """Returns when the first are through.

        Raises:
            NoShowError: none comes.
        """
        try:
            async with asyncio.timeout(_WITHIN_S):
                while True:
                    if await self._published():
                        break
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise NoShowError(f"no tick of {self._server} came within {_WITHIN_S:g} s") from None
        self._began_s, self._before = time.monotonic(), await self._published()

    async def ticks_per_s(self) -> float:
        published = await self._published() - self._before
        return published / (time.monotonic() - self._began_s)

    async def _published(self) -> int:
        status = await self._stub.GetBridgeStatus(bridge_pb2.GetBridgeStatusRequest(), timeout=5)
        return sum(one.published_ticks for one in status.symbols if one.symbol.server == self._server)
