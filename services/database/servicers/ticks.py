"""TickService: what is known of stored ticks, and the sinks that store them."""

from typing import Any

from suho.database.v1 import tick_service_pb2 as pb

from services.database.clickhouse.quality import StoredQuality
from services.database.clickhouse.ticks import StoredTicks
from services.database.domain.purge import LogState
from services.database.servicers.edge import phrase
from services.database.servicers.tick_messages import stats_message, summary_message, symbol, tick_message
from services.database.servicers.tick_service import Handlers, unary
from services.database.sinks import Sinks, SinkState


class TickServicer:
    def __init__(self, stored: StoredTicks, quality: StoredQuality, sinks: Sinks) -> None:
        self._stored = stored
        self._quality = quality
        self._sinks = sinks

    def handlers(self) -> Handlers:
        return {
            "GetTickStats": unary(self.GetTickStats, pb.GetTickStatsRequest, pb.GetTickStatsResponse),
            "GetLastTick": unary(self.GetLastTick, pb.GetLastTickRequest, pb.GetLastTickResponse),
            "ListSymbols": unary(self.ListSymbols, pb.ListSymbolsRequest, pb.ListSymbolsResponse),
            "GetSinkStatus": unary(self.GetSinkStatus, pb.GetSinkStatusRequest, pb.GetSinkStatusResponse),
        }

    async def GetTickStats(self, request: pb.GetTickStatsRequest, context: Any) -> pb.GetTickStatsResponse:
        names = phrase("server", request.server), phrase("symbol", request.symbol)
        ask = self._stored.counts if request.counts_only else self._stored.audit
        return pb.GetTickStatsResponse(stats=[stats_message(stats) for stats in await ask(*names)])

    async def GetLastTick(self, request: pb.GetLastTickRequest, context: Any) -> pb.GetLastTickResponse:
        tick = await self._stored.last(*symbol(request.symbol))
        return pb.GetLastTickResponse(tick=tick_message(tick) if tick else None)

    async def ListSymbols(self, request: pb.ListSymbolsRequest, context: Any) -> pb.ListSymbolsResponse:
        symbols = await self._quality.symbols()
        return pb.ListSymbolsResponse(symbols=[summary_message(summary) for summary in symbols])

    async def GetSinkStatus(self, request: pb.GetSinkStatusRequest, context: Any) -> pb.GetSinkStatusResponse:
        logs = await self._sinks.logs()
        states = await self._sinks.states(logs)
        main = states[0]  # what stores TICKS in ClickHouse
        return pb.GetSinkStatusResponse(
            log_epoch=main.epoch,
            stored_seq=main.stored_seq,
            log_last_seq=logs[main.log].last_seq,
            tick_stored_p50_ms=main.latency.p50_ms,
            tick_stored_p99_ms=main.latency.p99_ms,
            stored_rows=main.stored_rows,
            stopped_reason=main.stopped_reason,
            sinks=map(_sink_message, states),
            logs=(_log_message(name, state) for name, state in logs.items()),
        )


def _sink_message(state: SinkState) -> pb.SinkStatus:
    return pb.SinkStatus(
        log=state.log,
        store=state.store,
        epoch=state.epoch,
        stored_seq=state.stored_seq,
        holder=state.holder,
        stored_rows=state.stored_rows,
        stopped_reason=state.stopped_reason,
    )


def _log_message(name: str, state: LogState) -> pb.LogStatus:
    return pb.LogStatus(
        log=name,
        epoch=state.epoch,
        first_seq=state.first_seq,
        last_seq=state.last_seq,
        bytes=state.bytes,
        max_bytes=state.max_bytes,
        purged_seq=state.purged_seq,
    )
