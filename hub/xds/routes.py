"""Listeners, and the routes behind them: which cluster a call goes to, for how long, and whether it is repeated.

What gRPC's core insists on: a router filter on every listener, and no host without routes.
"""

from collections.abc import Iterable, Iterator

from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import UInt32Value
from suho.envoy.v3 import http_connection_manager_pb2, listener_pb2, route_pb2, router_pb2

from hub.domain.instance import Method
from hub.domain.policy import Policy, Retry
from hub.xds.names import canary_of
from hub.xds.packing import FROM_THIS_STREAM, packed


def listener(name: str) -> listener_pb2.Listener:
    """What `xds:///<name>` resolves to; its routes bear the same name."""
    manager = http_connection_manager_pb2.HttpConnectionManager(
        rds=http_connection_manager_pb2.Rds(config_source=FROM_THIS_STREAM, route_config_name=name),
        http_filters=[
            http_connection_manager_pb2.HttpFilter(name="router", typed_config=packed(router_pb2.Router())),
        ],
    )
    return listener_pb2.Listener(name=name, api_listener=listener_pb2.ApiListener(api_listener=packed(manager)))


def configuration(name: str, fragments: Iterable[bytes]) -> route_pb2.RouteConfiguration:
    """Routes for every host, from fragments as `fragment` makes them; the first that matches counts."""
    host = route_pb2.VirtualHost(name=name, domains=["*"])
    for part in fragments:
        host.MergeFromString(part)
    return route_pb2.RouteConfiguration(name=name, virtual_hosts=[host] if host.routes else [])


def fragment(
    service: str, prefixes: Iterable[str], methods: Iterable[Method], policy: Policy, prolong_ms: int
) -> bytes:
    """One service's routes.

    Methods have routes of their own where the policy has something for them: a deadline would end a stream, and a
    repetition do harm, so both are only for what is known to be unary, and idempotent. All else goes by prefix.

    Args:
        prolong_ms: By how much the client's deadlines come early.
    """
    exact = [
        route_pb2.Route(match=route_pb2.RouteMatch(path=f"/{method.path}"), route=action)
        for method in methods
        if (action := _action(service, method, policy, prolong_ms)) is not None
    ]
    plain = route_pb2.RouteAction(cluster=service)
    routes = [
        *exact,
        *(route_pb2.Route(match=route_pb2.RouteMatch(prefix=prefix), route=plain) for prefix in prefixes),
    ]
    return route_pb2.VirtualHost(routes=[*_for_canary(service, policy, routes), *routes]).SerializeToString()


def _for_canary(service: str, policy: Policy, routes: Iterable[route_pb2.Route]) -> Iterator[route_pb2.Route]:
    if policy.canary is None:
        return
    for route in routes:
        copied = route_pb2.Route()
        copied.CopyFrom(route)
        copied.match.headers.add(name=policy.canary.header, exact_match=policy.canary.value)
        copied.route.cluster = canary_of(service)
        yield copied


def _action(service: str, method: Method, policy: Policy, prolong_ms: int) -> route_pb2.RouteAction | None:
    repeated = method.idempotent and policy.retry.max_attempts > 1
    if not (repeated or policy.timeout_ms):
        return None
    action = route_pb2.RouteAction(cluster=service)
    if repeated:
        action.retry_policy.CopyFrom(_retry(policy.retry))
    if policy.timeout_ms:
        action.max_stream_duration.max_stream_duration.FromMilliseconds(policy.timeout_ms + prolong_ms)
    return action


def _retry(retry: Retry) -> route_pb2.RetryPolicy:
    base, most = Duration(), Duration()
    base.FromMilliseconds(retry.base_backoff_ms)
    most.FromMilliseconds(retry.max_backoff_ms)
    return route_pb2.RetryPolicy(
        retry_on=",".join(retry.retry_on),
        num_retries=UInt32Value(value=retry.max_attempts - 1),
        retry_back_off=route_pb2.RetryPolicy.RetryBackOff(base_interval=base, max_interval=most),
    )
