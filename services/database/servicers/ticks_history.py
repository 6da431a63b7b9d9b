"""TickService: ranges of stored ticks, and what they amount to."""

from collections.abc import AsyncIterator
from typing import Any

from suho.database.v1 import tick_service_pb2 as pb
from suho.market.v1 import tick_pb2

from mesh.market import BEFORE_FIRST, Batch, TickId, codec
from mesh.market.batch import COLUMNS
from services.database.clickhouse.digests import TickDigests
from services.database.clickhouse.history import TickHistory
from services.database.domain.span import Columns, Span, pieces
from services.database.servicers.edge import invalid
from services.database.servicers.tick_messages import digest_message, symbol, time_range
from services.database.servicers.tick_service import Handlers, streaming, unary

_MOST_TICKS = 2000
_MOST_DIGESTS = 50_000


class HistoryServicer:
    def __init__(self, history: TickHistory, digests: TickDigests) -> None:
        self._history = history
        self._digests = digests

    def handlers(self) -> Handlers:
        return {
            "GetTicks": streaming(self.GetTicks, pb.GetTicksRequest, pb.GetTicksResponseTwin),
            "GetTickDigests": unary(self.GetTickDigests, pb.GetTickDigestsRequest, pb.GetTickDigestsResponse),
        }

    async def GetTicks(self, request: pb.GetTicksRequest, context: Any) -> AsyncIterator[pb.GetTicksResponseTwin]:
        span = Span(
            *symbol(request.symbol),
            *time_range(request.from_msc, request.to_msc),
            after=TickId(request.after.time_msc, request.after.ordinal),
            limit=request.limit,
        )
        read = self._history.all_generations if request.all_generations else self._history.newest
        prev = span.after
        async for page in read(span):
            for piece in pieces(page, _MOST_TICKS):
                batch = _batch(span, prev, piece)
                prev = batch.last_id
                yield _message(batch, piece if request.annotated else {})

    async def GetTickDigests(self, request: pb.GetTickDigestsRequest, context: Any) -> pb.GetTickDigestsResponse:
        from_msc, to_msc = time_range(request.from_msc, request.to_msc)
        if not request.to_msc or not request.bucket_ms:
            raise invalid("to_msc or bucket_ms is 0; give the end of the range and the length of a digest")
        if (to_msc - from_msc) / request.bucket_ms > _MOST_DIGESTS:
            raise invalid(f"this would be more than {_MOST_DIGESTS} digests; ask for longer ones, or a shorter range")
        found, generation = await self._digests.of(*symbol(request.symbol), from_msc, to_msc, request.bucket_ms)
        return pb.GetTickDigestsResponse(digests=map(digest_message, found), generation=generation)


def _batch(span: Span, prev: TickId, piece: Columns) -> Batch:
    """A piece as a batch that follows `prev`; who read its ticks and when is not asked."""
    generation = int(piece["generation"][0])
    columns = {name: piece[name] for name in COLUMNS}
    # A generation begins anew.
    prev = prev if prev <= TickId(int(piece["time_msc"][0]), int(piece["ordinal"][0])) else BEFORE_FIRST
    return Batch(span.server, span.symbol, "", 0, prev, generation=generation, **columns)


def _message(batch: Batch, annotations: Columns) -> pb.GetTicksResponseTwin:
    columns = {name: annotations[name].tobytes() for name in ("utc_msc", "marks") if name in annotations}
    return pb.GetTicksResponseTwin(batch=tick_pb2.TickBatchTwin(**codec.fields(batch)), **columns)
