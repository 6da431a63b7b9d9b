"""Several registries over one store: who owns a lease, who may end it, and what a hub that slept may not do."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from hub.domain.lease import Hold, IdTakenError, NotHolderError
from hub.domain.state import StoreAwayError
from hub.domain.status import Status
from tests.unit.hub.several import OTHER_TOKEN, TOKEN, Hubs, OneHub, hubs, instance


@pytest_asyncio.fixture
async def world() -> AsyncIterator[Hubs]:
    async with hubs() as made:
        yield made


@pytest_asyncio.fixture
async def two(world: Hubs) -> tuple[OneHub, OneHub]:
    made = await world.start("hub-1"), await world.start("hub-2")
    await world.pass_time(1)
    return made


async def test_a_session_moves_and_its_status_stays(world: Hubs, two: tuple[OneHub, OneHub]) -> None:
    """The other hub owns the lease from then on; the first one lets go, and the broken stream there ends nothing."""
    first, second = two
    there = await first.registry.register(instance(), TOKEN)
    await world.settle()
    here = await second.registry.register(instance(), TOKEN)
    await world.settle()
    changes = first.replica.catalog.changes_after(1001)
    assert [(change.instance.status, change.instance.hub) for change in changes] == [(Status.UP, "hub-2")]
    with pytest.raises(NotHolderError):
        await first.registry.hear(there)
    first.registry.broken(there)
    await world.pass_time(30, (second, here))
    assert (first.status(), first.owner(), first.registry.held) == (Status.UP, "hub-2", 0)


async def test_a_hub_that_slept_can_not_expire_what_moved_on(world: Hubs, two: tuple[OneHub, OneHub]) -> None:
    """It wakes up with a lease that ran out long ago; what it would write is refused by compare-and-set."""
    asleep, awake = two
    await asleep.registry.register(instance(), TOKEN)
    await world.settle()
    asleep.awake = False
    here = await awake.registry.register(instance(), TOKEN)
    await world.pass_time(60, (awake, here))
    lease = asleep.registry._leases.get("echo-1")
    assert lease is not None
    lease.expire(world.clock.now, 0, asleep.registry.terms)
    asleep.peers.table.answered(world.clock.now)
    with pytest.raises(NotHolderError):
        await asleep.registry._leases.write(lease)
    asleep.awake = True
    await world.pass_time(30, (awake, here))
    assert (asleep.status(), asleep.owner()) == (Status.UP, "hub-2")


async def test_the_leases_of_a_hub_that_is_gone_have_a_fresh_term(world: Hubs, two: tuple[OneHub, OneHub]) -> None:
    """Not heard for 10 s, then a term and a grace: 28 s; a session that comes by then is never seen to leave."""
    dead, living = two
    await dead.registry.register(instance("echo-1"), TOKEN)
    await dead.registry.register(instance("echo-2"), TOKEN)
    dead.awake = False
    await world.pass_time(26)
    assert (living.status("echo-1"), living.status("echo-2")) == (Status.UP, Status.UP)
    back = await living.registry.register(instance("echo-1"), TOKEN)
    await world.pass_time(3, (living, back))
    assert (living.status("echo-1"), living.status("echo-2")) == (Status.UP, Status.EXPIRED)
    assert living.owner("echo-2") == "hub-2"
    expired = living.replica.catalog.get("echo-2")
    assert expired is not None
    assert expired.doubted
    await world.pass_time(310, (living, back), step=5)
    assert living.status("echo-2") is None


async def test_of_two_hubs_that_end_an_orphan_one_does(world: Hubs, two: tuple[OneHub, OneHub]) -> None:
    """The first write wins; the other hub neither fails nor writes again."""
    third = await world.start("hub-3")
    await third.registry.register(instance(), TOKEN)
    third.awake = False
    await world.pass_time(40)
    expiries = two[0].replica.catalog.changes_after(1001)
    assert [change.instance.status for change in expiries] == [Status.EXPIRED]
    assert [one.registry.held for one in two].count(1) == 1


async def test_a_hub_that_comes_back_finds_its_leases(world: Hubs, two: tuple[OneHub, OneHub]) -> None:
    """Records of its id before get a term and a grace; who comes back keeps its place, the rest expires."""
    dead, living = two
    await dead.registry.register(instance("echo-1"), TOKEN)
    await dead.registry.register(instance("echo-2"), TOKEN)
    dead.awake = False
    await world.pass_time(5)
    back = await world.start("hub-1")
    await world.pass_time(17)
    holder = await back.registry.register(instance("echo-1"), TOKEN)
    assert back.status("echo-2") is Status.UP
    await world.pass_time(3, (back, holder))
    assert (living.status("echo-1"), living.status("echo-2")) == (Status.UP, Status.EXPIRED)


async def test_a_detached_hub_concludes_nothing_and_takes_known_sessions(
    world: Hubs, two: tuple[OneHub, OneHub]
) -> None:
    """It hears nobody and can write nothing: the other is not gone for it, nobody expires, a known token is let in."""
    cut, whole = two
    mine = await cut.registry.register(instance("echo-1"), TOKEN)
    await whole.registry.register(instance("echo-2"), TOKEN)
    await world.settle()
    cut.store.away, whole.awake = True, False
    await world.pass_time(40)
    assert not cut.peers.attached
    assert not cut.peers.is_gone("hub-2")
    written = cut.store.writes
    cut.store.away = False  # it could write, and does not know yet
    with pytest.raises(StoreAwayError):
        await cut.registry.report(mine, Status.UP, "still here")
    assert cut.store.writes == written
    cut.store.away = True
    cut.registry.broken(mine)
    with pytest.raises(StoreAwayError):
        await cut.registry.register(instance("echo-2"), OTHER_TOKEN)
    moved = await cut.registry.register(instance("echo-2"), TOKEN)
    await world.pass_time(40)
    assert (cut.status("echo-1"), cut.status("echo-2"), cut.owner("echo-2")) == (Status.UP, Status.UP, "hub-2")
    cut.store.away = False
    await world.pass_time(2, (cut, moved))
    assert cut.owner("echo-2") == "hub-1"
    await world.pass_time(15, (cut, moved))
    assert cut.status("echo-1") is Status.UP
    await world.pass_time(4, (cut, moved))
    assert (cut.status("echo-1"), cut.status("echo-2")) == (Status.EXPIRED, Status.UP)


async def test_what_another_hub_wrote_meanwhile_stands(world: Hubs, two: tuple[OneHub, OneHub]) -> None:
    """Two hubs took one session while one of them was cut off: the write that came first decides."""
    cut, whole = two
    third = await world.start("hub-3")
    await third.registry.register(instance(), TOKEN)
    await world.settle()
    cut.store.away = True
    at_cut = await cut.registry.register(instance(), TOKEN)
    at_whole = await whole.registry.register(instance(), TOKEN)
    await world.settle()
    cut.store.away = False
    await world.pass_time(3, (whole, at_whole))
    assert cut.owner() == "hub-2"
    assert not cut.registry.holds(at_cut)


async def test_a_second_process_is_refused_at_every_hub(world: Hubs, two: tuple[OneHub, OneHub]) -> None:
    """The owner is asked whether the stream still stands; once it broke, or the owner is dead, the id is free."""
    first, second = two
    holder = await first.registry.register(instance(), TOKEN)
    await world.settle()
    with pytest.raises(IdTakenError, match="hub-1"):
        await second.registry.register(instance(), OTHER_TOKEN)
    first.registry.broken(holder)
    await second.registry.register(instance(), OTHER_TOKEN)
    await world.settle()
    second.awake = False
    await first.registry.register(instance(), TOKEN)


async def test_of_two_processes_at_two_hubs_at_once_one_is_let_in(world: Hubs, two: tuple[OneHub, OneHub]) -> None:
    """Compare-and-set decides; the other one hears who holds the id."""
    first, second = two
    outcomes = await asyncio.gather(
        first.registry.register(instance(), TOKEN),
        second.registry.register(instance(), OTHER_TOKEN),
        return_exceptions=True,
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Holder", "IdTakenError"]


async def test_a_client_without_a_stream_may_call_any_hub(world: Hubs, two: tuple[OneHub, OneHub]) -> None:
    """The hub that it calls owns its lease; it can leave at either."""
    first, second = two
    await first.registry.register(instance(), TOKEN, Hold.CALLS)
    for _ in range(4):
        await world.pass_time(10)
        await second.registry.renew("echo-1", TOKEN)
    assert (first.status(), first.owner(), first.registry.held) == (Status.UP, "hub-2", 0)
    await first.registry.leave("echo-1", TOKEN, "done")
    await world.pass_time(1)
    assert (second.status(), second.registry.held) == (None, 0)


async def test_a_third_that_falls_silent_at_two_hubs_is_doubted(world: Hubs, two: tuple[OneHub, OneHub]) -> None:
    """Three of ten at each are six of twenty: believed at one a sweep and hub, with the alarm's state visible."""
    heard = []
    for number in range(20):
        one = two[number % 2]
        holder = await one.registry.register(instance(f"echo-{number}"), TOKEN)
        if number >= 6:
            heard.append((one, holder))
    await world.pass_time(14, *heard)
    expired = []
    for _ in range(6):
        await world.pass_time(1, *heard)
        expired.append(sum(two[0].status(f"echo-{number}") is Status.EXPIRED for number in range(6)))
        assert two[0].registry.protection.protecting
    assert expired == [2, 4, 6, 6, 6, 6]
    assert all(two[1].status(f"echo-{number}") is Status.UP for number in range(6, 20))
    assert two[0].registry.protection.expired == 6
    await world.pass_time(20, *heard)
    assert not two[0].registry.protection.protecting


async def test_hubs_tell_each_other_how_silent_it_is(world: Hubs) -> None:
    """Two of seven at each of three hubs are no reason to doubt for any of them alone; six of twenty-one are."""
    three = [await world.start(f"hub-{number}") for number in range(3)]
    await world.pass_time(1)
    heard = []
    for number in range(21):
        one = three[number % 3]
        holder = await one.registry.register(instance(f"echo-{number}"), TOKEN)
        if number >= 6:
            heard.append((one, holder))
    await world.pass_time(15, *heard)
    assert sum(three[0].status(f"echo-{number}") is Status.EXPIRED for number in range(6)) == 3
    assert all(one.registry.protection.protecting for one in three)
    await world.pass_time(1, *heard)
    assert sum(three[0].status(f"echo-{number}") is Status.EXPIRED for number in range(6)) == 6


async def test_a_farewell_is_heard_at_every_hub_and_sticks(world: Hubs, two: tuple[OneHub, OneHub]) -> None:
    """Nobody puts back what left."""
    first, second = two
    holder = await first.registry.register(instance(), TOKEN)
    await first.registry.deregister(holder, "done")
    await world.pass_time(40)
    assert (first.status(), second.status()) == (None, None)
