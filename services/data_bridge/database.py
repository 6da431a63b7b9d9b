"""The database service, as far as the bridge needs it: the newest stored tick, and the cache."""

from collections.abc import Sequence

import grpc
from suho.database.v1 import tick_service_pb2 as pb
from suho.database.v1 import tick_service_pb2_grpc

from mesh.errors import MeshError
from mesh.market import Batch, TickId
from services.data_bridge import wire
from services.data_bridge.domain.log import LogEnd, LogUnavailableError
from services.data_bridge.domain.progress import SymbolKey

_TIMEOUT_S = 2.0
# What the database takes in one call.
_MOST_TICKS = 1000


class StoredTicks:
    """Implements `domain.log.Stored` and `newest.Cache`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._ticks: tick_service_pb2_grpc.TickServiceAsyncStub = tick_service_pb2_grpc.TickServiceStub(channel)

    async def end(self, key: SymbolKey) -> LogEnd:
        try:
            answer = await self._ticks.GetLastTick(
                pb.GetLastTickRequest(symbol=wire.symbol_ref(key)), timeout=_TIMEOUT_S
            )
        except grpc.aio.AioRpcError as error:
            raise LogUnavailableError(f"the database does not say how far it got: {MeshError.of(error)}") from None
        if not answer.HasField("tick"):
            return LogEnd()
        tick = answer.tick
        return LogEnd(0, TickId(tick.id.time_msc, tick.id.ordinal), tick.bid, tick.ask)

    async def put_newest(self, batches: Sequence[Batch]) -> None:
        """Put the ticks of `batches` (one each) into the cache. Raises MeshError."""
        ticks = [tick for batch in batches for tick in wire.ticks(batch)]
        try:
            for start in range(0, len(ticks), _MOST_TICKS):
                request = pb.PutNewestTicksRequest(ticks=ticks[start : start + _MOST_TICKS])
                await self._ticks.PutNewestTicks(request, timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise MeshError.of(error) from None
