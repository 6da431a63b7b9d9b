"""StreamTicks: the agents' lanes."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from suho.market.v1 import bridge_pb2 as pb

from mesh.errors import MeshError, Reason
from mesh.self_naming import own_name
from services.data_bridge import wire
from services.data_bridge.bridge import Bridge
from services.data_bridge.lane import Lane
from services.data_bridge.servicers.service import Handlers


class LaneServicer:
    """`message_ticks` is the most that one message of a lane may hold."""

    def __init__(self, bridge: Bridge, message_ticks: int) -> None:
        self._bridge = bridge
        self._message_ticks = message_ticks

    def handlers(self) -> Handlers:
        return {
            # Undecoded: which decoding fits is for `wire` to see.
            "StreamTicks": grpc.stream_stream_rpc_method_handler(
                self.StreamTicks, None, pb.StreamTicksResponse.SerializeToString
            ),
        }

    async def StreamTicks(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[pb.StreamTicksResponse]:
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
                await context.send_initial_metadata(own_name(self._bridge.name))
                async for answers in lane.answers():
                    yield wire.lane_response(answers)
            finally:
                reader.cancel()

    async def _receive(self, lane: Lane, first: wire.LaneRequest, requests: AsyncIterator[bytes]) -> None:
        try:
            await self._bridge.take(lane, first)
            while True:
                raw = await anext(requests, None)
                if raw is None or lane.ended:
                    break
                request = wire.lane_request(raw, self._message_ticks)
                if request.lane:
                    raise MeshError(Reason.INVALID_ARGUMENT, "only the first message of a lane bears hello")
                await self._bridge.take(lane, request)
            lane.end()
        except Exception as error:  # noqa: BLE001  raised again by lane.answers(), in the call's own task
            lane.end(error)
