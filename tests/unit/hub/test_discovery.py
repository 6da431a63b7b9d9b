"""When news is published."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from suho.envoy.v3 import discovery_pb2

from hub.discovery import Discovery
from hub.domain.catalog import Catalog, Change
from hub.domain.instance import Address, Instance
from hub.domain.policy import Policy
from hub.domain.status import Status
from hub.servicers.discovery import DiscoveryServicer
from hub.streams import Bell, heard
from hub.xds.kinds import Kind
from tests.support import eventually


def instance(number: int) -> Instance:
    return Instance(f"echo-{number}", "echo", addresses=(Address("grpc", "127.0.0.1", number),), status=Status.UP)


class Known:
    """What a hub knows."""

    def __init__(self, news: Bell) -> None:
        self.catalog = Catalog(history=100)
        self.held: dict[str, tuple[int, Policy]] = {}
        self._news = news

    def policies(self) -> Mapping[str, tuple[int, Policy]]:
        return self.held

    def put(self, *instances: Instance) -> int:
        revision = self.catalog.revision + 1
        self.catalog.apply(revision, [Change(revision, item, removed=False) for item in instances])
        self._news.ring()
        return revision

    def set_policy(self, policy: Policy) -> None:
        revision = self.catalog.revision + 1
        self.held[policy.service] = (revision, policy)
        self.catalog.apply(revision, [])
        self._news.ring()


class Published:
    """A running `Discovery`, and how often its bell rang."""

    def __init__(self, debounce_s: float) -> None:
        self.news = Bell()
        self.known = Known(self.news)
        self.discovery = Discovery(self.known, self.news, Bell(), debounce_s)
        self.rings = 0

    def endpoints(self) -> int:
        service = self.discovery.snapshot.topology.services.get("echo")
        return len(service.callees) if service is not None else 0

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


async def test_additions_gather_for_a_moment(published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    """A burst is one publication."""
    now = 1_000.0
    monkeypatch.setattr("hub.discovery.time", SimpleNamespace(monotonic=lambda: now))
    for number in range(1, 6):
        published.known.put(instance(number))
        await asyncio.sleep(0)
    assert published.endpoints() == 0
    now += 1
    await eventually(lambda: published.endpoints() == 5)
    await eventually(lambda: published.rings)
    assert published.rings == 1


@pytest.mark.parametrize("published", [30.0], indirect=True)
async def test_what_takes_an_endpoint_away_does_not_wait(published: Published) -> None:
    """It is out at once, and takes with it what was gathering."""
    published.known.put(instance(1))
    published.discovery.publish()
    published.known.put(instance(2))
    published.known.put(instance(3))
    await asyncio.sleep(0)
    published.known.put(replace(instance(1), status=Status.DRAINING))
    await eventually(lambda: published.endpoints() == 2)


async def test_what_somebody_relies_on_is_published_before_it_is_confirmed() -> None:
    """Up to its revision, once."""
    made = Published(30.0)
    revision = made.known.put(instance(1))
    made.discovery.publish_up_to(revision)
    first = made.discovery.snapshot
    made.discovery.publish_up_to(revision)
    assert made.endpoints() == 1
    assert made.discovery.snapshot is first


async def test_a_policy_is_news(published: Published) -> None:
    """And the same one again is none."""
    policy = Policy("echo", timeout_ms=500)
    published.known.set_policy(policy)
    await eventually(lambda: published.discovery.snapshot.topology.policy("echo") == policy)
    snapshot = published.discovery.snapshot
    published.known.set_policy(replace(policy))
    published.discovery.publish()
    assert published.discovery.snapshot is snapshot


async def test_a_view_made_anew_is_published_whole(published: Published) -> None:
    """What is no longer in it is gone, also where nobody can tell the changes."""
    published.known.put(instance(1))
    await eventually(lambda: published.endpoints() == 1)
    published.known.catalog.reset(50, [instance(2), instance(3)])
    published.news.ring()
    await eventually(lambda: published.endpoints() == 2)
    assert published.discovery.snapshot.topology.revision == 50


async def test_who_hangs_up_behind_a_question_is_answered_all_the_same() -> None:
    """As grpcurl does, also while an earlier answer is still on its way."""
    news, taken = Bell(), asyncio.Event()
    discovery = Discovery(Known(news), news, Bell(), 0)

    async def requests() -> AsyncIterator[discovery_pb2.DiscoveryRequest]:
        yield discovery_pb2.DiscoveryRequest(type_url=Kind.LISTENER, resource_names=["mesh"])
        await taken.wait()
        yield discovery_pb2.DiscoveryRequest(type_url=Kind.ROUTES, resource_names=["mesh"])

    answers = []
    async with asyncio.TaskGroup() as tasks, asyncio.timeout(30):
        servicer = DiscoveryServicer(discovery, 0, tasks)
        async for answer in servicer.StreamAggregatedResources(requests(), Mock()):
            answers.append(discovery_pb2.DiscoveryResponse.FromString(answer).type_url)
            taken.set()
            await asyncio.sleep(0.01)
    assert answers == [Kind.LISTENER, Kind.ROUTES]
