"""One hub's registry over a clock that the test holds."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from hub.domain.admission import AdmissionError
from hub.domain.health import Health, Verdict
from hub.domain.lease import Hold, IdTakenError, NotHolderError
from hub.domain.state import StoreAwayError
from hub.domain.status import Status
from hub.registry import NotRegisteredError, OfferTakenError, Registry, RegistryFullError
from tests.unit.hub.several import OTHER_TOKEN, TOKEN, Hubs, OneHub, hubs, instance


@pytest_asyncio.fixture
async def world() -> AsyncIterator[Hubs]:
    async with hubs() as made:
        yield made


@pytest_asyncio.fixture
async def one(world: Hubs) -> OneHub:
    return await world.start("hub-1", max_instances=3)


@pytest.fixture
def registry(one: OneHub) -> Registry:
    return one.registry


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
    assert registry.held == 0


async def test_the_break_of_an_older_stream_does_not_touch_the_newer(world: Hubs, one: OneHub) -> None:
    """A reconnected session has no grace running."""
    older = await one.registry.register(instance(), TOKEN)
    await one.registry.register(instance(), TOKEN)
    one.registry.broken(older)
    await world.pass_time(5)
    assert one.status() is Status.UP


async def test_silence_and_broken_streams_are_told_apart(world: Hubs, one: OneHub) -> None:
    """After 15 s EXPIRED and doubted, after 3 s of grace EXPIRED and known; a word revives the silent one."""
    broken = await one.registry.register(instance("broken-1", "broken"), TOKEN)
    silent = await one.registry.register(instance(), TOKEN)
    one.registry.broken(broken)
    await world.pass_time(2)
    assert one.status("broken-1") is Status.UP
    await world.pass_time(1)
    gone = one.replica.catalog.get("broken-1")
    assert gone is not None
    assert (gone.status, gone.doubted) == (Status.EXPIRED, False)
    assert "did not come back within 3 s" in gone.status_reason
    await world.pass_time(11)
    assert one.status() is Status.UP
    await world.pass_time(1)
    doubted = one.replica.catalog.get("echo-1")
    assert doubted is not None
    assert (doubted.status, doubted.doubted) == (Status.EXPIRED, True)
    assert "silent for 15 s" in doubted.status_reason
    await one.registry.hear(silent)
    assert one.status() is Status.UP


async def test_what_expired_in_silence_is_known_to_be_gone_when_its_stream_breaks(world: Hubs, one: OneHub) -> None:
    """It was the last resort of its callers until then."""
    holder = await one.registry.register(instance(), TOKEN)
    await world.pass_time(16)
    one.registry.broken(holder)
    await world.pass_time(4)
    found = one.replica.catalog.get("echo-1")
    assert found is not None
    assert (found.status, found.doubted) == (Status.EXPIRED, False)


async def test_an_expired_instance_is_forgotten_once_nobody_can_revive_it(world: Hubs, one: OneHub) -> None:
    """While its stream stands, the process may speak again."""
    holder = await one.registry.register(instance(), TOKEN)
    await world.pass_time(400, step=2)
    assert one.status() is Status.EXPIRED
    one.registry.broken(holder)
    await world.pass_time(4)
    assert one.status() is None
    assert one.registry.held == 0


async def test_the_hubs_own_sleep_is_not_held_against_anybody(world: Hubs, one: OneHub) -> None:
    """A hub that was paused finds everybody silent, and waits for their word a term and a grace."""
    await one.registry.register(instance(), TOKEN)
    world.clock.now += 60
    await world.pass_time(17)
    assert one.status() is Status.UP
    await world.pass_time(2)
    assert one.status() is Status.EXPIRED


async def test_a_living_service_keeps_its_grpc_services_to_itself(registry: Registry) -> None:
    """Routes go by name, so that a second claimant is refused; not once nobody offers it any more."""
    holder = await registry.register(instance(), TOKEN)
    imposter = replace(instance("other-1", "other"), grpc_services=("test.Echo",))
    with pytest.raises(OfferTakenError, match=r"test\.Echo"):
        await registry.register(imposter, TOKEN)
    await registry.deregister(holder, "done")
    await registry.register(imposter, TOKEN)


async def test_a_full_registry_says_so(registry: Registry) -> None:
    """Its bound holds for new ids, not for known ones."""
    for number in range(3):
        await registry.register(instance(f"echo-{number}"), TOKEN)
    with pytest.raises(RegistryFullError):
        await registry.register(instance("echo-9"), TOKEN)
    await registry.register(instance("echo-0"), TOKEN)


async def test_another_process_is_refused_while_the_holder_lives(registry: Registry) -> None:
    """Once its stream broke, the id is free; the successor's health begins anew."""
    holder = await registry.register(instance(), TOKEN)
    await registry.judge("echo-1", Health(Verdict.FAILING, "refused"))
    with pytest.raises(IdTakenError, match="living process"):
        await registry.register(instance(), OTHER_TOKEN)
    registry.broken(holder)
    await registry.register(instance(), OTHER_TOKEN)
    found = registry.catalog.get("echo-1")
    assert found is not None
    assert (found.status, found.health.verdict) == (Status.UP, Verdict.UNKNOWN)


