"""A client that comes back to a hub without memory: nothing is taken from it before its time."""

from dataclasses import replace

from hub.domain.instance import Instance
from hub.domain.status import Status
from hub.xds.kinds import Kind
from tests.unit.hub.ads_client import HOLD_S, Client, instance, snapshot


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


def test_a_hub_without_memory_does_not_take_a_services_own_listener_away() -> None:
    """It is complete, so nothing is said of listeners until all are known or the hold is over."""
    client = Client()
    client.ask(Kind.LISTENER, "mesh", "echo", version="l")
    client.ask(Kind.ROUTES, "echo", version="r")
    assert client.hear(snapshot(), 1.0) == []
    assert client.hear(snapshot(instance("echo")), 2.0) == [Kind.LISTENER, Kind.ROUTES]
    assert len(client.last[Kind.LISTENER].resources) == 2
