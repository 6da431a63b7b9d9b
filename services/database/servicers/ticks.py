"""TickService."""

import math
from typing import Any

from suho.database.v1 import tick_service_pb2 as pb
from suho.database.v1 import tick_service_pb2_grpc
from suho.market.v1 import tick_pb2

from mesh.market import TickId
from services.database.clickhouse.ticks import StoredTicks
from services.database.domain.tick import Tick, TickStats
from services.database.servicers.edge import invalid, phrase, word
from services.database.sink import Log, Sink
from services.database.valkey import NewestTicks

_MOST_TICKS = 1000
# Beyond this a double no longer tells milliseconds apart, and the cache compares with doubles.
_LAST_MSC = 2**53


class TickServicer(tick_service_pb2_grpc.TickServiceServicer):
    def __init__(self, stored: StoredTicks, newest: NewestTicks, sink: Sink, tick_log: Log) -> None:
        self._stored = stored
        self._newest = newest
        self._sink = sink
        self._log = tick_log

    async def GetTickStats(self, request: pb.GetTickStatsRequest, context: Any) -> pb.GetTickStatsResponse:
        server, symbol = phrase("server", request.server), phrase("symbol", request.symbol)
        ask = self._stored.counts if request.counts_only else self._stored.audit
        return pb.GetTickStatsResponse(stats=[_stats_message(stats) for stats in await ask(server, symbol)])

    async def GetLastTick(self, request: pb.GetLastTickRequest, context: Any) -> pb.GetLastTickResponse:
        tick = await self._stored.last(*_symbol(request.symbol))
        return pb.GetLastTickResponse(tick=_tick_message(tick) if tick else None)

    async def PutNewestTicks(self, request: pb.PutNewestTicksRequest, context: Any) -> pb.PutNewestTicksResponse:
        if len(request.ticks) > _MOST_TICKS:
            raise invalid(f"{len(request.ticks)} ticks are too many for one call; send at most {_MOST_TICKS}")
        await self._newest.put([_tick(message) for message in request.ticks])
        return pb.PutNewestTicksResponse()

    async def GetNewestTick(self, request: pb.GetNewestTickRequest, context: Any) -> pb.GetNewestTickResponse:
        tick = await self._newest.get(*_symbol(request.symbol))
        return pb.GetNewestTickResponse(tick=_tick_message(tick) if tick else None)

    async def GetSinkStatus(self, request: pb.GetSinkStatusRequest, context: Any) -> pb.GetSinkStatusResponse:
        _, log_last_seq = await self._log.bounds()
        latency = self._sink.delays.latency()
        position = self._sink.position
        return pb.GetSinkStatusResponse(
            log_epoch=position.epoch,
            stored_seq=position.seq,
            log_last_seq=log_last_seq,
            tick_stored_p50_ms=latency.p50_ms,
            tick_stored_p99_ms=latency.p99_ms,
            stored_rows=self._sink.stored_rows,
            stopped_reason=self._sink.stopped_reason,
        )


def _symbol(message: tick_pb2.SymbolRef) -> tuple[str, str]:
    return word("symbol.server", message.server), word("symbol.symbol", message.symbol)


def _tick(message: tick_pb2.Tick) -> Tick:
    if not 0 < message.id.time_msc < _LAST_MSC:
        raise invalid(f"id.time_msc of {message.symbol} is {message.id.time_msc}; give the terminal's milliseconds")
    values = (message.bid, message.ask, message.last, message.volume_real)
    if not all(map(math.isfinite, values)):
        raise invalid(f"a price or volume of {message.symbol} is not a finite number; leave such ticks out")
    return Tick(
        server=word("server", message.server),
        symbol=word("symbol", message.symbol),
        id=TickId(message.id.time_msc, message.id.ordinal),
        bid=message.bid,
        ask=message.ask,
        last=message.last,
        volume=message.volume,
        volume_real=message.volume_real,
        flags=message.flags,
    )


def _tick_message(tick: Tick) -> tick_pb2.Tick:
    return tick_pb2.Tick(
        server=tick.server,
        symbol=tick.symbol,
        id=_id_message(tick.id),
        bid=tick.bid,
        ask=tick.ask,
        last=tick.last,
        volume=tick.volume,
        volume_real=tick.volume_real,
        flags=tick.flags,
    )


def _stats_message(stats: TickStats) -> pb.TickStats:
    return pb.TickStats(
        symbol=tick_pb2.SymbolRef(server=stats.server, symbol=stats.symbol),
        stored=stats.stored,
        distinct=stats.distinct,
        raw=stats.raw,
        quarantined=stats.quarantined,
        conflicting=stats.conflicting,
        digits=stats.digits,
        bid_points_sum=stats.bid_points_sum,
        ask_points_sum=stats.ask_points_sum,
        first=_id_message(stats.first) if stats.first else None,
        last=_id_message(stats.last) if stats.last else None,
    )


def _id_message(tick: TickId) -> tick_pb2.TickId:
    return tick_pb2.TickId(time_msc=tick.time_msc, ordinal=tick.ordinal)
