"""When news is published."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from hub.discovery import Discovery
from hub.domain.catalog import Catalog
from hub.domain.expiry import SelfPreservation
from hub.domain.instance import Address, Instance
from hub.domain.lease import LeaseTerms
from hub.domain.status import Status
from hub.memory import MemoryStore
from hub.registry import Registry, RegistryLimits
from hub.streams import Bell, heard
from tests.support import eventually

TOKEN = "a-token-long-enough"


def instance(number: int) -> Instance:
    return Instance(f"echo-{number}", "echo", addresses=(Address("grpc", "127.0.0.1", number),), status=Status.UP)


def _registry(news: Bell) -> Registry:
    return Registry("hub-1", MemoryStore(), Catalog(100), news, LeaseTerms(), SelfPreservation(), RegistryLimits())


class Published:
    """A running `Discovery`, and how often its bell rang."""

    def __init__(self, debounce_s: float) -> None:
        self.news = Bell()
        self.registry = _registry(self.news)
        self.discovery = Discovery(self.registry, self.news, Bell(), debounce_s)
        self.rings = 0

    def endpoints(self) -> int:
        return len(self.discovery.snapshot.topology.endpoints.get("echo", ()))

    async def count(self) -> None:
        with self.discovery.bell.listening() as ear:
            while True:
                await heard(ear)
                self.rings += 1


@pytest.fixture(params=[0.05])
async def published(request: pytest.FixtureRequest) -> AsyncIterator[Published]:
    made = Published(request.param)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(made.discovery.run()), tasks.create_task(made.count())]
        await asyncio.sleep(0)
        yield made
        for task in running:
            task.cancel()


async def test_additions_gather_for_a_moment(published: Published) -> None:
    """A burst is one publication."""
    for number in range(1, 6):
        await published.registry.register(instance(number), TOKEN)
        await asyncio.sleep(0)
    assert published.endpoints() == 0
    await eventually(lambda: published.endpoints() == 5)
    assert published.rings <= 1


@pytest.mark.parametrize("published", [30.0], indirect=True)
async def test_what_takes_an_endpoint_away_does_not_wait(published: Published) -> None:
    """It is out at once, and takes with it what was gathering."""
    holder = await published.registry.register(instance(1), TOKEN)
    published.discovery.publish()
    await published.registry.register(instance(2), TOKEN)
    await published.registry.register(instance(3), TOKEN)
    await asyncio.sleep(0)
    await published.registry.report(holder, Status.DRAINING, "stopping")
    await eventually(lambda: published.endpoints() == 2, timeout_s=2)


async def test_what_somebody_relies_on_is_published_before_it_is_confirmed() -> None:
    """Up to its revision, once."""
    made = Published(30.0)
    await made.registry.register(instance(1), TOKEN)
    made.discovery.publish_up_to(1)
    first = made.discovery.snapshot
    made.discovery.publish_up_to(1)
    assert made.endpoints() == 1
    assert made.discovery.snapshot is first