async def test_probes_count_only_for_what_this_hub_holds(registry: Registry) -> None:
    """A new verdict is written, an equal one is not; a known process keeps it when it comes back."""
    await registry.register(instance(), TOKEN)
    await registry.judge("echo-1", Health(Verdict.FAILING, "refused"))
    found, revision = registry.catalog.get("echo-1"), registry.catalog.revision
    assert found is not None
    assert (found.status, found.doubted, found.reported_status) == (Status.DOWN, True, Status.UP)
    await registry.judge("echo-1", Health(Verdict.FAILING, "refused"))
    await registry.judge("ghost-1", Health(Verdict.FAILING, "refused"))
    await registry.register(instance(), TOKEN)
    assert registry.catalog.revision == revision


async def test_a_client_without_a_stream_renews_by_calls(world: Hubs, one: OneHub) -> None:
    """Renewing keeps the lease and may carry a status; without it the lease runs out, a next renewal revives it."""
    await one.registry.register(instance(), TOKEN, Hold.CALLS)
    for _ in range(3):
        await world.pass_time(10)
        await one.registry.renew("echo-1", TOKEN)
    assert one.status() is Status.UP
    with pytest.raises(IdTakenError):
        await one.registry.register(instance(), OTHER_TOKEN, Hold.CALLS)
    await one.registry.renew("echo-1", TOKEN, Status.DRAINING, "stopping")
    assert one.status() is Status.DRAINING
    await world.pass_time(16)
    assert one.status() is Status.EXPIRED
    await one.registry.renew("echo-1", TOKEN)
    assert one.status() is Status.DRAINING


async def test_calls_are_refused_by_what_is_wrong(registry: Registry) -> None:
    """Who is not registered, is another process, or says what is the hub's to say; leaving twice is leaving once."""
    with pytest.raises(NotRegisteredError):
        await registry.renew("echo-1", TOKEN)
    await registry.register(instance(), TOKEN, Hold.CALLS)
    for refused in (registry.renew("echo-1", OTHER_TOKEN), registry.leave("echo-1", OTHER_TOKEN, "")):
        with pytest.raises(IdTakenError):
            await refused
    with pytest.raises(AdmissionError):
        await registry.renew("echo-1", TOKEN, Status.EXPIRED)
    await registry.leave("echo-1", TOKEN, "done")
    await registry.leave("echo-1", TOKEN, "done")
    assert registry.catalog.get("echo-1") is None


async def test_while_the_store_is_away_the_lease_remembers_what_was_said(world: Hubs, one: OneHub) -> None:
    """Nothing is lost, nobody expires; nobody new can come. When it answers, all is written."""
    holder = await one.registry.register(instance(), TOKEN)
    leaving = await one.registry.register(instance("echo-2"), TOKEN)
    one.store.away = True
    with pytest.raises(StoreAwayError):
        await one.registry.report(holder, Status.DRAINING, "stopping")
    assert not one.registry.in_force(holder)
    await one.registry.hear(holder)
    await one.registry.deregister(leaving, "done")
    with pytest.raises(StoreAwayError):
        await one.registry.register(instance("echo-3"), TOKEN)
    again = await one.registry.register(instance(), TOKEN)
    await world.pass_time(60)
    assert (one.status(), one.status("echo-2")) == (Status.UP, Status.UP)
    one.store.away = False
    await world.pass_time(3)
    assert one.registry.in_force(again)
    assert one.status("echo-2") is None
    assert one.status() is Status.UP
    await world.pass_time(14)
    assert one.status() is Status.UP
    await world.pass_time(2)
    assert one.status() is Status.EXPIRED
