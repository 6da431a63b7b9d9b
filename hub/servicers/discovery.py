"""`envoy.service.discovery.v3.AggregatedDiscoveryService` at the edge: what `xds:///` clients talk to."""

import asyncio
import time
from collections.abc import AsyncIterator

import grpc
from suho.envoy.v3 import discovery_pb2

from hub.discovery import Discovery
from hub.streams import Inbox, heard, inbox, stopping_error
from hub.xds.stream import AdsStream, RequestError
from mesh.errors import MeshError, Reason
from mesh.log import get_logger
from mesh.server import Service

log = get_logger(__name__)

_NAME = discovery_pb2.DESCRIPTOR.services_by_name["AggregatedDiscoveryService"].full_name

_Context = grpc.aio.ServicerContext[discovery_pb2.DiscoveryRequest, bytes]


class DiscoveryServicer:
    """Streams the published snapshots.

    Args:
        hold_s: How long a client's knowledge from before is left standing where this hub can not confirm it.
    """

    def __init__(self, discovery: Discovery, hold_s: float, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._discovery = discovery
        self._hold_s = hold_s

    def service(self) -> Service:
        """Responses are handed over as bytes, serialised once for all clients that are told the same."""
        handler: grpc.RpcMethodHandler[discovery_pb2.DiscoveryRequest, bytes] = grpc.stream_stream_rpc_method_handler(
            self.StreamAggregatedResources,
            request_deserializer=discovery_pb2.DiscoveryRequest.FromString,
            response_serializer=None,
        )
        handlers = grpc.method_handlers_generic_handler(_NAME, {"StreamAggregatedResources": handler})
        return Service(_NAME, lambda server: server.add_generic_rpc_handlers((handlers,)))

    async def StreamAggregatedResources(
        self, request_iterator: AsyncIterator[discovery_pb2.DiscoveryRequest], context: _Context
    ) -> AsyncIterator[bytes]:
        bell = self._discovery.bell
        stream = AdsStream(self._hold_s)
        with bell.listening() as ear, inbox(self._tasks, request_iterator, ear) as requests:
            while not (bell.stopping or requests.ended):
                _take(stream, requests)
                for response in stream.due(self._discovery.snapshot, time.monotonic()):
                    yield response
                now = time.monotonic()
                until = stream.held_until(now)
                await heard(ear, None if until is None else until - now)
        if bell.stopping:
            raise stopping_error()


def _take(stream: AdsStream, requests: Inbox[discovery_pb2.DiscoveryRequest]) -> None:
    while request := requests.take():
        try:
            nack = stream.take(request, time.monotonic())
        except RequestError as error:
            raise MeshError(Reason.INVALID_ARGUMENT, str(error)) from None
        if nack:
            log.error("a client refused what it was sent", node=stream.node_id, kind=nack.kind, because=nack.message)
