"""What discovery hands out."""

from dataclasses import replace

from hub.domain.catalog import Change
from hub.domain.instance import Address, Instance
from hub.domain.status import Status
from hub.domain.topology import Endpoint, Topology, topology, withdraws

BRIDGE = Instance(
    "data-bridge-1",
    "data-bridge",
    addresses=(Address("grpc", "127.0.0.1", 8001, "192.0.2.7", 9001),),
    zone="a",
    grpc_services=("suho.market.v1.BridgeService", "grpc.health.v1.Health"),
    status=Status.UP,
)


def test_only_what_is_up_is_an_endpoint() -> None:
    """Every other status leaves discovery, but the service's offer stays known."""
    assert topology(1, [BRIDGE], Topology()).endpoints["data-bridge"] == (Endpoint("127.0.0.1", 8001, "a", 100),)
    for status in set(Status) - {Status.UP}:
        made = topology(1, [replace(BRIDGE, status=status)], Topology())
        assert "data-bridge" not in made.endpoints


def test_calls_are_routed_by_what_is_offered_and_not_by_what_all_serve() -> None:
    """Health, reflection and channelz lead nowhere."""
    assert topology(1, [BRIDGE], Topology()).offers == {"suho.market.v1.BridgeService": "data-bridge"}


def test_an_offer_outlives_its_last_instance() -> None:
    """Clients keep the route, and hear that nobody is there."""
    before = topology(1, [BRIDGE], Topology())
    assert topology(2, [], before).offers == before.offers


def test_agents_are_given_published_addresses() -> None:
    """Where they differ from the inside ones."""
    made = topology(1, [BRIDGE], Topology())
    assert made.endpoints["agent-ticks"] == (Endpoint("192.0.2.7", 9001, "a", 100),)
    assert made.endpoints["agent-signals"] == ()
    inside = replace(BRIDGE, addresses=(Address("grpc", "127.0.0.1", 8001),))
    assert topology(1, [inside], Topology()).endpoints["agent-ticks"] == (Endpoint("127.0.0.1", 8001, "a", 100),)


def test_a_kept_endpoint_serves_until_another_instance_is_up() -> None:
    """Better a doubtful instance than none; a live one is better still."""
    kept = replace(BRIDGE, status=Status.EXPIRED, kept_endpoint=True)
    alone = topology(1, [BRIDGE], Topology())
    assert topology(2, [kept], alone).endpoints["data-bridge"] == alone.endpoints["data-bridge"]
    other = replace(BRIDGE, id="data-bridge-2", addresses=(Address("grpc", "127.0.0.1", 8002),))
    assert [item.port for item in topology(3, [kept, other], alone).endpoints["data-bridge"]] == [8002]


def test_only_news_that_takes_an_endpoint_away_is_urgent() -> None:
    """Removal or any status but UP of an instance that is handed out."""
    published = topology(1, [BRIDGE], Topology())
    assert withdraws(published, Change(2, replace(BRIDGE, status=Status.DRAINING), removed=False))
    assert withdraws(published, Change(2, BRIDGE, removed=True))
    assert not withdraws(published, Change(2, BRIDGE, removed=False))
    assert not withdraws(Topology(), Change(2, BRIDGE, removed=True))
