"""Clusters: how a group of endpoints is called."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import UInt32Value
from suho.envoy.v3 import cluster_pb2, core_pb2, pick_first_pb2

from hub.domain.policy import OutlierDetection, Policy
from hub.xds.packing import FROM_THIS_STREAM, packed


def cluster(name: str, policy: Policy, *, one_connection: bool) -> cluster_pb2.Cluster:
    """Spread over all endpoints, or one connection to any (shuffled, so that many clients spread)."""
    made = cluster_pb2.Cluster(
        name=name,
        type=cluster_pb2.Cluster.EDS,
        eds_cluster_config=cluster_pb2.Cluster.EdsClusterConfig(eds_config=FROM_THIS_STREAM, service_name=name),
        circuit_breakers=cluster_pb2.CircuitBreakers(
            thresholds=[cluster_pb2.CircuitBreakers.Thresholds(max_requests=UInt32Value(value=policy.max_requests))]
        ),
    )
    if policy.outlier_detection is not None:
        made.outlier_detection.CopyFrom(_outlier_detection(policy.outlier_detection))
    if one_connection:
        pick_first = core_pb2.TypedExtensionConfig(
            name="pick_first", typed_config=packed(pick_first_pb2.PickFirst(shuffle_address_list=True))
        )
        made.load_balancing_policy.policies.add(typed_extension_config=pick_first)
    return made


def _outlier_detection(outlier: OutlierDetection) -> cluster_pb2.OutlierDetection:
    interval, base = Duration(), Duration()
    interval.FromMilliseconds(outlier.interval_ms)
    base.FromMilliseconds(outlier.base_ejection_ms)
    return cluster_pb2.OutlierDetection(
        interval=interval,
        base_ejection_time=base,
        max_ejection_percent=UInt32Value(value=outlier.max_ejection_percent),
        enforcing_success_rate=UInt32Value(value=0),
        # Clients eject above the threshold; ours is the share from which.
        failure_percentage_threshold=UInt32Value(value=outlier.failure_percent - 1),
        enforcing_failure_percentage=UInt32Value(value=100),
        failure_percentage_minimum_hosts=UInt32Value(value=outlier.minimum_hosts),
        failure_percentage_request_volume=UInt32Value(value=outlier.request_volume),
    )
