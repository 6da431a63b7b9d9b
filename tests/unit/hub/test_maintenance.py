"""People's orders over a replica of a store in memory."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hub.domain.admission import MAX_TEXT, AdmissionError
from hub.domain.catalog import Catalog
from hub.domain.drain import Drain, Target
from hub.domain.instance import Address, Instance
from hub.domain.state import ConflictError, Entry, Record
from hub.domain.status import Status
from hub.domain.withdrawal import LastEndpointError, UnknownTargetError, nearest, serving, taken
from hub.maintenance import MAX_DRAINS, Maintenance, TooManyDrainsError
from hub.store.memory import MemoryStore
from hub.store.replica import Replica
from hub.streams import Bell
from tests.support import eventually

ECHO = Target("service", "echo")


class Hub:
    """What an order needs; the clock is the test's."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore(1000)
        self.replica = Replica("hub-1", self.store, Catalog(100), Bell())
        self.published: list[int] = []
        self.now = 1
        self.maintenance = Maintenance(self.replica, self.published.append, lambda: self.now)

    async def add(self, name: str, service: str = "echo", zone: str = "", status: Status = Status.UP) -> None:
        grpc = (Address("grpc", "127.0.0.1", 1),)
        instance = Instance(name, service, addresses=grpc, zone=zone, status=status, reported_status=status)
        await self.replica.put(Record(instance, b"", "hub-1"), 0)

    async def drain(self, target: Target, force: bool = False, **fields: Any) -> Any:
        made = {"status": Status.DRAINING, "reason": "update", "by": "alice", "since_unix_ms": 0, **fields}
        return await self.maintenance.drain(Drain(target, **made), force)

    def status(self, name: str) -> Status | None:
        found = self.replica.catalog.get(name)
        return found.status if found else None


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    made = Hub()
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(made.replica.run())
        await made.replica.loaded()
        yield made
        following.cancel()


async def test_a_drain_is_in_force_and_published_when_it_returns(hub: Hub) -> None:
    """Status and reason are in the catalog, discovery was told up to that revision, and undraining undoes both."""
    await hub.add("echo-1")
    await hub.add("echo-2")
    given = await hub.drain(Target("instance", "echo-1"))
    found = hub.replica.catalog.get("echo-1")
    assert found is not None
    assert (found.status, "update" in found.status_reason, "alice" in found.status_reason) == (
        Status.DRAINING,
        True,
        True,
    )
    assert (given.instances, hub.published[-1]) == (("echo-1",), given.revision)
    undone = await hub.maintenance.undrain(Target("instance", "echo-1"), "bob")
    assert hub.status("echo-1") is Status.UP
    assert (hub.published[-1], undone.revision > given.revision) == (undone.revision, True)
    assert hub.maintenance.orders() == []


async def test_who_is_held_by_two_orders_is_not_free_after_one(hub: Hub) -> None:
    """Whoever undrains is told."""
    await hub.add("echo-1", zone="west")
    await hub.add("echo-2")
    await hub.drain(Target("zone", "west"), force=True)
    await hub.drain(ECHO, force=True)
    undone = await hub.maintenance.undrain(ECHO, "bob")
    assert (undone.instances, undone.still_drained) == (("echo-2",), ("echo-1",))


@pytest.mark.parametrize("target", [ECHO, Target("zone", "west")])
async def test_orders_hold_for_who_comes_later(hub: Hub, target: Target) -> None:
    """A service or a zone, drained before its instance registers."""
    await hub.drain(target, force=True)
    await hub.add("echo-1", zone="west")
    assert hub.status("echo-1") is Status.DRAINING


async def test_the_same_order_twice_is_one_and_another_reason_changes_it(hub: Hub) -> None:
    """No write for an equal one; since when stays while the status does."""
    await hub.add("echo-1")
    await hub.add("echo-2")
    target = Target("instance", "echo-1")
    first = await hub.drain(target)
    hub.now = 2
    assert await hub.drain(target) == first
    second = await hub.drain(target, reason="disk")
    assert (second.drain.reason, second.drain.since_unix_ms, second.revision) == ("disk", 1, first.revision + 1)
    third = await hub.drain(target, status=Status.OUT_OF_SERVICE)
    assert (hub.status("echo-1"), third.drain.since_unix_ms) == (Status.OUT_OF_SERVICE, 2)
    assert len(hub.maintenance.orders()) == 1


@pytest.mark.parametrize("target", [Target("instance", "echo-2"), ECHO, Target("zone", "west")])
async def test_the_last_endpoint_is_kept_unless_forced(hub: Hub, target: Target) -> None:
    """The refusal names the service; forced, it is taken too; an empty service loses nothing by a second order."""
    await hub.add("echo-1", zone="west", status=Status.STARTING)
    await hub.add("echo-2", zone="west")
    await hub.add("other-1", "other")
    with pytest.raises(LastEndpointError, match="echo") as refused:
        await hub.drain(target)
    assert (refused.value.services, hub.status("echo-2")) == (("echo",), Status.UP)
    await hub.drain(target, force=True)
    assert hub.status("echo-2") is Status.DRAINING
    await hub.drain(Target("instance", "echo-2"), status=Status.OUT_OF_SERVICE)


async def test_two_orders_at_once_do_not_take_the_last_two_endpoints(hub: Hub) -> None:
    """The second of them is refused."""
    await hub.add("echo-1")
    await hub.add("echo-2")
    outcomes = await asyncio.gather(
        *(hub.drain(Target("instance", name)) for name in ("echo-1", "echo-2")), return_exceptions=True
    )
    assert [isinstance(outcome, LastEndpointError) for outcome in outcomes] == [False, True]


