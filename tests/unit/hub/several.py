"""Several hubs over one store in memory, on a clock that the test holds."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from hub.domain.catalog import Catalog
from hub.domain.expiry import SelfPreservation
from hub.domain.instance import Address, Instance
from hub.domain.lease import LeaseTerms
from hub.domain.peers import PeerTable, PresenceTerms
from hub.domain.state import Entry, Key, StoreAwayError
from hub.domain.status import Status
from hub.registry import Registry, RegistryLimits
from hub.store.memory import MemoryStore
from hub.store.replica import Replica
from hub.streams import Bell

TOKEN = "a-token-long-enough"
OTHER_TOKEN = "another-token-as-long"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class CuttableStore:
    """One hub's way to the store; cut off, its writes fail. (What it hears is not held back.)"""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.away = False
        self.writes = 0
        self.refused = 0

    async def put(self, entry: Entry, expected_revision: int) -> int:
        await self._reach()
        return await self._store.put(entry, expected_revision)

    async def remove(self, key: Key, expected_revision: int) -> int:
        await self._reach()
        return await self._store.remove(key, expected_revision)

    def follow(self) -> Any:
        return self._store.follow()

    async def _reach(self) -> None:
        if self.away:
            self.refused += 1
            await asyncio.sleep(0)  # as everything that is tried takes its time
            raise StoreAwayError("cut off")
        self.writes += 1


class SimulatedPeers:
    """What presence over NATS would know, by the same rules."""

    def __init__(self, hub_id: str, hubs: "Hubs") -> None:
        self._hubs = hubs
        self.table = PeerTable(hub_id, hub_id, PresenceTerms(), hubs.clock.now)

    @property
    def attached(self) -> bool:
        return self.table.is_attached(self._hubs.clock.now)

    @property
    def attached_since(self) -> float:
        return self.table.attached_since

    @property
    def silent_elsewhere(self) -> int:
        return self.table.silent_elsewhere(self._hubs.clock.now)

    def stands_for(self) -> float:
        return self.table.stands_for(self._hubs.clock.now)

    def heard(self) -> Mapping[str, float]:
        return self.table.heard(self._hubs.clock.now)

    def gone_since(self, hub_id: str) -> float | None:
        return self.table.gone_since(hub_id, self._hubs.clock.now)

    def is_gone(self, hub_id: str) -> bool:
        return self.gone_since(hub_id) is not None

    async def stream_stands(self, hub_id: str, instance_id: str) -> bool:
        asked = self._hubs.all.get(hub_id)
        return asked is not None and asked.awake and asked.registry.stands(instance_id)


@dataclass
class OneHub:
    """A hub of the simulation; not `awake`, it is paused or dead."""

    registry: Registry
    replica: Replica
    peers: SimulatedPeers
    store: CuttableStore
    awake: bool = True

    def status(self, instance_id: str = "echo-1") -> Status | None:
        found = self.replica.catalog.get(instance_id)
        return found.status if found is not None else None

    def owner(self, instance_id: str = "echo-1") -> str | None:
        found = self.replica.record(instance_id)
        return found[1].owner if found is not None else None


@dataclass
class Hubs:
    """All of them."""

    tasks: asyncio.TaskGroup
    running: list["asyncio.Task[None]"] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)
    store: MemoryStore = field(default_factory=lambda: MemoryStore(1000))
    all: dict[str, OneHub] = field(default_factory=dict)

    async def start(self, hub_id: str, **limits: Any) -> OneHub:
        """A hub that has its first snapshot."""
        way = CuttableStore(self.store)
        replica = Replica(hub_id, way, Catalog(1_000), Bell())
        self.running.append(self.tasks.create_task(replica.run()))
        await replica.loaded()
        peers = SimulatedPeers(hub_id, self)
        registry = Registry(
            hub_id,
            replica,
            peers,
            LeaseTerms(),
            SelfPreservation(),
            RegistryLimits(**limits),
            placed,
            self.clock,
        )
        self.all[hub_id] = OneHub(registry, replica, peers, way)
        return self.all[hub_id]

    async def settle(self) -> None:
        """Let every hub hear what was written."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def pass_time(self, seconds: float, *heard: tuple[OneHub, Any], step: float = 1.0) -> None:
        """Time passes; hubs that are awake say so and sweep; the holders in `heard` give their signs of life."""
        for _ in range(round(seconds / step)):
            self.clock.now += step
            awake = [one for one in self.all.values() if one.awake]
            for one in awake:
                if not one.store.away:
                    one.peers.table.answered(self.clock.now)
                    for other in awake:
                        other.peers.table.hear(
                            one.peers.table.beat(self.clock.now, one.registry.silent), self.clock.now
                        )
            for one, holder in heard:
                await one.registry.hear(holder)
            for one in awake:
                await one.registry.sweep()
            await self.settle()


@asynccontextmanager
async def hubs() -> AsyncIterator[Hubs]:
    """A simulation that ends with the block."""
    async with asyncio.TaskGroup() as tasks:
        made = Hubs(tasks)
        try:
            yield made
        finally:
            for task in made.running:
                task.cancel()


async def placed(instance: Instance, before: Instance | None) -> Instance:
    """Literals are where they are."""
    return replace(instance, addresses=tuple(replace(item, ip=item.host) for item in instance.addresses))


def instance(name: str = "echo-1", service: str = "echo", status: Status = Status.UP) -> Instance:
    """An instance of a service that offers a gRPC service of its own."""
    return Instance(
        name,
        service,
        addresses=(Address("grpc", "127.0.0.1", 1),),
        grpc_services=(f"test.{service.title()}",),
        status=status,
    )
