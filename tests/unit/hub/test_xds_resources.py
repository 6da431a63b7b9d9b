"""What resources say: the rules that gRPC's clients hold them to."""

from dataclasses import replace

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from suho.envoy.v3 import cluster_pb2, core_pb2, endpoint_pb2, route_pb2

from hub.domain.instance import Address, Instance, Method
from hub.domain.policy import Canary, OutlierDetection, Policy, Retry
from hub.domain.status import Status
from hub.domain.topology import Surveyor
from hub.xds.kinds import Kind
from hub.xds.snapshot import Snapshot
from hub.xds.view import RequestError, View, view_of

ECHO = "test.Echo"
GET, SET = Method(f"{ECHO}/Get", idempotent=True), Method(f"{ECHO}/Set", idempotent=False)
CANARY = Canary("x-canary", "yes", "2")
ANYBODY, C_CORE = View(), View(prolong_ms=2_000)


def echo(number: int, **fields: object) -> Instance:
    made = Instance(
        f"echo-{number}",
        "echo",
        addresses=(Address("grpc", "127.0.0.1", number),),
        grpc_services=(ECHO,),
        methods=(GET, SET),
        status=Status.UP,
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def snapshot(*instances: Instance, **policy: object) -> Snapshot:
    surveyor = Surveyor()
    surveyor.begin_anew(instances)
    return Snapshot(surveyor.topology(1, {"echo": Policy("echo", **policy)} if policy else {}))  # type: ignore[arg-type]


def unpacked(state: Snapshot, kind: Kind, name: str, view: View, message: Message) -> None:
    resource = state.resource(kind, name, view)
    assert resource is not None
    assert Any.FromString(resource.data).Unpack(message)


def localities(state: Snapshot, cluster: str = "echo", zone: str = "") -> list[tuple[int, str, int, list[int]]]:
    """(priority, zone, weight, ports) of each."""
    made = endpoint_pb2.ClusterLoadAssignment()
    unpacked(state, Kind.ENDPOINTS, cluster, View(zone=zone), made)
    return [
        (
            item.priority,
            item.locality.zone,
            item.load_balancing_weight.value,
            [member.endpoint.address.socket_address.port_value for member in item.lb_endpoints],
        )
        for item in made.endpoints
    ]


def routes(state: Snapshot, name: str = "mesh", view: View = ANYBODY) -> list[route_pb2.Route]:
    made = route_pb2.RouteConfiguration()
    unpacked(state, Kind.ROUTES, name, view, made)
    return [item for host in made.virtual_hosts for item in host.routes]


def described(route: route_pb2.Route) -> str:
    where = route.match.path or f"{route.match.prefix}*"
    headers = "".join(f" {header.name}={header.exact_match}" for header in route.match.headers)
    what = (" retry" if route.route.HasField("retry_policy") else "") + (
        " deadline" if route.route.HasField("max_stream_duration") else ""
    )
    return f"{where}{headers} → {route.route.cluster}{what}"


def test_instances_of_one_zone_with_different_weights_are_localities_of_their_own() -> None:
    """gRPC heeds the weights of localities only, and skips one without."""
    state = snapshot(echo(1, weight=1), echo(2, weight=3), echo(3, weight=3), echo(4, weight=3, zone="b"))
    assert localities(state) == [(0, "", 1, [1]), (0, "", 6, [2, 3]), (0, "b", 3, [4])]


def test_the_clients_zone_goes_first_and_all_others_second() -> None:
    """Without one, or with nobody there, all are equal: priorities have no gap."""
    state = snapshot(echo(1, zone="a"), echo(2, zone="b"), echo(3))
    assert [(priority, zone) for priority, zone, _, _ in localities(state, zone="b")] == [(1, ""), (1, "a"), (0, "b")]
    for zone in ("", "c"):
        assert {priority for priority, *_ in localities(state, zone=zone)} == {0}


def test_clients_of_zones_where_nobody_is_share_one_resource() -> None:
    """So a client's word makes nothing grow."""
    state = snapshot(echo(1, zone="a"))
    one, two = (state.resource(Kind.ENDPOINTS, "echo", View(zone=zone)) for zone in ("x", "y"))
    assert one is two


def test_an_address_is_named_once() -> None:
    """gRPC refuses a cluster that names one twice: a program may have come back under another id."""
    again = echo(2, addresses=echo(1).addresses)
    assert localities(snapshot(echo(1), again, echo(3, addresses=echo(1).addresses, weight=7))) == [(0, "", 100, [1])]


def test_canaries_have_a_cluster_of_their_own_while_they_are_up() -> None:
    """And the others theirs; where there is only one of both, it gets everything."""
    old, new = echo(1, version="1"), echo(2, version="2")
    both = snapshot(old, new, canary=CANARY)
    assert localities(both)[0][3] == [1]
    assert localities(both, "echo@canary")[0][3] == [2]
    for state in (snapshot(old, canary=CANARY), snapshot(old, replace(new, status=Status.DRAINING), canary=CANARY)):
        assert localities(state) == localities(state, "echo@canary") == [(0, "", 100, [1])]
    alone = snapshot(new, canary=CANARY)
    assert localities(alone) == localities(alone, "echo@canary") == [(0, "", 100, [2])]
    assert localities(snapshot(old, new), "echo@canary")[0][3] == [1, 2]


def test_a_canary_that_is_doubted_is_none() -> None:
    """Where nobody is UP, all that may still live get all calls."""
    old, new = (replace(echo(number), version=str(number), status=Status.EXPIRED, doubted=True) for number in (1, 2))
    state = snapshot(old, new, canary=CANARY)
    assert localities(state) == localities(state, "echo@canary") == [(0, "", 200, [1, 2])]


def test_a_zone_that_has_only_the_canary_is_empty_for_other_calls() -> None:
    """Their priorities begin at 0 all the same."""
    state = snapshot(echo(1, version="1", zone="b"), echo(2, version="2", zone="a"), canary=CANARY)
    assert localities(state, zone="a") == [(0, "b", 100, [1])]


def test_by_default_only_idempotent_unary_methods_are_repeated() -> None:
    """Exact paths go before the prefix, which nothing is promised for."""
    assert [described(item) for item in routes(snapshot(echo(1)))] == [
        "/test.Echo/Get → echo retry",
        "/test.Echo/* → echo",
    ]


def test_deadlines_and_repetitions_are_for_listed_methods_alone() -> None:
    """What is not known to be unary never gets one: it would end a stream."""
    state = snapshot(echo(1), timeout_ms=700, retry=Retry(5, 10, 80, ("unavailable", "internal")))
    get, put, rest = routes(state)
    assert [described(item) for item in (get, put, rest)] == [
        "/test.Echo/Get → echo retry deadline",
        "/test.Echo/Set → echo deadline",
        "/test.Echo/* → echo",
    ]
    policy = get.route.retry_policy
    assert (policy.retry_on, policy.num_retries.value) == ("unavailable,internal", 4)
    assert policy.retry_back_off.base_interval.ToMilliseconds() == 10
    assert policy.retry_back_off.max_interval.ToMilliseconds() == 80
    assert put.route.max_stream_duration.max_stream_duration.ToMilliseconds() == 700


def test_deadlines_are_longer_for_clients_whose_deadlines_come_early() -> None:
    """gRPC's C core, by up to two seconds; others are not touched."""
    assert view_of(core_pb2.Node(user_agent_name="gRPC C-core linux")) == C_CORE
    assert view_of(core_pb2.Node(user_agent_name="gRPC Go")) == View()
    made = routes(snapshot(echo(1), timeout_ms=700), view=C_CORE)
    assert made[0].route.max_stream_duration.max_stream_duration.ToMilliseconds() == 2_700


def test_calls_with_the_canarys_header_are_looked_at_first() -> None:
    """Each route has a twin, with the same promises."""
    assert [described(item) for item in routes(snapshot(echo(1), canary=CANARY))] == [
        "/test.Echo/Get x-canary=yes → echo@canary retry",
        "/test.Echo/* x-canary=yes → echo@canary",
        "/test.Echo/Get → echo retry",
        "/test.Echo/* → echo",
    ]


def test_one_attempt_is_no_repetition() -> None:
    """And needs no route."""
    assert [described(item) for item in routes(snapshot(echo(1), retry=Retry(max_attempts=1)))] == [
        "/test.Echo/* → echo"
    ]


def test_a_client_that_calls_everything_has_no_more_routes_than_a_message_holds() -> None:
    """With a thousand services' methods it goes by prefix; with declared dependencies it has its own."""
    many = [
        echo(number, service=f"s{number}", grpc_services=(f"s.S{number}",),
             methods=tuple(Method(f"s.S{number}/M{item}", idempotent=True) for item in range(100)))
        for number in range(1, 101)
    ]  # fmt: skip
    state = snapshot(*many)
    assert len(routes(state)) == 100
    assert len(routes(state, view=View(dependencies=frozenset({"s1"})))) == 101


def test_a_services_own_listener_leads_all_calls_there() -> None:
    """Also those to gRPC services that it does not list; the entrances keep to prefixes."""
    state = snapshot(echo(1))
    assert state.resource(Kind.LISTENER, "echo", View()) is not None
    assert [described(item) for item in routes(state, "echo")] == ["/test.Echo/Get → echo retry", "/* → echo"]
    assert [described(item) for item in routes(state, "agent-ticks")] == ["/* → agent-ticks"]


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        (Kind.LISTENER, "ecko", "no service named ecko; did you mean 'echo'?"),
        (Kind.ROUTES, "ghost-of-the-opera", "no service named ghost-of-the-opera; there are echo"),
        (Kind.LISTENER, "engine", "service engine is registered, but nothing of it speaks gRPC"),
        (Kind.CLUSTER, "No Name", "'No Name' can be no service's name"),
        (Kind.ENDPOINTS, "echo@other", "'echo@other' can be no service's name"),
    ],
)
def test_what_is_not_there_is_said_in_words(kind: Kind, name: str, words: str) -> None:
    """With what was perhaps meant."""
    state = snapshot(echo(1), Instance("engine-1", "engine", status=Status.UP))
    assert state.resource(kind, name, View()) is None
    assert state.missing(kind, name).startswith(words)


