"""One client's ADS stream, request by request."""

from dataclasses import replace

import pytest
from suho.envoy.v3 import cluster_pb2, discovery_pb2, endpoint_pb2, http_connection_manager_pb2, listener_pb2, route_pb2

from hub.domain.instance import Address, Instance
from hub.domain.policy import Policy
from hub.domain.status import Status
from hub.domain.topology import Surveyor
from hub.xds.kinds import Kind
from hub.xds.snapshot import Snapshot
from hub.xds.stream import AdsStream, Nack
from hub.xds.telling import Tellings
from hub.xds.view import RequestError

HOLD_S = 15.0


def instance(service: str, number: int = 1, status: Status = Status.UP, zone: str = "") -> Instance:
    return Instance(
        f"{service}-{number}",
        service,
        addresses=(Address("grpc", "127.0.0.1", 8000 + number),),
        grpc_services=(f"suho.{service}.v1.Service",),
        status=status,
        zone=zone,
    )


class Mesh:
    """What one hub publishes, one snapshot after the other."""

    def __init__(self) -> None:
        self._surveyor = Surveyor()
        self._snapshot = Snapshot()
        self.tellings = Tellings()

    def of(self, *instances: Instance, **policies: Policy) -> Snapshot:
        self._surveyor.begin_anew(instances)
        self._snapshot = Snapshot(self._surveyor.topology(1, policies), self._snapshot)
        return self._snapshot


def snapshot(*instances: Instance, **policies: Policy) -> Snapshot:
    return Mesh().of(*instances, **policies)


class Client:
    """The client's side of a stream: subscribes, acknowledges, remembers."""

    def __init__(self, dependencies: list[str] | None = None, zone: str = "", tellings: Tellings | None = None) -> None:
        self.stream = AdsStream(tellings or Tellings(), HOLD_S)
        self.zone = zone
        self.last: dict[Kind, discovery_pb2.DiscoveryResponse] = {}
        self.dependencies = dependencies

    def ask(self, kind: Kind, *names: str, version: str = "", now: float = 0.0, error: str = "") -> Nack | None:
        request = discovery_pb2.DiscoveryRequest(type_url=kind, resource_names=names, version_info=version)
        request.node.id = "client-1"
        request.node.locality.zone = self.zone
        if self.dependencies is not None:
            request.node.metadata.update({"dependencies": self.dependencies})
        if kind in self.last:
            request.response_nonce = self.last[kind].nonce
            request.version_info = self.last[kind].version_info
        if error:
            request.error_detail.message = error
        return self.stream.take(request, now)

    def hear(self, state: Snapshot, now: float = 0.0) -> list[Kind]:
        heard = []
        for data in self.stream.due(state, now):
            response = discovery_pb2.DiscoveryResponse.FromString(data)
            kind = Kind(response.type_url)
            self.last[kind] = response
            heard.append(kind)
        return heard

    def routes(self) -> dict[str, str]:
        made = self._one(Kind.ROUTES, route_pb2.RouteConfiguration())
        return {item.match.prefix: item.route.cluster for host in made.virtual_hosts for item in host.routes}

    def endpoints(self) -> dict[str, list[int]]:
        found = {}
        for resource in self.last[Kind.ENDPOINTS].resources:
            made = endpoint_pb2.ClusterLoadAssignment()
            assert resource.Unpack(made)
            found[made.cluster_name] = [
                member.endpoint.address.socket_address.port_value
                for locality in made.endpoints
                for member in locality.lb_endpoints
            ]
        return found

    def _one(self, kind: Kind, message: route_pb2.RouteConfiguration) -> route_pb2.RouteConfiguration:
        assert self.last[kind].resources[0].Unpack(message)
        return message


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


def test_an_acknowledgement_is_not_answered_and_only_news_is_sent() -> None:
    """The same names with the newest nonce: silence, until something changed."""
    client = Client()
    state = snapshot(instance("echo"), instance("database"))
    client.ask(Kind.ENDPOINTS, "echo", "database")
    assert client.hear(state) == [Kind.ENDPOINTS]
    assert client.ask(Kind.ENDPOINTS, "echo", "database") is None
    assert client.hear(state) == []
    assert client.hear(snapshot(instance("echo"), instance("echo", 2), instance("database"))) == [Kind.ENDPOINTS]
    assert client.endpoints() == {"echo": [8001, 8002]}


def test_a_refusal_is_given_back_and_not_answered_with_the_same_again() -> None:
    """Its words are for the log; the next news is sent as ever."""
    client = Client()
    client.ask(Kind.ENDPOINTS, "echo")
    client.hear(snapshot(instance("echo")))
    assert client.ask(Kind.ENDPOINTS, "echo", error="no such thing") == Nack(Kind.ENDPOINTS, "no such thing")
    assert client.hear(snapshot(instance("echo"))) == []
    assert client.hear(snapshot(instance("echo", 2))) == [Kind.ENDPOINTS]


