"""The mesh in Envoy's words, as far as gRPC's clients listen.

What gRPC's core insists on: a router filter on every listener, a weight on every locality, IP literals in endpoints.
"""

from collections.abc import Iterable, Mapping

from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import UInt32Value
from suho.envoy.v3 import (
    cluster_pb2,
    core_pb2,
    endpoint_pb2,
    http_connection_manager_pb2,
    listener_pb2,
    pick_first_pb2,
    route_pb2,
    router_pb2,
)

from hub.domain.topology import Endpoint

# Per client process. gRPC's own default, 1024, would refuse a burst that the callee takes easily.
_MAX_REQUESTS = 100_000

_FROM_THIS_STREAM = core_pb2.ConfigSource(ads=core_pb2.AggregatedConfigSource(), resource_api_version=core_pb2.V3)


def listener(name: str) -> listener_pb2.Listener:
    """What `xds:///<name>` resolves to; its routes bear the same name."""
    manager = http_connection_manager_pb2.HttpConnectionManager(
        rds=http_connection_manager_pb2.Rds(config_source=_FROM_THIS_STREAM, route_config_name=name),
        http_filters=[
            http_connection_manager_pb2.HttpFilter(name="router", typed_config=_packed(router_pb2.Router())),
        ],
    )
    return listener_pb2.Listener(name=name, api_listener=listener_pb2.ApiListener(api_listener=_packed(manager)))


def routes(name: str, clusters: Mapping[str, str]) -> route_pb2.RouteConfiguration:
    """Routes by path prefix.

    There is no retry policy: a call is repeated only where gRPC knows that no server has seen it, because whether one
    may be sent twice is for its caller to say.
    """
    host = route_pb2.VirtualHost(
        name=name,
        domains=["*"],
        routes=[
            route_pb2.Route(match=route_pb2.RouteMatch(prefix=prefix), route=route_pb2.RouteAction(cluster=cluster))
            for prefix, cluster in sorted(clusters.items())
        ],
    )
    # gRPC refuses a host without routes, but not routes without a host.
    return route_pb2.RouteConfiguration(name=name, virtual_hosts=[host] if clusters else [])


def cluster(name: str, *, one_connection: bool) -> cluster_pb2.Cluster:
    """A group of endpoints: spread over all, or one connection to any (shuffled, so that many clients spread)."""
    made = cluster_pb2.Cluster(
        name=name,
        type=cluster_pb2.Cluster.EDS,
        eds_cluster_config=cluster_pb2.Cluster.EdsClusterConfig(eds_config=_FROM_THIS_STREAM, service_name=name),
        circuit_breakers=cluster_pb2.CircuitBreakers(
            thresholds=[cluster_pb2.CircuitBreakers.Thresholds(max_requests=UInt32Value(value=_MAX_REQUESTS))]
        ),
    )
    if one_connection:
        policy = core_pb2.TypedExtensionConfig(
            name="pick_first", typed_config=_packed(pick_first_pb2.PickFirst(shuffle_address_list=True))
        )
        made.load_balancing_policy.policies.add(typed_extension_config=policy)
    return made


def endpoints(name: str, found: Iterable[Endpoint]) -> endpoint_pb2.ClusterLoadAssignment:
    """Where a cluster's instances are, by zone."""
    zones: dict[str, list[Endpoint]] = {}
    for endpoint in found:
        zones.setdefault(endpoint.zone, []).append(endpoint)
    return endpoint_pb2.ClusterLoadAssignment(
        cluster_name=name, endpoints=[_locality(zone, members) for zone, members in sorted(zones.items())]
    )


def _locality(zone: str, members: list[Endpoint]) -> endpoint_pb2.LocalityLbEndpoints:
    return endpoint_pb2.LocalityLbEndpoints(
        locality=core_pb2.Locality(zone=zone),
        load_balancing_weight=UInt32Value(value=sum(member.weight for member in members)),
        lb_endpoints=[_member(member) for member in members],
    )


def _member(endpoint: Endpoint) -> endpoint_pb2.LbEndpoint:
    socket = core_pb2.SocketAddress(address=endpoint.host, port_value=endpoint.port)
    return endpoint_pb2.LbEndpoint(
        endpoint=endpoint_pb2.Endpoint(address=core_pb2.Address(socket_address=socket)),
        health_status=core_pb2.HEALTHY,
        load_balancing_weight=UInt32Value(value=endpoint.weight),
    )


def _packed(message: Message) -> Any:
    packed = Any()
    packed.Pack(message)
    return packed
