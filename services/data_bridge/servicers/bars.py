"""StreamBars."""

from collections.abc import AsyncIterator
from itertools import chain, islice
from typing import Any

import grpc
from suho.market.v1 import bridge_pb2 as pb

from mesh.errors import MeshError, Reason
from mesh.market import bar_codec
from mesh.market.bars import Cut
from services.data_bridge.bar_stream import BarStream, BarTerms
from services.data_bridge.feed import Feed
from services.data_bridge.feed_history import History
from services.data_bridge.servicers.encoding import bar_messages
from services.data_bridge.servicers.service import Handlers
from services.data_bridge.servicers.symbols import asked, newest_msc, require_named, with_servers
from services.data_bridge.subscription import Subscription

# About 150 kB, a few milliseconds of work.
_RESPONSE_BARS = 1_000


class BarServicer:
    """`interval_s` is the least time between two states of a growing bar."""

    def __init__(self, feed: Feed, history: History, most_bytes: int, interval_s: float) -> None:
        self._feed = feed
        self._history = history
        self._most_bytes = most_bytes
        self._interval_s = interval_s

    def handlers(self) -> Handlers:
        return {
            "StreamBars": grpc.unary_stream_rpc_method_handler(
                self.StreamBars, pb.StreamBarsRequest.FromString, pb.StreamBarsResponse.SerializeToString
            ),
        }

    async def StreamBars(self, request: pb.StreamBarsRequest, context: Any) -> AsyncIterator[pb.StreamBarsResponse]:
        terms = BarTerms(_cut(request), request.from_msc, request.closed_only, self._interval_s)
        keys = asked(request.symbols)
        require_named(keys, request.from_msc, "bars are of symbols")
        subscription = Subscription(self._history, self._most_bytes)
        stream = BarStream(subscription, terms)
        async with self._feed.listening(subscription, keys):
            for key in await with_servers(self._history, keys):
                if start := request.from_msc or await newest_msc(self._history, key):
                    stream.replay(key, start)
            await context.send_initial_metadata(())
            while True:
                found = await stream.read()
                bars = chain.from_iterable(bar_messages(one, request.spec) for one in found)
                while some := list(islice(bars, _RESPONSE_BARS)):
                    yield pb.StreamBarsResponse(bars=some)


def _cut(request: pb.StreamBarsRequest) -> Cut:
    try:
        return bar_codec.cut(request.spec)
    except ValueError as error:
        raise MeshError(Reason.INVALID_ARGUMENT, str(error)) from None