async def test_of_two_hubs_orders_the_one_that_finds_the_service_bereft_is_taken_back() -> None:
    """Another hub drained the peer between the look and the write."""

    class Raced(MemoryStore):
        async def put(self, entry: Entry, expected_revision: int) -> int:
            if isinstance(entry, Drain):
                theirs = Drain(Target("instance", "echo-2"), Status.DRAINING, "theirs", "carol", 1)
                await super().put(theirs, 0)
            return await super().put(entry, expected_revision)

    hub = Hub(Raced(1000))
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(hub.replica.run())
        await hub.replica.loaded()
        await hub.add("echo-1")
        await hub.add("echo-2")
        with pytest.raises(LastEndpointError):
            await hub.drain(Target("instance", "echo-1"))
        assert (hub.status("echo-1"), hub.status("echo-2")) == (Status.UP, Status.DRAINING)
        following.cancel()


def test_what_only_might_work_is_nothing_left() -> None:
    """A doubted peer does not make up for the last one that is UP; what nobody calls counts for nothing."""
    grpc = (Address("grpc", "127.0.0.1", 1),)
    up = Instance("echo-1", "echo", addresses=grpc, status=Status.UP)
    doubted = Instance("echo-2", "echo", addresses=grpc, status=Status.EXPIRED, doubted=True)
    agent = Instance("agent-1", "agent", status=Status.UP)
    assert serving([up, doubted, agent]) == {"echo"}
    assert serving([doubted, agent]) == set()
    assert taken(Target("service", "echo"), [doubted, agent]) == {"echo"}
    assert taken(Target("instance", "agent-1"), [up, doubted, agent]) == set()


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (Target("instance", "ehco-1"), "did you mean 'echo-1'"),
        (Target("service", "exho"), "did you mean 'echo'"),
        (Target("zone", "moon"), "there are west"),
    ],
)
async def test_an_unknown_target_is_refused_with_the_nearest(hub: Hub, target: Target, says: str) -> None:
    """A typing error drains nobody; with force it is meant for what comes later."""
    await hub.add("echo-1", zone="west")
    with pytest.raises(UnknownTargetError, match=says):
        await hub.drain(target)
    assert (await hub.drain(target, force=True)).instances == ()


async def test_taking_back_what_was_not_ordered_says_so(hub: Hub) -> None:
    """With the order that holds instead, or the nearest one."""
    await hub.add("echo-1", zone="west")
    with pytest.raises(UnknownTargetError, match="not drained"):
        await hub.maintenance.undrain(Target("instance", "echo-1"), "alice")
    await hub.drain(Target("zone", "west"), force=True)
    with pytest.raises(UnknownTargetError, match="zone 'west'; undrain that"):
        await hub.maintenance.undrain(Target("instance", "echo-1"), "alice")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"reason": " "}, "reason"),
        ({"by": ""}, "by"),
        ({"reason": "x" * (MAX_TEXT + 1)}, "longer"),
        ({"status": Status.DOWN}, "DRAINING or OUT_OF_SERVICE"),
    ],
)
async def test_an_order_says_why_and_who(hub: Hub, fields: dict[str, Any], says: str) -> None:
    """Reason and who are required and bounded; other statuses can not be ordered."""
    await hub.add("echo-1")
    with pytest.raises(AdmissionError, match=says):
        await hub.drain(ECHO, force=True, **fields)


@pytest.mark.parametrize(("target", "by"), [(ECHO, ""), (ECHO, "x" * 2000), (Target("zone", "x" * 2000), "alice")])
async def test_who_takes_an_order_back_is_checked_too(hub: Hub, target: Target, by: str) -> None:
    """Before anything is compared with it."""
    with pytest.raises(AdmissionError):
        await hub.maintenance.undrain(target, by)


def test_a_name_is_looked_for_among_ten_thousand_without_holding_up_the_hub() -> None:
    """Compared with those around the place where it would stand."""
    known = [f"data-bridge-{number}" for number in range(10_000)]
    started = time.process_time()
    assert nearest("data-bridge-77x", known).startswith("; did you mean 'data-bridge-7")
    assert time.process_time() - started < 0.3


async def test_orders_are_bounded(hub: Hub) -> None:
    """A thousand stand; one more is refused, a change of one is not."""
    for number in range(MAX_DRAINS):
        await hub.drain(Target("instance", f"gone-{number}"), force=True)
    with pytest.raises(TooManyDrainsError):
        await hub.drain(ECHO, force=True)
    await hub.drain(Target("instance", "gone-7"), force=True, reason="changed")


class Contended(MemoryStore):
    """Another hub writes first, the given number of times."""

    conflicts = 0

    async def put(self, entry: Entry, expected_revision: int) -> int:
        if self.conflicts and isinstance(entry, Drain):
            self.conflicts -= 1
            theirs = Drain(entry.target, Status.OUT_OF_SERVICE, f"theirs {self.conflicts}", "carol", 1)
            await super().put(theirs, expected_revision)
            raise ConflictError("another hub was faster")
        return await super().put(entry, expected_revision)


@pytest.mark.parametrize(("conflicts", "wins"), [(2, True), (100, False)])
async def test_an_order_is_tried_again_on_what_another_hub_wrote(conflicts: int, wins: bool) -> None:
    """Compare-and-set, a few times; then it is said."""
    store = Contended(1000)
    hub = Hub(store)
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(hub.replica.run())
        await hub.replica.loaded()
        await hub.add("echo-1")
        store.conflicts = conflicts
        if wins:
            await hub.drain(ECHO, force=True)
            assert hub.status("echo-1") is Status.DRAINING
        else:
            with pytest.raises(ConflictError):
                await hub.drain(ECHO, force=True)
            await eventually(lambda: hub.status("echo-1") is Status.OUT_OF_SERVICE)
        following.cancel()
