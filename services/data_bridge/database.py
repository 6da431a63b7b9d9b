"""The database service, as far as the bridge needs it: stored ticks, how far the logs are stored, the cache."""

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc
from suho.database.v1 import tick_service_pb2 as pb
from suho.database.v1 import tick_service_pb2_grpc

from mesh.errors import MeshError, Reason
from mesh.market import Batch, TickId, codec
from mesh.market.digest import Digest
from mesh.waiting import backoff
from services.data_bridge import wire
from services.data_bridge.domain.audit import Span
from services.data_bridge.domain.log import LogEnd, LogUnavailableError
from services.data_bridge.domain.progress import SymbolKey
from services.data_bridge.history_messages import digest

_TIMEOUT_S = 2.0
# Agents come with thousands of symbols at once; who waits longer asks again, and the answer would come too late again.
_ENDS_ASKED = 200
_END_TIMEOUT_S = 20.0
# Questions that read many rows.
_READING_TIMEOUT_S = 60.0
# How long the sink may be behind.
_STORED_WITHIN_S = 30.0
_CLICKHOUSE = "clickhouse"
_GET_TICKS = "/suho.database.v1.TickService/GetTicks"
# What the database takes in one call.
_MOST_TICKS = 1000


class StoredTicks:
    """Implements `domain.log.Stored`, `newest.Cache` and `domain.history.Store`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._ticks: tick_service_pb2_grpc.TickServiceAsyncStub = tick_service_pb2_grpc.TickServiceStub(channel)
        self._ends = asyncio.Semaphore(_ENDS_ASKED)
        self._get_ticks: Any = channel.unary_stream(
            _GET_TICKS, pb.GetTicksRequest.SerializeToString, pb.GetTicksResponseTwin.FromString
        )

    async def end(self, key: SymbolKey) -> LogEnd:
        try:
            async with self._ends:
                request = pb.GetLastTickRequest(symbol=wire.symbol_ref(key))
                answer = await self._ticks.GetLastTick(request, timeout=_END_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise LogUnavailableError(f"the database does not say how far it got: {MeshError.of(error)}") from None
        if not answer.HasField("tick"):
            return LogEnd()
        tick = answer.tick
        return LogEnd(0, TickId(tick.id.time_msc, tick.id.ordinal), tick.bid, tick.ask)

    async def put_newest(self, batches: Sequence[Batch]) -> None:
        """Put the ticks of `batches` (one each) into the cache. Raises MeshError."""
        ticks = [tick for batch in batches for tick in wire.ticks(batch)]
        try:
            for start in range(0, len(ticks), _MOST_TICKS):
                request = pb.PutNewestTicksRequest(ticks=ticks[start : start + _MOST_TICKS])
                await self._ticks.PutNewestTicks(request, timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise MeshError.of(error) from None

    async def digests(self, key: SymbolKey, span: Span) -> tuple[list[Digest], int]:
        """What the newest generation amounts to, a bucket each, and the highest generation of a correction there.

        Raises MeshError.
        """
        request = pb.GetTickDigestsRequest(
            symbol=wire.symbol_ref(key), from_msc=span.from_msc, to_msc=span.to_msc, bucket_ms=span.bucket_ms
        )
        try:
            answer = await self._ticks.GetTickDigests(request, timeout=_READING_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise MeshError.of(error) from None
        return [digest(message) for message in answer.digests], answer.generation

    async def ticks(self, key: SymbolKey, from_msc: int, to_msc: int) -> Batch | None:
        """The newest generation's ticks of [from_msc, to_msc); None when there are none. Raises MeshError."""
        request = pb.GetTicksRequest(symbol=wire.symbol_ref(key), from_msc=from_msc, to_msc=to_msc)
        try:
            responses = self._get_ticks(request, timeout=_READING_TIMEOUT_S)
            batches = [codec.decode(response.batch) async for response in responses if response.batch.count]
        except grpc.aio.AioRpcError as error:
            raise MeshError.of(error) from None
        return Batch.join(batches) if batches else None

    async def until_stored(self, log: str, seq: int | None = None) -> None:
        """Wait until ClickHouse has the stream's messages up to `seq`; None: all that it holds now.

        Raises:
            MeshError: HISTORY_UNAVAILABLE when that takes too long.
        """
        stored, pauses = 0, backoff(0.01, 0.5)
        try:
            async with asyncio.timeout(_STORED_WITHIN_S):
                while True:
                    status = await self._sink_status()
                    if seq is None:
                        seq = max((item.last_seq for item in status.logs if item.log == log), default=0)
                    sinks = [item for item in status.sinks if (item.log, item.store) == (log, _CLICKHOUSE)]
                    stored = max((item.stored_seq for item in sinks), default=0)
                    if stored >= seq:
                        return
                    await asyncio.sleep(next(pauses))
        except TimeoutError:
            behind = f"the store has {log} up to message {stored}, not yet up to {seq}; try again when it caught up"
            raise MeshError(Reason.HISTORY_UNAVAILABLE, behind) from None

    async def report(self, incident: pb.TickIncident) -> None:
        """Raises MeshError."""
        try:
            await self._ticks.ReportTickIncident(pb.ReportTickIncidentRequest(incident=incident), timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise MeshError.of(error) from None

    async def _sink_status(self) -> pb.GetSinkStatusResponse:
        try:
            return await self._ticks.GetSinkStatus(pb.GetSinkStatusRequest(), timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise MeshError.of(error) from None
