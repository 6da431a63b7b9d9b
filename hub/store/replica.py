"""What this hub knows of the shared state: everything, as it follows from the store, its own writes too."""

import asyncio
import heapq
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from types import MappingProxyType

from hub.domain.catalog import Catalog, Change
from hub.domain.configuration import ConfigTarget, Configuration
from hub.domain.drain import Drain, Target
from hub.domain.entries import Entries, target_of
from hub.domain.instance import Instance
from hub.domain.policy import Policy
from hub.domain.standing import is_about, standing
from hub.domain.state import (
    ConflictError,
    Delta,
    Entry,
    Key,
    News,
    Progress,
    Record,
    Snapshot,
    Store,
    StoreAwayError,
    key_of,
)
from hub.streams import Bell
from mesh.log import get_logger

log = get_logger(__name__)

# What was written is heard of at once, unless the store went away in between.
_HEARD_WITHIN_S = 5.0
# How a record stands its owner knows best, and puts it back first.
_OTHERS_AFTER_S = 2.0
_AT_ONCE = 64


class Replica:
    """The store's entries and the catalog made of them; `news` rings at every change.

    `configured` rings at changes of documents only: every program follows one, and instances come and go all the time.
    """

    def __init__(self, hub_id: str, store: Store, catalog: Catalog, news: Bell) -> None:
        self.catalog = catalog
        self.configured = Bell()
        self._hub_id = hub_id
        self._store = store
        self._news = news
        self._entries = Entries()
        self._origin: int | None = None
        self._loaded = asyncio.Event()
        self._lost: set[Key] = set()
        self._something_lost = asyncio.Event()
        self._unheard: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()

    def record(self, instance_id: str) -> tuple[int, Record] | None:
        """A record with its own revision, for compare-and-set; with 0 while the store has lost it."""
        return self._entries.records.get(instance_id)

    def records(self) -> Mapping[str, tuple[int, Record]]:
        """All records by instance id."""
        return MappingProxyType(self._entries.records)

    def drains(self) -> Mapping[Target, tuple[int, Drain]]:
        """People's orders in force."""
        return MappingProxyType(self._entries.drains)

    def policies(self) -> Mapping[str, tuple[int, Policy]]:
        """Policies by service, of the services that have one."""
        return MappingProxyType(self._entries.policies)

    def configurations(self) -> Mapping[ConfigTarget, tuple[int, Configuration]]:
        """What is kept for programs, of the targets that have a document."""
        return MappingProxyType(self._entries.configurations)

    async def put(self, entry: Entry, expected_revision: int) -> int:
        """Write by compare-and-set, and return when the catalog has it.

        Raises:
            ConflictError: the entry is at another revision.
            StoreAwayError: whether it was written is not known; if it was, the catalog will have it.
        """
        revision = await self._store.put(entry, expected_revision)
        await self._heard(revision)
        return revision

    async def remove(self, key: Key, expected_revision: int) -> int:
        """Remove by compare-and-set, and return when the catalog has it. Raises as `put`."""
        revision = await self._store.remove(key, expected_revision)
        await self._heard(revision)
        return revision

    async def loaded(self) -> None:
        """Wait for the first snapshot."""
        await self._loaded.wait()

    async def run(self) -> None:
        """Follow the store for ever, and put back what it lost."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._restore(), name="put back")
            async for news in self._store.follow():
                self._take(news)
                self._wake()
                self._loaded.set()
                self._news.ring()
                if isinstance(news, Snapshot) or (isinstance(news, Delta) and news.key.kind == "config"):
                    self.configured.ring()

    def _take(self, news: News) -> None:
        match news:
            case Progress():
                self.catalog.apply(news.revision, ())
            case Delta():
                self._apply(news.revision, [news])
            case Snapshot() if self._origin != news.origin:
                self._begin_anew(news)
            case Snapshot():
                present = {delta.key for delta in news.entries} | self._lost
                gone = [key for _, entry in self._entries if (key := key_of(entry)) not in present]
                self._apply(news.revision, (*news.entries, *(Delta(news.revision, key, None) for key in gone)))

    def _begin_anew(self, snapshot: Snapshot) -> None:
        """The first snapshot; or the store lost its data, and what the snapshot does not hold was not removed."""
        self._origin = snapshot.origin
        self._lost = {key_of(entry) for _, entry in self._entries}
        for _, entry in list(self._entries):
            self._entries.set(key_of(entry), 0, entry)
        for delta in snapshot.entries:
            self._hold(delta)
        self.catalog.reset(snapshot.revision, [view for name in self._entries.records if (view := self._view(name))])
        if self._lost:
            log.error("the store lost its data; this hub puts back what it knows", entries=len(self._lost))
            self._something_lost.set()

    def _apply(self, revision: int, deltas: Iterable[Delta]) -> None:
        touched: dict[str, None] = {}
        for delta in deltas:
            known = self._entries.get(delta.key)
            if known is None or known[0] != delta.revision:
                self._hold(delta)
                touched |= dict.fromkeys(self._touched_by(delta.key))
        self.catalog.apply(revision, self._changes(revision, touched))

    def _hold(self, delta: Delta) -> None:
        self._lost.discard(delta.key)
        self._entries.set(delta.key, delta.revision, delta.entry)

    def _touched_by(self, key: Key) -> list[str]:
        """The instances that may stand differently after a write."""
        match key.kind:
            case "instance":
                return [key.name]
            case "drain":
                target = target_of(key)
                return [
                    name for name, (_, record) in self._entries.records.items() if is_about(target, record.instance)
                ]
            case "policy" | "config":
                return []

    def _changes(self, revision: int, instance_ids: Iterable[str]) -> Iterator[Change]:
        for instance_id in instance_ids:
            before, now = self.catalog.get(instance_id), self._view(instance_id)
            if now is None and before is not None:
                yield Change(revision, before, removed=True)
            elif now is not None and now != before:
                left = before.service if before is not None and before.service != now.service else ""
                yield Change(revision, now, removed=False, left_service=left)

    def _view(self, instance_id: str) -> Instance | None:
        held = self._entries.records.get(instance_id)
        return None if held is None else standing(held[1], held[0], self._entries.drains.get)

    async def _heard(self, revision: int) -> None:
        if self.catalog.revision >= revision:
            return
        heard = asyncio.get_running_loop().create_future()
        heapq.heappush(self._unheard, (revision, next(self._order), heard))
        try:
            async with asyncio.timeout(_HEARD_WITHIN_S):
                await heard
        except TimeoutError:
            raise StoreAwayError(
                f"revision {revision} was written, but not heard of again; the store is away"
            ) from None

    def _wake(self) -> None:
        while self._unheard and self._unheard[0][0] <= self.catalog.revision:
            heard = heapq.heappop(self._unheard)[2]
            if not heard.done():
                heard.set_result(None)

    async def _restore(self) -> None:
        """After a loss of the store's data: every hub that knows an entry tries, and the first one wins."""
        while True:
            await self._something_lost.wait()
            await self._put_back([key for key in self._lost if self._is_own(key)])
            await asyncio.sleep(_OTHERS_AFTER_S)
            await self._put_back(list(self._lost))
            if not self._lost:
                self._something_lost.clear()

    def _is_own(self, key: Key) -> bool:
        held = self._entries.get(key)
        return held is not None and (not isinstance(held[1], Record) or held[1].owner == self._hub_id)

    async def _put_back(self, keys: list[Key]) -> None:
        for start in range(0, len(keys), _AT_ONCE):
            async with asyncio.TaskGroup() as tasks:
                for key in keys[start : start + _AT_ONCE]:
                    tasks.create_task(self._put_back_one(key), name=f"put back {key.name}")

    async def _put_back_one(self, key: Key) -> None:
        held = self._entries.get(key)
        if held is None or key not in self._lost:
            return
        try:
            await self._store.put(held[1], 0)
        except ConflictError:
            return  # another hub was first: its write is on its way here
        except StoreAwayError as error:
            log.warning("could not be put back yet", kind=key.kind, name=key.name, because=str(error))
