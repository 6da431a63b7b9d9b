"""Policies are replaced by compare-and-set."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from hub.domain.catalog import Catalog
from hub.domain.policy import Policy
from hub.domain.state import ConflictError, Entry
from hub.store.memory import MemoryStore
from hub.store.replica import Replica
from hub.streams import Bell
from hub.traffic import MAX_POLICIES, TooManyPoliciesError, Traffic


class Contended(MemoryStore):
    """A store in which other hubs win so many times first."""

    losses = 0

    async def put(self, entry: Entry, expected_revision: int) -> int:
        if self.losses:
            self.losses -= 1
            raise ConflictError("another hub was first")
        return await super().put(entry, expected_revision)


class World:
    """A hub's policies over a store."""

    def __init__(self) -> None:
        self.store = Contended()
        self.replica = Replica("hub-1", self.store, Catalog(100), Bell())
        self.published: list[int] = []
        self.now = 1_000
        self.traffic = Traffic(self.replica, self.published.append, lambda: self.now)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(made.replica.run())
        await made.replica.loaded()
        yield made
        following.cancel()


async def test_a_policy_is_published_before_it_is_confirmed(world: World) -> None:
    """With the time of its change."""
    revision, policy = await world.traffic.put(Policy("echo", timeout_ms=500))
    assert policy.changed_unix_ms == 1_000
    assert world.traffic.policies() == [(revision, policy)]
    assert world.published == [revision]


async def test_the_same_policy_again_writes_nothing(world: World) -> None:
    """However much later."""
    first = await world.traffic.put(Policy("echo", timeout_ms=500))
    world.now = 2_000
    assert await world.traffic.put(Policy("echo", timeout_ms=500)) == first
    assert (await world.traffic.put(Policy("echo", timeout_ms=600)))[1].changed_unix_ms == 2_000


async def test_a_lost_race_is_run_again(world: World) -> None:
    """A few times; then whoever asked is told."""
    world.store.losses = 3
    await world.traffic.put(Policy("echo", timeout_ms=500))
    world.store.losses = 100
    with pytest.raises(ConflictError):
        await world.traffic.put(Policy("echo", timeout_ms=600))


async def test_a_policy_made_from_one_that_stands_no_more_is_refused(world: World) -> None:
    """So that of two people at once the second learns of the first; said twice in the same words it is one."""
    first, _ = await world.traffic.put(Policy("echo", timeout_ms=500, by="alice"), 0)
    with pytest.raises(ConflictError, match="by alice"):
        await world.traffic.put(Policy("echo", max_requests=5), 0)
    assert (await world.traffic.put(Policy("echo", timeout_ms=500, by="alice"), 0))[0] == first
    second, _ = await world.traffic.put(Policy("echo", max_requests=5), first)
    assert world.traffic.policies()[0][0] == second


async def test_taking_back_what_is_not_set_changes_nothing(world: World) -> None:
    """It is idempotent."""
    await world.traffic.put(Policy("echo", timeout_ms=500))
    revision = await world.traffic.delete("echo")
    assert world.traffic.policies() == []
    assert await world.traffic.delete("echo") == revision


async def test_policies_are_bounded(world: World) -> None:
    """Those that stand can still be changed."""
    for number in range(MAX_POLICIES):
        await world.store.put(Policy(f"s{number}"), 0)
    await world.traffic.put(Policy("s1", timeout_ms=5))
    with pytest.raises(TooManyPoliciesError, match="1000 policies"):
        await world.traffic.put(Policy("one-more"))
