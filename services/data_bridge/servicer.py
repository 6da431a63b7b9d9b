"""suho.market.v1.BridgeService: messages to and from lanes and subscriptions."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from suho.market.v1 import bridge_pb2 as pb
from suho.market.v1 import tick_pb2

from mesh.errors import MeshError, Reason
from mesh.market import codec
from mesh.market.subjects import all_ticks, tick_subject
from mesh.server import Service
from services.data_bridge import wire
from services.data_bridge.bridge import Bridge
from services.data_bridge.domain.log import LogUnavailableError
from services.data_bridge.feed import Feed
from services.data_bridge.jetstream import TickLog
from services.data_bridge.lane import Lane

NAME = "suho.market.v1.BridgeService"


class BridgeServicer:
    """The four methods; `message_ticks` is the most that one message of a lane may hold."""

    def __init__(self, bridge: Bridge, feed: Feed, ticks: TickLog, message_ticks: int) -> None:
        self._bridge = bridge
        self._feed = feed
        self._log = ticks
        self._message_ticks = message_ticks

    def service(self) -> Service:
        """With handlers of our own: columns come and go as bytes, reflection shows the typed contract."""
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            # Undecoded: which decoding fits is for `wire` to see.
            "StreamTicks": grpc.stream_stream_rpc_method_handler(
                self.StreamTicks, None, pb.StreamTicksResponse.SerializeToString
            ),
            "Subscribe": grpc.unary_stream_rpc_method_handler(
                self.Subscribe, pb.SubscribeRequest.FromString, pb.SubscribeResponseTwin.SerializeToString
            ),
            "TailTicks": grpc.unary_stream_rpc_method_handler(
                self.TailTicks, pb.TailTicksRequest.FromString, pb.TailTicksResponse.SerializeToString
            ),
            "GetBridgeStatus": grpc.unary_unary_rpc_method_handler(
                self.GetBridgeStatus,
                pb.GetBridgeStatusRequest.FromString,
                pb.GetBridgeStatusResponse.SerializeToString,
            ),
        }
        generic = grpc.method_handlers_generic_handler(NAME, handlers)
        return Service(NAME, lambda server: server.add_generic_rpc_handlers((generic,)))

    async def StreamTicks(self, requests: AsyncIterator[bytes], _: Any) -> AsyncIterator[pb.StreamTicksResponse]:
        raw = await anext(requests, None)
        if raw is None:
            return
        first = wire.lane_request(raw, self._message_ticks)
        if not first.lane:
            raise MeshError(Reason.INVALID_ARGUMENT, "the first message of a lane must bear hello")
        with self._bridge.lane(first.agent, first.lane) as lane:
            # In the bridge's task group, not one of this generator's: gRPC may finalize that in another task.
            reader = self._bridge.spawn(self._receive(lane, first, requests), f"lane {lane.number}")
            try:
                async for answers in lane.answers():
                    yield wire.lane_response(answers)
            finally:
                reader.cancel()

    async def _receive(self, lane: Lane, first: wire.LaneRequest, requests: AsyncIterator[bytes]) -> None:
        try:
            await lane.room()
            self._bridge.take(lane, first)
            while True:
                await lane.room()
                raw = await anext(requests, None)
                if raw is None or lane.ended:
                    break
                request = wire.lane_request(raw, self._message_ticks)
                if request.lane:
                    raise MeshError(Reason.INVALID_ARGUMENT, "only the first message of a lane bears hello")
                self._bridge.take(lane, request)
            lane.end()
        except Exception as error:  # noqa: BLE001  raised again by lane.answers(), in the call's own task
            lane.end(error)

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

    async def GetBridgeStatus(self, _: pb.GetBridgeStatusRequest, __: Any) -> pb.GetBridgeStatusResponse:
        symbols = [
            pb.SymbolStatus(
                symbol=wire.symbol_ref(publisher.key),
                cursor=wire.tick_id(publisher.cursor),
                agent=publisher.agent,
                lane=publisher.lane,
                published_ticks=publisher.published_ticks,
                quarantined_ticks=publisher.quarantined_ticks,
                out_of_sync=publisher.out_of_sync,
                conflicts=publisher.conflicts,
            )
            for publisher in self._bridge.publishers
        ]
        lanes = [
            pb.LaneStatus(
                agent=lane.agent,
                lane=lane.number,
                symbols=len(lane.symbols),
                connected_unix_ms=lane.connected_unix_ms,
            )
            for lane in self._bridge.lanes
        ]
        return pb.GetBridgeStatusResponse(bridge=self._bridge.name, symbols=symbols, lanes=lanes)

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
