"""A client's discovery stream, message by message: subscribes as stock gRPC does, acknowledges all it is told."""

import asyncio
from collections.abc import Callable
from functools import lru_cache

from suho.envoy.v3 import core_pb2, discovery_pb2, endpoint_pb2

from bench.hub.h2 import Connection
from bench.race import NoShowError

_STREAM = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
_TYPE = "type.googleapis.com/envoy.config."
_LISTENER = f"{_TYPE}listener.v3.Listener"
_ROUTES = f"{_TYPE}route.v3.RouteConfiguration"
_CLUSTER = f"{_TYPE}cluster.v3.Cluster"
_ENDPOINTS = f"{_TYPE}endpoint.v3.ClusterLoadAssignment"
# What asks for what: a client subscribes to the next when it has the one before.
_NEXT = {_LISTENER: _ROUTES, _ROUTES: _CLUSTER, _CLUSTER: _ENDPOINTS}

Told = Callable[[frozenset[int], int], None]
"""Takes the ports of a service's endpoints, and when they were told."""


class AdsClient:
    """One stream, for `xds:///mesh` and one service."""

    def __init__(self, connection: Connection, node: str, service: str, told: Told) -> None:
        self._names = {_LISTENER: ["mesh"], _ROUTES: ["mesh"], _CLUSTER: [service], _ENDPOINTS: [service]}
        self._told = told
        self._asked: set[str] = set()
        self._started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._call = connection.call(_STREAM, self._hear, self._over)
        self._ask(discovery_pb2.DiscoveryRequest(type_url=_LISTENER, node=core_pb2.Node(id=node)))

    async def started(self) -> None:
        """Returns when it knows endpoints."""
        await self._started

    def _ask(self, request: discovery_pb2.DiscoveryRequest) -> None:
        self._asked.add(request.type_url)
        request.resource_names.extend(self._names[request.type_url])
        self._call.send(request.SerializeToString())

    def _hear(self, message: bytes, now: int) -> None:
        response = discovery_pb2.DiscoveryResponse.FromString(message)
        kind = response.type_url
        if kind == _ENDPOINTS and response.resources:
            self._told(_ports(response.resources[0].value), now)
            if not self._started.done():
                self._started.set_result(None)
        version, nonce = response.version_info, response.nonce
        self._ask(discovery_pb2.DiscoveryRequest(type_url=kind, version_info=version, response_nonce=nonce))
        if (follows := _NEXT.get(kind)) and follows not in self._asked:
            self._ask(discovery_pb2.DiscoveryRequest(type_url=follows))

    def _over(self, why: str) -> None:
        if not self._started.done():
            self._started.set_exception(NoShowError(f"a discovery stream ended: {why}"))


@lru_cache(maxsize=64)
def _ports(assignment: bytes) -> frozenset[int]:
    """Of a serialised ClusterLoadAssignment: all clients are told the same."""
    return frozenset(
        member.endpoint.address.socket_address.port_value
        for locality in endpoint_pb2.ClusterLoadAssignment.FromString(assignment).endpoints
        for member in locality.lb_endpoints
    )
