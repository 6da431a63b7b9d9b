"""What runs for ever at a hub ends when it is cancelled, also as NATS answers: else the hub would never stop."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from hub.domain.infrastructure import infrastructure_of, token_of
from hub.domain.peers import PresenceTerms
from hub.domain.state import Entry, Key, StoreAwayError
from hub.health import infrastructure
from hub.health.infrastructure import Infrastructure
from hub.presence import NatsPresence
from tests.support.endless import Answer, ends
from tests.unit.hub.several import TOKEN, OneHub, hubs, instance

ENGINE = infrastructure_of("postgres-1=postgres://127.0.0.1:5432")


def slow_to_put(one: OneHub, answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other hubs wrote, and the store is asked what: that waits for its answer."""

    async def put(entry: Entry, expected_revision: int) -> int:
        await answer()
        raise StoreAwayError("another write is under way")

    monkeypatch.setattr(one.store, "put", put)


async def test_a_hub_ends_its_sweeping(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it registers itself."""
    answer = Answer()
    async with hubs() as world:
        one = await world.start("hub-1", sweep_interval_s=0.001)
        slow_to_put(one, answer, monkeypatch)
        sweeping = one.registry.keep_sweeping(instance("hub-1", "hub"), TOKEN)
        async with asyncio.TaskGroup() as tasks:
            ended = tasks.create_task(ends(sweeping, answer))
            await world.settle()
            world.clock.now += 1
        assert ended.result()


async def test_infrastructure_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is registered."""
    answer = Answer()
    async with hubs() as world:
        one = await world.start("hub-1")
        slow_to_put(one, answer, monkeypatch)
        monkeypatch.setattr(infrastructure, "_MOST_BETWEEN_S", 0.001)
        assert await ends(Infrastructure([ENGINE], one.registry).run(), answer)


async def test_infrastructure_that_is_not_wanted_any_more_keeps_no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does the rest go on that is held beside it."""
    answer = Answer()
    async with hubs() as world:
        one = await world.start("hub-1")
        await one.registry.register(ENGINE, token_of(ENGINE.id))
        await world.settle()
        really = one.store.remove

        async def remove(key: Key, expected_revision: int) -> int:
            await answer()
            return await really(key, expected_revision)

        monkeypatch.setattr(one.store, "remove", remove)
        other = infrastructure_of("cache=redis://127.0.0.1:6379")
        assert await ends(Infrastructure([other], one.registry).run(), answer)


async def test_a_hub_says_no_more_that_it_is_there() -> None:
    """As what it said is sent at last, over a connection that was full."""
    answer = Answer()

    async def nothing(*_: object, **__: object) -> Any:
        return SimpleNamespace(unsubscribe=nothing)

    bus: Any = SimpleNamespace(is_connected=True, publish=answer, subscribe=nothing)
    presence = NatsPresence(bus, "hub-1", "process-1", nothing, PresenceTerms(), 0.001)
    assert await ends(presence.run(lambda _: True, lambda: 0), answer)
