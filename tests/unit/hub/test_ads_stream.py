"""One client's ADS stream, request by request."""

import pytest
from suho.envoy.v3 import discovery_pb2

from hub.domain.status import Status
from hub.xds.kinds import Kind
from hub.xds.stream import AdsStream, Nack
from hub.xds.telling import Tellings
from hub.xds.view import RequestError
from tests.unit.hub.ads_client import HOLD_S, Client, Mesh, instance, snapshot


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


def test_a_kind_that_is_not_served_is_met_with_silence() -> None:
    """Clients may ask for more than this hub knows."""
    stream = AdsStream(Tellings(), HOLD_S)
    stream.take(discovery_pb2.DiscoveryRequest(type_url="type.googleapis.com/unknown.Kind"), 0.0)
    assert stream.due(snapshot(), 0.0) == []


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


def test_of_a_long_refusal_the_beginning_is_kept() -> None:
    """It is the client's to write, and the hub's to remember."""
    client = Client()
    client.ask(Kind.ENDPOINTS, "echo")
    client.hear(snapshot(instance("echo")))
    nack = client.ask(Kind.ENDPOINTS, "echo", error="no" * 1_000_000)
    assert nack is not None
    assert len(nack.message) == len(client.stream.subscriptions[Kind.ENDPOINTS].refusal) == 4_096


def test_names_are_bounded() -> None:
    """Who asks for more than a mesh has is told how to ask."""
    with pytest.raises(RequestError, match=r"more than 10000 names"):
        Client().ask(Kind.CLUSTER, *(f"s{number}" for number in range(10_001)))
