"""GetBridgeStatus."""

from typing import Any

import grpc
from suho.market.v1 import bridge_pb2 as pb

from services.data_bridge import wire
from services.data_bridge.bridge import Bridge
from services.data_bridge.publisher import SymbolRecord
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
        symbols = [self._symbol(record) for record in self._bridge.records]
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

    def _symbol(self, record: SymbolRecord) -> pb.SymbolStatus:
        openings = self._bridge.openings
        source = openings.source(record.key)
        return pb.SymbolStatus(
            symbol=wire.symbol_ref(record.key),
            cursor=wire.tick_id(record.cursor),
            agent=openings.streaming(record.key),
            lane=source.number if source else 0,
            published_ticks=record.published_ticks,
            quarantined_ticks=record.quarantined_ticks,
            out_of_sync=record.out_of_sync,
            conflicts=record.conflicts,
            standing_by=openings.waiting(record.key),
            missing_ticks=record.missing_ticks,
        )
