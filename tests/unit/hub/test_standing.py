"""What counts for an instance."""

import pytest

from hub.domain.drain import Drain
from hub.domain.health import Health, Verdict
from hub.domain.instance import Instance
from hub.domain.standing import standing
from hub.domain.state import Expiry, Record
from hub.domain.status import Status
from tests.support.entries import drain, record

SILENT = Expiry("silent for 15 s", silent=True, unix_ms=1)
BROKEN = Expiry("its connection broke", silent=False, unix_ms=1)
FAILING = Health(Verdict.FAILING, "connection refused")
FLAPPING = Health(Verdict.FLAPPING)


def view(made: Record, *drains: Drain) -> Instance:
    orders = {item.target: (20 + number, item) for number, item in enumerate(drains)}
    return standing(made, 10, orders.get)


@pytest.mark.parametrize(
    ("made", "orders", "status", "doubted"),
    [
        (record(), [], Status.UP, False),
        (record(status=Status.STARTING), [], Status.STARTING, False),
        (record(health=FAILING), [], Status.DOWN, True),
        (record(health=FLAPPING), [], Status.DOWN, True),
        (record(status=Status.STARTING, health=FAILING), [], Status.STARTING, False),
        (record(status=Status.DOWN, health=FAILING), [], Status.DOWN, False),
        (record(expiry=SILENT), [], Status.EXPIRED, True),
        (record(expiry=BROKEN), [], Status.EXPIRED, False),
        (record(status=Status.DRAINING, expiry=SILENT), [], Status.EXPIRED, False),
        (record(expiry=SILENT), [drain("service", "echo")], Status.EXPIRED, False),
        (record(health=FAILING), [drain("instance", "echo-1")], Status.DRAINING, False),
        (record(status=Status.STARTING), [drain("service", "echo")], Status.DRAINING, False),
        (record(zone="a"), [drain("zone", "a", Status.OUT_OF_SERVICE)], Status.OUT_OF_SERVICE, False),
        (record(zone="a"), [drain("zone", "b"), drain("instance", "echo-2")], Status.UP, False),
        (record(), [drain("zone", "")], Status.UP, False),
    ],
)
def test_the_order_of_what_counts(made: Record, orders: list[Drain], status: Status, doubted: bool) -> None:
    """Lease over orders over its own word over probes; only what would be called otherwise is doubted."""
    seen = view(made, *orders)
    assert (seen.status, seen.doubted) == (status, doubted)


@pytest.mark.parametrize(
    ("orders", "counts"),
    [
        ([drain("zone", "a"), drain("service", "echo"), drain("instance", "echo-1")], "instance"),
        ([drain("zone", "a"), drain("service", "echo")], "service"),
        ([drain("zone", "a", Status.OUT_OF_SERVICE), drain("instance", "echo-1")], "zone"),
    ],
)
def test_the_stricter_order_counts_and_of_equal_ones_the_more_specific(orders: list[Drain], counts: str) -> None:
    """One order at a time is told."""
    seen = view(record(zone="a"), *orders)
    assert seen.drain is not None
    assert seen.drain.target.kind == counts


def test_the_view_tells_what_led_to_it() -> None:
    """Its own word, its health, its hub, the order in force, in words too; and the revision of the newest of them."""
    order = drain("service", "echo", Status.OUT_OF_SERVICE)
    seen = view(record(health=FAILING, owner="hub-7"), order)
    assert (seen.reported_status, seen.health, seen.hub, seen.drain) == (Status.UP, FAILING, "hub-7", order)
    assert seen.status_reason == "service echo taken out of service by ann: a new disk"
    assert seen.revision == 20
    unwell = view(record(health=FAILING))
    assert (unwell.status_reason, unwell.revision) == ("its probes fail: connection refused", 10)
