"""What discovery hands out."""

from dataclasses import replace

import pytest

from hub.domain.catalog import Change
from hub.domain.instance import Address, Instance, Method
from hub.domain.status import Status
from hub.domain.topology import MAX_METHODS, Callee, Endpoint, Surveyor, Topology

SERVICE = "suho.market.v1.BridgeService"
BRIDGE = Instance(
    "data-bridge-1",
    "data-bridge",
    addresses=(Address("grpc", "127.0.0.1", 8001, "192.0.2.7", 9001),),
    zone="a",
    grpc_services=(SERVICE, "grpc.health.v1.Health"),
    status=Status.UP,
)
OTHER = replace(BRIDGE, id="data-bridge-2", addresses=(Address("grpc", "127.0.0.1", 8002),))


def change(instance: Instance, removed: bool = False) -> Change:
    return Change(1, instance, removed)


def drawn(*instances: Instance) -> Topology:
    surveyor = Surveyor()
    surveyor.begin_anew(instances)
    return surveyor.topology(1, {})


def callees(topology: Topology, service: str = "data-bridge") -> tuple[Callee, ...]:
    return topology.services[service].callees


def ports(topology: Topology) -> list[int]:
    return [callee.inside.port for callee in callees(topology)]


def test_only_what_is_up_can_be_called() -> None:
    """Every other status leaves discovery."""
    assert callees(drawn(BRIDGE)) == (
        Callee(True, "", "a", 100, Endpoint("127.0.0.1", 8001), Endpoint("192.0.2.7", 9001)),
    )
    for status in set(Status) - {Status.UP}:
        assert callees(drawn(replace(BRIDGE, status=status))) == ()


def test_calls_are_routed_by_what_is_offered_and_not_by_what_all_serve() -> None:
    """Health, reflection and channelz lead nowhere."""
    assert drawn(BRIDGE).owners == {SERVICE: "data-bridge"}


def test_an_offer_outlives_its_last_instance() -> None:
    """Clients keep the route, and hear that nobody is there."""
    surveyor = Surveyor()
    surveyor.take(change(BRIDGE))
    before = surveyor.topology(1, {})
    surveyor.take(change(BRIDGE, removed=True))
    after = surveyor.topology(2, {})
    assert after.owners == before.owners
    assert after.services["data-bridge"].offer is before.services["data-bridge"].offer


def test_a_living_service_takes_over_what_a_departed_one_offered() -> None:
    """Whatever they are called."""
    surveyor = Surveyor()
    surveyor.take(change(replace(BRIDGE, id="a-1", service="a")))
    surveyor.topology(1, {})
    surveyor.take(change(replace(BRIDGE, id="a-1", service="a"), removed=True))
    surveyor.take(change(BRIDGE))
    assert surveyor.topology(2, {}).owners == {SERVICE: "data-bridge"}


def test_departed_services_are_not_remembered_without_end() -> None:
    """Those that went longest ago are forgotten."""
    surveyor = Surveyor()
    for number in range(400):
        short_lived = replace(BRIDGE, service=f"short-{number}", grpc_services=(f"short.S{number}",))
        surveyor.take(change(short_lived))
        surveyor.topology(number, {})
        surveyor.take(change(short_lived, removed=True))
        made = surveyor.topology(number, {})
    assert len(made.services) == len(made.owners) == 256
    assert "short-399" in made.services


def test_the_doubted_are_called_only_where_there_is_nothing_better() -> None:
    """Silence empties no service, and one that is UP is enough."""
    doubted = replace(BRIDGE, status=Status.EXPIRED, doubted=True)
    assert ports(drawn(doubted)) == [8001]
    assert ports(drawn(doubted, OTHER)) == [8002]
    assert ports(drawn(doubted, replace(OTHER, status=Status.DRAINING))) == [8001]


def test_hosts_are_called_by_what_they_resolve_to() -> None:
    """gRPC's clients take no names; one that is not resolved is nowhere yet."""
    named = replace(BRIDGE, addresses=(Address("grpc", "box", 8001),))
    assert callees(drawn(named)) == ()
    resolved = replace(BRIDGE, addresses=(Address("grpc", "box", 8001, "outside", 9001, ip="192.0.2.1"),))
    assert callees(drawn(resolved))[0].inside == Endpoint("192.0.2.1", 8001)
    assert callees(drawn(resolved))[0].outside is None
    both = replace(resolved, addresses=(replace(resolved.addresses[0], published_ip="192.0.2.2"),))
    assert callees(drawn(both))[0].outside == Endpoint("192.0.2.2", 9001)


def test_a_method_may_be_called_twice_if_all_that_list_it_say_so() -> None:
    """Instances of two versions may differ."""
    one = replace(BRIDGE, methods=(Method(f"{SERVICE}/Get", True), Method(f"{SERVICE}/List", True)))
    two = replace(OTHER, methods=(Method(f"{SERVICE}/Get", False),))
    methods = drawn(one, two).services["data-bridge"].offer.methods
    assert methods == (Method(f"{SERVICE}/Get", False), Method(f"{SERVICE}/List", True))


def test_methods_are_bounded() -> None:
    """So are the routes that are made of them."""
    methods = tuple(Method(f"{SERVICE}/Get{number:04}", True) for number in range(2 * MAX_METHODS))
    assert len(drawn(replace(BRIDGE, methods=methods)).services["data-bridge"].offer.methods) == MAX_METHODS


def test_what_did_not_change_stays_the_same() -> None:
    """So nothing is made of it again."""
    surveyor = Surveyor()
    surveyor.begin_anew([BRIDGE, replace(BRIDGE, id="e-1", service="echo", grpc_services=("echo.E",))])
    before = surveyor.topology(1, {})
    surveyor.take(change(OTHER))
    after = surveyor.topology(2, {})
    assert after.services["echo"] is before.services["echo"]
    assert after.services["data-bridge"].offer is before.services["data-bridge"].offer
    assert after.owners is before.owners
    assert ports(after) == [8001, 8002]


def test_an_instance_that_moves_to_another_service_leaves_the_old_one() -> None:
    """Its id is registered again, as something else."""
    surveyor = Surveyor()
    surveyor.take(change(BRIDGE))
    assert surveyor.take(change(replace(BRIDGE, service="echo")))
    made = surveyor.topology(1, {})
    assert (callees(made), len(callees(made, "echo"))) == ((), 1)


@pytest.mark.parametrize(
    ("after", "withdraws"),
    [
        (replace(BRIDGE, status=Status.DRAINING), True),
        (replace(BRIDGE, status=Status.EXPIRED, doubted=True), True),
        (replace(BRIDGE, addresses=OTHER.addresses), True),
        (replace(BRIDGE, weight=7), False),
        (BRIDGE, False),
    ],
)
def test_only_what_takes_an_endpoint_away_is_urgent(after: Instance, withdraws: bool) -> None:
    """Clients may be calling it."""
    surveyor = Surveyor()
    assert not surveyor.take(change(BRIDGE))
    assert surveyor.take(change(after)) is withdraws


def test_a_removal_is_urgent_where_it_could_be_called() -> None:
    """One that had left before surprises nobody."""
    surveyor = Surveyor()
    surveyor.take(change(BRIDGE))
    assert surveyor.take(change(BRIDGE, removed=True))
    assert not surveyor.take(change(BRIDGE, removed=True))