def test_a_policys_limits_are_its_clusters() -> None:
    """An instance is taken out from the share of failures on, where gRPC says: above it."""
    outlier = OutlierDetection(1000, 5000, 40, 25, 3, 20)
    state = snapshot(echo(1), max_requests=7, outlier_detection=outlier, canary=CANARY)
    for name in ("echo", "echo@canary"):
        made = cluster_pb2.Cluster()
        unpacked(state, Kind.CLUSTER, name, View(), made)
        assert made.circuit_breakers.thresholds[0].max_requests.value == 7
        found = made.outlier_detection
        assert (found.failure_percentage_threshold.value, found.enforcing_failure_percentage.value) == (24, 100)
        assert (found.interval.ToMilliseconds(), found.base_ejection_time.ToMilliseconds()) == (1000, 5000)
        assert found.max_ejection_percent.value == 40
        assert found.failure_percentage_minimum_hosts.value == 3
        assert found.failure_percentage_request_volume.value == 20
        assert found.enforcing_success_rate.value == 0


def test_what_did_not_change_is_not_made_again() -> None:
    """The same object, in the next snapshot too."""
    surveyor = Surveyor()
    surveyor.begin_anew([echo(1), Instance("o-1", "other", grpc_services=("other.O",), status=Status.UP)])
    before = Snapshot(surveyor.topology(1, {}))
    asked = [(Kind.ROUTES, "mesh"), (Kind.CLUSTER, "echo"), (Kind.ENDPOINTS, "other"), (Kind.LISTENER, "echo")]
    first = [before.resource(kind, name, View()) for kind, name in asked]
    surveyor.begin_anew([echo(1), echo(2), Instance("o-1", "other", grpc_services=("other.O",), status=Status.UP)])
    after = Snapshot(surveyor.topology(2, {}), before)
    assert [after.resource(kind, name, View()) for kind, name in asked] == first


@pytest.mark.parametrize("names", [["Not A Name"], [f"s{number}" for number in range(1001)]])
def test_dependencies_that_can_be_no_services_are_refused(names: list[str]) -> None:
    """A mistake is said, not passed over."""
    node = core_pb2.Node()
    node.metadata.update({"dependencies": names})
    with pytest.raises(RequestError, match=r"node\.metadata\.dependencies"):
        view_of(node)
