"""TickService: bars of stored ticks."""

from collections.abc import AsyncIterator
from typing import Any

from suho.database.v1 import tick_service_pb2 as pb
from suho.market.v1 import bar_pb2

from mesh.market import bar_codec
from services.database.clickhouse.bars import StoredBars
from services.database.domain.span import Span
from services.database.servicers.edge import invalid
from services.database.servicers.tick_messages import symbol, time_range
from services.database.servicers.tick_service import Handlers, streaming

_BARS_A_MESSAGE = 5000
# They are gathered before the first is sent.
_MOST_LAST = 100_000


class BarServicer:
    def __init__(self, bars: StoredBars) -> None:
        self._bars = bars

    def handlers(self) -> Handlers:
        return {"GetBars": streaming(self.GetBars, pb.GetBarsRequest, pb.GetBarsResponseTwin)}

    async def GetBars(self, request: pb.GetBarsRequest, context: Any) -> AsyncIterator[pb.GetBarsResponseTwin]:
        if request.limit < -_MOST_LAST:
            raise invalid(f"limit is {request.limit}; at most the last {_MOST_LAST} bars are given, or give a range")
        try:
            cut = bar_codec.cut(request.spec)
        except ValueError as error:
            raise invalid(str(error)) from None
        names, (from_msc, to_msc) = symbol(request.symbol), time_range(request.from_msc, request.to_msc)
        async for page in self._bars.read(Span(*names, from_msc, to_msc, limit=request.limit), cut):
            for start in range(0, len(page), _BARS_A_MESSAGE):
                piece = bar_codec.fields(page.slice(start, start + _BARS_A_MESSAGE))
                columns = bar_pb2.BarColumnsTwin(symbol=request.symbol, spec=request.spec, **piece)
                yield pb.GetBarsResponseTwin(bars=columns)
