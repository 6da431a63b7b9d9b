"""The four kinds of xDS resources, by their type URLs."""

from collections.abc import Mapping
from enum import StrEnum

from suho.envoy.v3 import cluster_pb2, endpoint_pb2, listener_pb2, route_pb2

_PREFIX = "type.googleapis.com/"


class Kind(StrEnum):
    """In the order in which they are sent: what is led to comes before what leads there."""

    CLUSTER = _PREFIX + cluster_pb2.Cluster.DESCRIPTOR.full_name
    ENDPOINTS = _PREFIX + endpoint_pb2.ClusterLoadAssignment.DESCRIPTOR.full_name
    LISTENER = _PREFIX + listener_pb2.Listener.DESCRIPTOR.full_name
    ROUTES = _PREFIX + route_pb2.RouteConfiguration.DESCRIPTOR.full_name


KINDS: Mapping[str, Kind] = {str(kind): kind for kind in Kind}
"""By type URL."""

COMPLETE = frozenset({Kind.CLUSTER, Kind.LISTENER})
"""Of these a response says all there is: what is left out is deleted. Of the others only news is sent."""