def test_a_request_about_an_older_response_is_ignored() -> None:
    """Its nonce is stale: the client will speak of the newest response too."""
    client = Client()
    client.ask(Kind.ENDPOINTS, "echo")
    client.hear(snapshot(instance("echo")))
    stale = discovery_pb2.DiscoveryRequest(
        type_url=Kind.ENDPOINTS, resource_names=["database"], response_nonce=client.last[Kind.ENDPOINTS].nonce
    )
    client.hear(snapshot(instance("echo", 2)))
    client.stream.take(stale, 0.0)
    assert client.hear(snapshot(instance("echo", 2), instance("database"))) == []


def test_other_names_are_a_new_subscription() -> None:
    """Clusters are told in full, endpoints only where they are new; what is asked for again is told again."""
    client = Client()
    state = snapshot(instance("echo"), instance("database"))
    client.ask(Kind.CLUSTER, "echo")
    client.ask(Kind.ENDPOINTS, "echo")
    client.hear(state)
    client.ask(Kind.CLUSTER, "echo", "database")
    client.ask(Kind.ENDPOINTS, "echo", "database")
    assert client.hear(state) == [Kind.CLUSTER, Kind.ENDPOINTS]
    assert len(client.last[Kind.CLUSTER].resources) == 2
    assert set(client.endpoints()) == {"database"}
    client.ask(Kind.ENDPOINTS, "database")
    client.hear(state)
    client.ask(Kind.ENDPOINTS, "echo", "database")
    client.hear(state)
    assert set(client.endpoints()) == {"echo"}


def test_draining_leaves_an_empty_cluster_that_says_so_at_once() -> None:
    """A client that this hub itself told of the endpoint is told of its end."""
    client = Client()
    client.ask(Kind.ENDPOINTS, "echo")
    client.hear(snapshot(instance("echo")))
    client.hear(snapshot(instance("echo", status=Status.DRAINING)))
    assert client.endpoints() == {"echo": []}


def returning(routes_version: str) -> Client:
    """A client that another hub had told of echo and database."""
    client = Client()
    client.ask(Kind.ROUTES, "mesh", version=routes_version)
    client.ask(Kind.CLUSTER, "echo", "database", version="c")
    client.ask(Kind.ENDPOINTS, "echo", "database", version="e")
    return client


def routes_version(*instances: Instance) -> str:
    client = Client()
    client.ask(Kind.ROUTES, "mesh")
    client.hear(snapshot(*instances))
    return client.last[Kind.ROUTES].version_info


def test_a_hub_without_memory_takes_nothing_away_from_a_returning_client() -> None:
    """Routes and endpoints that it can not confirm are left unsaid; each is told as soon as it is known."""
    client = returning(routes_version(instance("echo"), instance("database")))
    assert client.hear(snapshot(), 0.0) == [Kind.CLUSTER]
    assert len(client.last[Kind.CLUSTER].resources) == 2
    assert client.hear(snapshot(instance("echo")), 1.0) == [Kind.ENDPOINTS]
    assert client.endpoints() == {"echo": [8001]}
    assert client.hear(snapshot(instance("echo"), instance("database")), 2.0) == [Kind.ENDPOINTS, Kind.ROUTES]
    assert set(client.routes().values()) == {"echo", "database"}


def test_the_hold_ends_with_the_truth() -> None:
    """After 15 s what never came back is gone."""
    client = returning(routes_version(instance("echo"), instance("database")))
    client.hear(snapshot(instance("echo")), 0.0)
    assert client.stream.held_until(14.9) == HOLD_S
    assert client.hear(snapshot(instance("echo")), 14.9) == []
    assert client.stream.held_until(HOLD_S) is None
    assert client.hear(snapshot(instance("echo")), HOLD_S) == [Kind.ENDPOINTS, Kind.ROUTES]
    assert client.endpoints() == {"database": []}
    assert set(client.routes().values()) == {"echo"}


def test_the_hold_does_not_cover_what_this_hub_has_told_itself() -> None:
    """An instance that came back and then drains leaves at once, hold or not."""
    client = returning(routes_version(instance("echo"), instance("database")))
    client.hear(snapshot(instance("echo"), instance("database")), 0.0)
    client.hear(snapshot(instance("echo"), instance("database", status=Status.DRAINING)), 1.0)
    assert client.endpoints() == {"database": []}


