"""`envoy.service.discovery.v3.AggregatedDiscoveryService` at the edge: what `xds:///` clients talk to."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import grpc
from suho.envoy.v3 import discovery_pb2

from hub.discovery import Discovery
from hub.streams import heard, stopping_error
from hub.xds.clients import Client, Clients
from hub.xds.stream import AdsStream
from hub.xds.telling import Tellings
from hub.xds.view import RequestError
from mesh.clock import unix_ms
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
        self.clients = Clients()
        self._tasks = tasks
        self._discovery = discovery
        self._hold_s = hold_s
        self._tellings = Tellings()

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
        stream = AdsStream(self._tellings, self._hold_s)
        with (
            self.clients.connected(Client(stream, context.peer(), unix_ms())),
            bell.listening() as ear,
            self._reading(request_iterator, stream, ear) as reader,
        ):
            while not bell.stopping:
                over = reader.over  # whoever asks once and hangs up is answered all the same
                for response in stream.due(self._discovery.snapshot, time.monotonic()):
                    yield response
                if over:
                    break
                now = time.monotonic()
                until = stream.held_until(now)
                await heard(ear, None if until is None else until - now)
        if reader.refusal:
            raise MeshError(Reason.INVALID_ARGUMENT, reader.refusal)
        if bell.stopping:
            raise stopping_error()

    @contextmanager
    def _reading(
        self, requests: AsyncIterator[discovery_pb2.DiscoveryRequest], stream: AdsStream, ear: asyncio.Event
    ) -> Iterator["_Reader"]:
        reader = _Reader(stream, ear)
        # In the program's task group: handlers are generators, which gRPC may drop at any `yield`.
        task = self._tasks.create_task(reader.read(requests), name="read discovery requests")
        try:
            yield reader
        finally:
            task.cancel()


class _Reader:
    """Takes a client's requests in as they come: most are acknowledgements, and wake nobody."""

    __slots__ = ("_ear", "_stream", "over", "refusal")

    def __init__(self, stream: AdsStream, ear: asyncio.Event) -> None:
        self._stream = stream
        self._ear = ear
        self.over = False
        self.refusal = ""

    async def read(self, requests: AsyncIterator[discovery_pb2.DiscoveryRequest]) -> None:
        """Until the client is done, or asks what can not be answered."""
        stream = self._stream
        try:
            async for request in requests:
                if nack := stream.take(request, time.monotonic()):
                    log.error("a client refused", client=str(stream.who), kind=nack.kind, because=nack.message)
                if stream.asks:
                    self._ear.set()
        except RequestError as error:
            self.refusal = str(error)
        except Exception as error:  # noqa: BLE001 (a broken stream is its handler's concern, not the program's)
            log.warning("a stream could not be read", because=str(error) or type(error).__name__)
            self.refusal = "a message could not be read: it is none of this contract"
        finally:
            self.over = True
            self._ear.set()
