"""The registry over a clock that the test holds."""

import pytest

from hub.domain.catalog import Catalog
from hub.domain.expiry import SelfPreservation
from hub.domain.instance import Address, Instance
from hub.domain.lease import LeaseTerms, NotHolderError
from hub.domain.state import ConflictError, Key, Record
from hub.domain.status import Status
from hub.memory import MemoryStore
from hub.registry import OfferTakenError, Registry, RegistryFullError, RegistryLimits
from hub.streams import Bell

TOKEN = "a-token-long-enough"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry(clock: Clock) -> Registry:
    return Registry(
        "hub-1",
        MemoryStore(1000),
        Catalog(100, 1000),
        Bell(),
        LeaseTerms(),
        SelfPreservation(),
        RegistryLimits(max_instances=3),
        clock,
    )


def instance(name: str = "echo-1", service: str = "echo") -> Instance:
    return Instance(
        name,
        service,
        addresses=(Address("grpc", "127.0.0.1", 1),),
        grpc_services=("test.Echo",),
        status=Status.UP,
    )


async def test_only_what_people_can_see_makes_a_revision(registry: Registry) -> None:
    """Heartbeats, an equal registration and an equal status leave no change."""
    holder = await registry.register(instance(), TOKEN)
    assert registry.catalog.revision == 1001
    again = await registry.register(instance(), TOKEN)
    assert await registry.hear(again) == 1001
    assert await registry.report(again, Status.UP, "") == 1001
    assert await registry.report(again, Status.DRAINING, "stopping") == 1002
    with pytest.raises(NotHolderError):
        await registry.hear(holder)
    await registry.deregister(again, "done")
    assert registry.catalog.revision == 1003
    with pytest.raises(NotHolderError):
        await registry.hear(again)


async def test_the_break_of_an_older_stream_does_not_touch_the_newer(registry: Registry, clock: Clock) -> None:
    """A reconnected session has no grace running."""
    older = await registry.register(instance(), TOKEN)
    await registry.register(instance(), TOKEN)
    registry.broken(older)
    clock.now = 1.0
    await registry.sweep()
    clock.now = 4.5
    await registry.sweep()
    assert _status(registry) is Status.UP


async def test_the_hubs_own_sleep_is_not_held_against_anybody(registry: Registry, clock: Clock) -> None:
    """A hub that was paused for a minute finds everybody silent, and waits for their word."""
    await registry.register(instance(), TOKEN)
    clock.now = 60.0
    await registry.sweep()
    assert _status(registry) is Status.UP
    for _ in range(20):
        clock.now += 1.0
        await registry.sweep()
    assert _status(registry) is Status.EXPIRED


async def test_a_living_service_keeps_its_grpc_services_to_itself(registry: Registry) -> None:
    """Routes go by name, so that a second claimant is refused."""
    await registry.register(instance(), TOKEN)
    with pytest.raises(OfferTakenError, match=r"test\.Echo"):
        await registry.register(instance("other-1", "other"), TOKEN)


async def test_a_full_registry_says_so(registry: Registry) -> None:
    """Its bound holds for new ids, not for known ones."""
    for number in range(3):
        await registry.register(instance(f"echo-{number}"), TOKEN)
    with pytest.raises(RegistryFullError):
        await registry.register(instance("echo-9"), TOKEN)
    await registry.register(instance("echo-0"), TOKEN)


async def test_the_store_writes_only_over_the_expected_revision() -> None:
    """Compare and set, from 0 for what is not there."""
    store = MemoryStore(1000)
    record = Record(instance(), TOKEN.encode(), "hub-1")
    assert await store.put(record, 0) == 1001
    for stale in (0, 1000):
        with pytest.raises(ConflictError):
            await store.put(record, stale)
    assert await store.remove(Key("instance", "echo-1"), 1001) == 1002
    with pytest.raises(ConflictError):
        await store.remove(Key("instance", "echo-1"), 1001)


def _status(registry: Registry) -> Status:
    found = registry.catalog.get("echo-1")
    assert found is not None
    return found.status
