"""Endpoints: where a cluster's instances are, by zone and weight.

What gRPC's core insists on: IP literals, each address once, a weight on every locality, priorities without a gap. It
ignores the weights of endpoints, so instances of one zone that differ in weight are localities of their own.
"""

from collections.abc import Iterable
from functools import lru_cache

from google.protobuf.wrappers_pb2 import UInt32Value
from suho.envoy.v3 import core_pb2, endpoint_pb2

from hub.domain.policy import Canary
from hub.domain.topology import Callee, Endpoint


def endpoints(
    name: str, callees: Iterable[Callee], client_zone: str, *, outside: bool
) -> endpoint_pb2.ClusterLoadAssignment:
    """A cluster's endpoints; where any is in the client's zone, the others are there in case those fail."""
    localities: dict[tuple[str, int], dict[Endpoint, None]] = {}
    known: set[Endpoint] = set()
    for callee in callees:
        endpoint = callee.outside if outside else callee.inside
        # One address can be registered twice for a while: a program came back under another id.
        if endpoint is not None and endpoint not in known:
            known.add(endpoint)
            localities.setdefault((callee.zone, callee.weight), {})[endpoint] = None
    preferred = client_zone if any(zone == client_zone for zone, _ in localities) else ""
    return endpoint_pb2.ClusterLoadAssignment(
        cluster_name=name,
        endpoints=[
            _locality(zone, weight, members, priority=int(bool(preferred) and zone != preferred))
            for (zone, weight), members in sorted(localities.items(), key=lambda item: item[0])
        ],
    )


def called(callees: tuple[Callee, ...], canary: Canary | None, *, by_canary: bool) -> tuple[Callee, ...]:
    """Those that get the calls with the canary's header, or those that get the others.

    A canary that is not UP is no canary; and none, or nothing but canaries, gets everything: a policy empties nothing.
    """
    if canary is None:
        return callees
    canaries = tuple(callee for callee in callees if callee.up and callee.version == canary.version)
    if not canaries or len(canaries) == len(callees):
        return callees
    if by_canary:
        return canaries
    return tuple(callee for callee in callees if callee.version != canary.version)


def _locality(
    zone: str, weight: int, members: Iterable[Endpoint], *, priority: int
) -> endpoint_pb2.LocalityLbEndpoints:
    found = list(members)
    made = endpoint_pb2.LocalityLbEndpoints(
        locality=core_pb2.Locality(zone=zone, sub_zone=f"weight-{weight}"),
        load_balancing_weight=UInt32Value(value=weight * len(found)),
        priority=priority,
    )
    made.MergeFromString(b"".join(map(_member, found)))
    return made


@lru_cache(maxsize=65_536)
def _member(endpoint: Endpoint) -> bytes:
    """As a part of a locality: Protobuf's fields concatenate."""
    socket = core_pb2.SocketAddress(address=endpoint.ip, port_value=endpoint.port)
    member = endpoint_pb2.LbEndpoint(
        endpoint=endpoint_pb2.Endpoint(address=core_pb2.Address(socket_address=socket)),
        health_status=core_pb2.HEALTHY,
    )
    return endpoint_pb2.LocalityLbEndpoints(lb_endpoints=[member]).SerializeToString()
