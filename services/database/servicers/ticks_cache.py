"""TickService: what the cache answers."""

from typing import Any

from suho.database.v1 import tick_service_pb2 as pb
from suho.market.v1 import tick_pb2

from mesh.market import codec
from services.database.recent import MOST_RECENT, RecentTicks
from services.database.servicers.edge import invalid
from services.database.servicers.tick_messages import symbol, tick, tick_message
from services.database.servicers.tick_service import Handlers, unary
from services.database.valkey import NewestTicks

_MOST_TICKS = 1000


class CacheServicer:
    def __init__(self, newest: NewestTicks, recent: RecentTicks) -> None:
        self._newest = newest
        self._recent = recent

    def handlers(self) -> Handlers:
        return {
            "PutNewestTicks": unary(self.PutNewestTicks, pb.PutNewestTicksRequest, pb.PutNewestTicksResponse),
            "GetNewestTick": unary(self.GetNewestTick, pb.GetNewestTickRequest, pb.GetNewestTickResponse),
            "GetRecentTicks": unary(self.GetRecentTicks, pb.GetRecentTicksRequest, pb.GetRecentTicksResponseTwin),
        }

    async def PutNewestTicks(self, request: pb.PutNewestTicksRequest, context: Any) -> pb.PutNewestTicksResponse:
        if len(request.ticks) > _MOST_TICKS:
            raise invalid(f"{len(request.ticks)} ticks are too many for one call; send at most {_MOST_TICKS}")
        await self._newest.put([tick(message) for message in request.ticks])
        return pb.PutNewestTicksResponse()

    async def GetNewestTick(self, request: pb.GetNewestTickRequest, context: Any) -> pb.GetNewestTickResponse:
        found = await self._newest.get(*symbol(request.symbol))
        return pb.GetNewestTickResponse(tick=tick_message(found) if found else None)

    async def GetRecentTicks(self, request: pb.GetRecentTicksRequest, context: Any) -> pb.GetRecentTicksResponseTwin:
        if not 0 < request.count <= MOST_RECENT:
            raise invalid(f"count is {request.count}; give 1 to {MOST_RECENT}")
        batch = await self._recent.get(*symbol(request.symbol), request.count)
        return pb.GetRecentTicksResponseTwin(batch=tick_pb2.TickBatchTwin(**codec.fields(batch)) if batch else None)
