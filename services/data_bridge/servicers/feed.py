"""Subscribe and TailTicks: ticks for whoever wants them fresh."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from suho.market.v1 import bridge_pb2 as pb
from suho.market.v1 import tick_pb2

from mesh.errors import MeshError, Reason
from mesh.market import codec
from mesh.market.subjects import all_ticks, tick_subject
from services.data_bridge import wire
from services.data_bridge.domain.log import LogUnavailableError
from services.data_bridge.feed import Feed
from services.data_bridge.jetstream import TickLog
from services.data_bridge.servicers.service import Handlers


class FeedServicer:
    def __init__(self, feed: Feed, ticks: TickLog) -> None:
        self._feed = feed
        self._log = ticks

    def handlers(self) -> Handlers:
        return {
            "Subscribe": grpc.unary_stream_rpc_method_handler(
                self.Subscribe, pb.SubscribeRequest.FromString, pb.SubscribeResponseTwin.SerializeToString
            ),
            "TailTicks": grpc.unary_stream_rpc_method_handler(
                self.TailTicks, pb.TailTicksRequest.FromString, pb.TailTicksResponse.SerializeToString
            ),
        }

    async def Subscribe(self, request: pb.SubscribeRequest, context: Any) -> AsyncIterator[pb.SubscribeResponseTwin]:
        async with self._feed.subscribe(_subjects(request.symbols)) as subscription:
            await context.send_initial_metadata(())  # from here on nothing is missed
            async for batches in subscription.batches():
                yield pb.SubscribeResponseTwin(batches=batches)

    async def TailTicks(self, request: pb.TailTicksRequest, context: Any) -> AsyncIterator[pb.TailTicksResponse]:
        subjects = _subjects(request.symbols)
        left = request.limit or -1
        async with self._feed.subscribe(subjects) as subscription:
            await self._require_known(request.symbols)
            await context.send_initial_metadata(())
            async for batches in subscription.batches():
                for tick in _readable(batches):
                    yield pb.TailTicksResponse(tick=tick)
                    left -= 1
                    if left == 0:
                        return

    async def _require_known(self, symbols: Iterable[tick_pb2.SymbolRef]) -> None:
        """A person's slip of the pen would otherwise look like a silent market."""
        for ref in symbols:
            try:
                known = await self._log.holds(tick_subject(ref.server, ref.symbol))
            except LogUnavailableError as error:
                raise MeshError(Reason.LOG_UNAVAILABLE, f"the log can not be asked: {error}; try again") from None
            if not known:
                unknown = (
                    f"no tick of {ref.symbol or 'any symbol'} has come yet; is the name spelled as the broker does?"
                )
                raise MeshError(Reason.UNKNOWN_SYMBOL, unknown)


def _subjects(symbols: Iterable[tick_pb2.SymbolRef]) -> list[str]:
    return sorted({tick_subject(*wire.symbol_key(ref, any_name=True)) for ref in symbols}) or [all_ticks()]


def _readable(batches: Iterable[tick_pb2.TickBatchTwin]) -> Iterable[tick_pb2.Tick]:
    for message in batches:
        if not message.HasField("quarantine"):
            yield from wire.ticks(codec.decode(message))
