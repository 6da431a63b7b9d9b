"""GetBridgeStatus."""

from typing import Any

import grpc
from suho.market.v1 import bridge_pb2 as pb

from services.data_bridge import wire
from services.data_bridge.bridge import Bridge
from services.data_bridge.servicers.service import Handlers


class StatusServicer:
    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def handlers(self) -> Handlers:
        return {
            "GetBridgeStatus": grpc.unary_unary_rpc_method_handler(
                self.GetBridgeStatus,
                pb.GetBridgeStatusRequest.FromString,
                pb.GetBridgeStatusResponse.SerializeToString,
            ),
        }

    async def GetBridgeStatus(self, _: pb.GetBridgeStatusRequest, __: Any) -> pb.GetBridgeStatusResponse:
        symbols = [
            pb.SymbolStatus(
                symbol=wire.symbol_ref(publisher.key),
                cursor=wire.tick_id(publisher.cursor),
                agent=publisher.source.agent if publisher.source else "",
                lane=publisher.source.number if publisher.source else 0,
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
