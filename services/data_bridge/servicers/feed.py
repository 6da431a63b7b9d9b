"""Subscribe and TailTicks: ticks for whoever wants them fresh, or from a time on."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc
from suho.market.v1 import bridge_pb2 as pb

from mesh.errors import MeshError, Reason
from services.data_bridge import wire
from services.data_bridge.conflation import ConflatedSubscription
from services.data_bridge.domain.progress import SymbolKey
from services.data_bridge.feed import Feed
from services.data_bridge.feed_history import History
from services.data_bridge.servicers.encoding import subscribe_response
from services.data_bridge.servicers.service import Handlers
from services.data_bridge.servicers.symbols import asked, require_in_log, require_named, with_servers
from services.data_bridge.subscription import Subscription


class FeedServicer:
    """`most_bytes` may wait for a subscriber before it is served from the log."""

    def __init__(self, feed: Feed, history: History, most_bytes: int) -> None:
        self._feed = feed
        self._history = history
        self._most_bytes = most_bytes

    def handlers(self) -> Handlers:
        return {
            # Encoded by `wire`: ticks go out as the bytes that they came as.
            "Subscribe": grpc.unary_stream_rpc_method_handler(self.Subscribe, pb.SubscribeRequest.FromString, None),
            "TailTicks": grpc.unary_stream_rpc_method_handler(
                self.TailTicks, pb.TailTicksRequest.FromString, pb.TailTicksResponse.SerializeToString
            ),
        }

    async def Subscribe(self, request: pb.SubscribeRequest, context: Any) -> AsyncIterator[bytes]:
        keys = asked(request.symbols)
        if request.HasField("conflation"):
            async with aclosing(self._newest(request, keys, context)) as responses:
                async for response in responses:
                    yield response
            return
        if request.from_msc:
            require_named(keys, request.from_msc, "only named symbols can begin in the past")
        async with self._every_tick(keys) as subscription:
            for key in await with_servers(self._history, keys) if request.from_msc else ():
                subscription.replay(key, request.from_msc)
            await context.send_initial_metadata(())  # from here on nothing is missed
            while True:
                portion = await subscription.read()
                yield subscribe_response((message.payload for message in portion.messages), portion.live)

    async def _newest(
        self, request: pb.SubscribeRequest, keys: Sequence[SymbolKey], context: Any
    ) -> AsyncGenerator[bytes, None]:
        if request.from_msc:
            raise MeshError(
                Reason.INVALID_ARGUMENT, "conflation shows the newest ticks only; leave out it, or from_msc"
            )
        subscription = ConflatedSubscription(request.conflation.interval_ms / 1000)
        async with self._feed.listening(subscription, keys):
            await context.send_initial_metadata(())
            while True:
                newest = await subscription.read()
                missed = {key: item.missed for key, item in newest.items() if item.missed}
                yield subscribe_response((item.payload for item in newest.values()), missed=missed)

    async def TailTicks(self, request: pb.TailTicksRequest, context: Any) -> AsyncIterator[pb.TailTicksResponse]:
        keys = asked(request.symbols)
        left = request.limit or -1
        async with self._every_tick(keys) as subscription:
            await require_in_log(self._history, keys)
            await context.send_initial_metadata(())
            while True:
                for message in (await subscription.read()).messages:
                    for tick in wire.ticks(message.decode()) if message.ticks else ():
                        yield pb.TailTicksResponse(tick=tick)
                        left -= 1
                        if left == 0:
                            return

    @asynccontextmanager
    async def _every_tick(self, keys: Sequence[SymbolKey]) -> AsyncIterator[Subscription]:
        subscription = Subscription(self._history, self._most_bytes)
        async with self._feed.listening(subscription, keys):
            yield subscription
