"""What a client is told of the mesh: listeners, routes, clusters, endpoints, and what there is not."""

import pytest
from suho.envoy.v3 import cluster_pb2, discovery_pb2, endpoint_pb2, http_connection_manager_pb2, listener_pb2

from hub.xds.kinds import Kind
from hub.xds.stream import AdsStream
from hub.xds.telling import Tellings
from hub.xds.view import RequestError
from tests.unit.hub.ads_client import HOLD_S, Client, Mesh, instance, snapshot


def test_type_urls_are_envoys_own() -> None:
    """Stock clients look for these."""
    assert Kind.LISTENER == "type.googleapis.com/envoy.config.listener.v3.Listener"
    assert Kind.ENDPOINTS == "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"


def test_a_listener_leads_to_its_routes_through_a_router() -> None:
    """gRPC refuses a listener without the router filter."""
    client = Client()
    client.ask(Kind.LISTENER, "mesh", "agent-ticks", "ghost")
    assert client.hear(snapshot()) == [Kind.LISTENER]
    made = [listener_pb2.Listener.FromString(item.value) for item in client.last[Kind.LISTENER].resources]
    assert sorted(item.name for item in made) == ["agent-ticks", "mesh"]
    manager = http_connection_manager_pb2.HttpConnectionManager()
    assert made[0].api_listener.api_listener.Unpack(manager)
    assert manager.rds.route_config_name == made[0].name
    assert manager.http_filters[-1].typed_config.type_url.endswith("router.v3.Router")


@pytest.mark.parametrize(
    ("dependencies", "clusters"),
    [(None, {"database", "echo"}), ([], {"database", "echo"}), (["echo", "absent"], {"echo"})],
)
def test_routes_lead_to_declared_dependencies_or_to_all(dependencies: list[str] | None, clusters: set[str]) -> None:
    """By gRPC service name."""
    client = Client(dependencies)
    client.ask(Kind.ROUTES, "mesh")
    client.hear(snapshot(instance("database"), instance("echo")))
    assert set(client.routes().values()) == clusters
    assert client.routes()["/suho.echo.v1.Service/"] == "echo"


def test_dependencies_in_another_form_are_refused_in_words() -> None:
    """A string in place of a list is a mistake, not "all"."""
    request = discovery_pb2.DiscoveryRequest(type_url=Kind.ROUTES)
    request.node.metadata.update({"dependencies": "echo"})
    with pytest.raises(RequestError, match="list of service names"):
        AdsStream(Tellings(), HOLD_S).take(request, 0.0)


def test_a_cluster_is_given_whether_or_not_its_service_is_there() -> None:
    """It may yet come: no endpoints, but nothing to wait for; an entrance's has one connection."""
    client = Client()
    client.ask(Kind.CLUSTER, "echo", "agent-ticks", "No Name")
    client.ask(Kind.ENDPOINTS, "echo")
    assert client.hear(snapshot()) == [Kind.CLUSTER, Kind.ENDPOINTS]
    made = {
        item.name: item
        for item in (cluster_pb2.Cluster.FromString(item.value) for item in client.last[Kind.CLUSTER].resources)
    }
    assert set(made) == {"echo", "agent-ticks"}
    assert made["echo"].circuit_breakers.thresholds[0].max_requests.value > 1024
    assert not made["echo"].load_balancing_policy.policies
    assert made["agent-ticks"].load_balancing_policy.policies[0].typed_extension_config.name == "pick_first"
    assert client.endpoints() == {"echo": []}


def test_localities_bear_the_weight_of_their_members() -> None:
    """gRPC silently skips a locality without weight."""
    client = Client()
    client.ask(Kind.ENDPOINTS, "echo")
    client.hear(snapshot(instance("echo", 1, zone="a"), instance("echo", 2, zone="a"), instance("echo", 3, zone="b")))
    made = endpoint_pb2.ClusterLoadAssignment()
    client.last[Kind.ENDPOINTS].resources[0].Unpack(made)
    assert [(item.locality.zone, item.load_balancing_weight.value) for item in made.endpoints] == [
        ("a", 200),
        ("b", 100),
    ]


def errors(client: Client, kind: Kind) -> dict[str, str]:
    return {error.resource_name.name: error.error_detail.message for error in client.last[kind].resource_errors}


def test_what_does_not_exist_is_said_and_told_once_it_does() -> None:
    """On the same stream; the error stands until then, and is not said again without a reason."""
    mesh, client = Mesh(), Client()
    client.ask(Kind.LISTENER, "mesh", "echo")
    client.ask(Kind.ROUTES, "echo")
    assert client.hear(mesh.of(instance("database"))) == [Kind.LISTENER, Kind.ROUTES]
    assert errors(client, Kind.LISTENER).keys() == errors(client, Kind.ROUTES).keys() == {"echo"}
    assert client.last[Kind.ROUTES].resource_errors[0].error_detail.code == 5
    assert client.hear(mesh.of(instance("database"), instance("database", 2))) == []
    assert client.hear(mesh.of(instance("echo"))) == [Kind.LISTENER, Kind.ROUTES]
    assert len(client.last[Kind.LISTENER].resources) == 2
    assert errors(client, Kind.LISTENER) == errors(client, Kind.ROUTES) == {}


def test_what_was_meant_is_said_of_few_names() -> None:
    """Comparing them takes a hub's time, and somebody who asks for a thousand that do not exist means none."""
    state = snapshot(instance("echo"))
    for names in ([f"ecco-{number}" for number in range(200)], ["ehco"]):
        client = Client()
        client.ask(Kind.LISTENER, *names)
        client.hear(state)
        said = [error.error_detail.message for error in client.last[Kind.LISTENER].resource_errors]
        assert [message.partition(";")[0] for message in said] == [f"no service named {name}" for name in sorted(names)]
    assert said == ["no service named ehco"]  # of this state enough was said