def test_a_returning_client_that_knew_no_routes_hears_of_new_ones_at_once() -> None:
    """There is nothing to be taken from it."""
    client = Client()
    client.ask(Kind.ROUTES, "mesh", version=routes_version())
    assert client.hear(snapshot(instance("echo")), 0.0) == [Kind.ROUTES]
    assert set(client.routes().values()) == {"echo"}


def test_versions_say_the_same_whichever_hub_made_them() -> None:
    """The content decides."""
    echo = instance("echo")
    assert routes_version(echo) == routes_version(replace(echo, id="echo-9"))
    assert routes_version(echo) != routes_version(instance("database"))


def test_a_kind_that_is_not_served_is_met_with_silence() -> None:
    """Clients may ask for more than this hub knows."""
    stream = AdsStream(Tellings(), HOLD_S)
    stream.take(discovery_pb2.DiscoveryRequest(type_url="type.googleapis.com/unknown.Kind"), 0.0)
    assert stream.due(snapshot(), 0.0) == []


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


def test_clients_with_the_same_history_are_sent_the_same_bytes() -> None:
    """Made once, whoever came first; a client of another zone is told something else, but only of endpoints."""
    mesh = Mesh()
    one, two, elsewhere = (Client(tellings=mesh.tellings, zone=zone) for zone in ("a", "a", "b"))
    for step, instances in enumerate(([instance("echo", zone="a")], [instance("echo", zone="a"), instance("echo", 2)])):
        state = mesh.of(*instances)
        responses = []
        for client in (one, two, elsewhere):
            if step == 0:
                client.ask(Kind.CLUSTER, "echo")
                client.ask(Kind.ENDPOINTS, "echo")
            responses.append(client.stream.due(state, 0.0))
        assert [id(data) for data in responses[0]] == [id(data) for data in responses[1]]
        assert responses[2][-1] != responses[0][-1]
        assert len(responses[0]) == 2 - step


def test_a_stream_that_comes_later_joins_those_that_were_told_the_same() -> None:
    """Its history is shorter, its state is theirs."""
    mesh = Mesh()
    early, late = Client(tellings=mesh.tellings), Client(tellings=mesh.tellings)
    early.ask(Kind.ENDPOINTS, "echo")
    early.hear(mesh.of(instance("echo")))
    early.hear(state := mesh.of(instance("echo"), instance("echo", 2)))
    late.ask(Kind.ENDPOINTS, "echo")
    late.hear(state)
    ours, theirs = (client.stream.subscriptions[Kind.ENDPOINTS].telling for client in (early, late))
    assert ours is theirs


def test_what_a_client_runs_and_refuses_is_known() -> None:
    """A refusal stands until it accepts something newer."""
    mesh, client = Mesh(), Client()
    client.ask(Kind.ENDPOINTS, "echo")
    client.hear(mesh.of(instance("echo")))
    client.ask(Kind.ENDPOINTS, "echo")
    found = client.stream.subscriptions[Kind.ENDPOINTS]
    accepted = found.running
    assert accepted == found.telling.version
    client.hear(mesh.of(instance("echo", 2)))
    client.last[Kind.ENDPOINTS].version_info = accepted  # as a client that refuses says
    client.ask(Kind.ENDPOINTS, "echo", error="no such thing", now=7.0)
    assert (found.running, found.refusal, found.refused_at) == (accepted, "no such thing", 7.0)
    client.hear(mesh.of(instance("echo", 3)))
    client.ask(Kind.ENDPOINTS, "echo")
    assert (found.running, found.refusal) == (found.telling.version, "")


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


def test_of_a_long_refusal_the_beginning_is_kept() -> None:
    """It is the client's to write, and the hub's to remember."""
    client = Client()
    client.ask(Kind.ENDPOINTS, "echo")
    client.hear(snapshot(instance("echo")))
    nack = client.ask(Kind.ENDPOINTS, "echo", error="no" * 1_000_000)
    assert nack is not None
    assert len(nack.message) == len(client.stream.subscriptions[Kind.ENDPOINTS].refusal) == 4_096


def test_a_hub_without_memory_does_not_take_a_services_own_listener_away() -> None:
    """It is complete, so nothing is said of listeners until all are known or the hold is over."""
    client = Client()
    client.ask(Kind.LISTENER, "mesh", "echo", version="l")
    client.ask(Kind.ROUTES, "echo", version="r")
    assert client.hear(snapshot(), 1.0) == []
    assert client.hear(snapshot(instance("echo")), 2.0) == [Kind.LISTENER, Kind.ROUTES]
    assert len(client.last[Kind.LISTENER].resources) == 2


def test_names_are_bounded() -> None:
    """Who asks for more than a mesh has is told how to ask."""
    with pytest.raises(RequestError, match=r"more than 10000 names"):
        Client().ask(Kind.CLUSTER, *(f"s{number}" for number in range(10_001)))
