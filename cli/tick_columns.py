"""Calls whose ticks travel as columns, and ticks as rows for people."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any

import grpc
from suho.database.v1 import tick_service_pb2
from suho.market.v1 import bridge_pb2

from cli.output import decimals, server_time
from mesh.market import Batch

_TICKS = "/suho.database.v1.TickService"
_BRIDGE = "/suho.market.v1.BridgeService"


def get_ticks(
    channel: grpc.aio.Channel, request: tick_service_pb2.GetTicksRequest
) -> AsyncIterable[tick_service_pb2.GetTicksResponseTwin]:
    """TickService.GetTicks."""
    call = channel.unary_stream(
        f"{_TICKS}/GetTicks",
        request_serializer=tick_service_pb2.GetTicksRequest.SerializeToString,
        response_deserializer=tick_service_pb2.GetTicksResponseTwin.FromString,
    )
    responses: AsyncIterable[tick_service_pb2.GetTicksResponseTwin] = call(request)
    return responses


async def get_recent(
    channel: grpc.aio.Channel, request: tick_service_pb2.GetRecentTicksRequest, timeout: float
) -> tick_service_pb2.GetRecentTicksResponseTwin:
    """TickService.GetRecentTicks."""
    call = channel.unary_unary(
        f"{_TICKS}/GetRecentTicks",
        request_serializer=tick_service_pb2.GetRecentTicksRequest.SerializeToString,
        response_deserializer=tick_service_pb2.GetRecentTicksResponseTwin.FromString,
    )
    response: tick_service_pb2.GetRecentTicksResponseTwin = await call(request, timeout=timeout)
    return response


def subscribe(
    channel: grpc.aio.Channel, request: bridge_pb2.SubscribeRequest
) -> AsyncIterable[bridge_pb2.SubscribeResponseTwin]:
    """BridgeService.Subscribe."""
    call = channel.unary_stream(
        f"{_BRIDGE}/Subscribe",
        request_serializer=bridge_pb2.SubscribeRequest.SerializeToString,
        response_deserializer=bridge_pb2.SubscribeResponseTwin.FromString,
    )
    responses: AsyncIterable[bridge_pb2.SubscribeResponseTwin] = call(request)
    return responses


def import_ticks(
    channel: grpc.aio.Channel, requests: AsyncIterator[bridge_pb2.ImportTicksRequestTwin]
) -> AsyncIterable[bridge_pb2.ImportTicksResponse]:
    """BridgeService.ImportTicks."""
    call = channel.stream_stream(
        f"{_BRIDGE}/ImportTicks",
        request_serializer=bridge_pb2.ImportTicksRequestTwin.SerializeToString,
        response_deserializer=bridge_pb2.ImportTicksResponse.FromString,
    )
    responses: AsyncIterable[bridge_pb2.ImportTicksResponse] = call(requests)
    return responses


def rows(batch: Batch) -> Iterator[dict[str, Any]]:
    """Each tick as the contract's Tick in JSON; for people, not for many."""
    columns = {name: column.tolist() for name, column in batch.columns().items()}
    for place in range(len(batch)):
        values = {name: column[place] for name, column in columns.items()}
        identity = {"time_msc": values.pop("time_msc"), "ordinal": values.pop("ordinal")}
        yield {"server": batch.server, "symbol": batch.symbol, "id": identity, **values}


def digits_of(ticks: Iterable[dict[str, Any]]) -> int:
    """The decimals that their prices need."""
    return decimals(tick[name] for tick in ticks for name in ("bid", "ask", "last"))


def line(tick: dict[str, Any], digits: int) -> str:
    """One tick for people, its prices with so many decimals."""
    identity = tick["id"]
    place = f" #{identity['ordinal']}" if identity["ordinal"] else ""  # among those of the same millisecond
    prices = f"bid {tick['bid']:.{digits}f} ask {tick['ask']:.{digits}f}"
    return f"{tick['symbol']} {server_time(identity['time_msc'])}{place} {prices}"
