"""All instances at the newest revision, and the changes that led there."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile

from hub.domain.instance import Instance
from hub.domain.status import Status


class CompactedError(LookupError):
    """The changes after that revision are no longer held (or never were): list again and watch from there."""


@dataclass(frozen=True, slots=True)
class Change:
    """The instance as it is from this revision on or, when removed, as it last was."""

    revision: int
    instance: Instance
    removed: bool
    left_service: str = ""
    """The one that it was of before, where that is another."""


@dataclass(frozen=True, slots=True)
class ServiceSummary:
    """A service and how many of its instances there are."""

    service: str
    instances: int
    up: int
    grpc_services: tuple[str, ...]
    dependencies: tuple[str, ...]


class Catalog:
    """The view that questions are answered from.

    Args:
        history: How many changes are held for watchers, and more only where one revision has more. A watcher has a
            revision and no queue, so that a slow one costs nothing and, fallen behind this, is told to list again.
        revision: The revision that it starts at, empty.
    """

    def __init__(self, history: int, revision: int = 0) -> None:
        self._instances: dict[str, Instance] = {}
        self._by_service: dict[str, dict[str, Instance]] = {}
        self._changes: deque[Change] = deque()
        self._history = history
        self._start = revision
        self.revision = revision

    def apply(self, revision: int, changes: Iterable[Change]) -> None:
        """Take in what a revision changed, in the order of revisions; nothing, where only the revision moved on."""
        for change in changes:
            self._take(change)
            self._changes.append(change)
        self.revision = revision
        while len(self._changes) > self._history and self._changes[0].revision < revision:
            self._start = self._changes.popleft().revision

    def reset(self, revision: int, instances: Iterable[Instance]) -> None:
        """Begin anew with these instances: whoever watches has to list again."""
        self._instances.clear()
        self._by_service.clear()
        self._changes.clear()
        for instance in instances:
            self._take(Change(revision, instance, removed=False))
        # Nothing is known of how it came to this revision; before it, nobody is up to date.
        self._start = self.revision = revision

    def get(self, instance_id: str) -> Instance | None:
        """The instance with this id, if there is one."""
        return self._instances.get(instance_id)

    def __len__(self) -> int:
        """How many instances there are."""
        return len(self._instances)

    def instances(self, service: str = "") -> list[Instance]:
        """Instances of a service, or all, ordered by id."""
        found = self._by_service.get(service, {}) if service else self._instances
        return [found[instance_id] for instance_id in sorted(found)]

    def changes_after(self, revision: int) -> list[Change]:
        """What happened after a revision, oldest first; all changes of a revision, or none.

        Raises:
            CompactedError: that is not known here.
        """
        if not self._start <= revision <= self.revision:
            raise CompactedError(f"changes after revision {revision} are not held; held are those after {self._start}")
        newest_first = takewhile(lambda change: change.revision > revision, reversed(self._changes))
        return list(newest_first)[::-1]

    def services(self) -> list[ServiceSummary]:
        """All services, ordered by name."""
        return [_summary(service, self._by_service[service].values()) for service in sorted(self._by_service)]

    def _take(self, change: Change) -> None:
        instance = change.instance
        before = self._instances.pop(instance.id, None)
        if before is not None and (change.removed or before.service != instance.service):
            peers = self._by_service[before.service]
            del peers[instance.id]
            if not peers:
                del self._by_service[before.service]
        if not change.removed:
            self._instances[instance.id] = instance
            self._by_service.setdefault(instance.service, {})[instance.id] = instance


def in_chunks(after: int, changes: Sequence[Change], most: int) -> Iterator[tuple[int, list[Change]]]:
    """Changes after a revision in pieces for messages of bounded size, each with the revision it takes a watcher to.

    A revision that needs several pieces is only reached with its last one: who resumes from an earlier piece is told
    all of that revision again, and misses nothing.
    """
    chunk: list[Change] = []
    for revision, group in groupby(changes, key=lambda change: change.revision):
        of_revision = list(group)
        if chunk and len(chunk) + len(of_revision) > most:
            yield after, chunk
            chunk = []
        while len(of_revision) > most:
            yield after, of_revision[:most]
            of_revision = of_revision[most:]
        chunk += of_revision
        after = revision
    if chunk:
        yield after, chunk


def _summary(service: str, instances: Iterable[Instance]) -> ServiceSummary:
    present = list(instances)
    return ServiceSummary(
        service=service,
        instances=len(present),
        up=sum(instance.status is Status.UP for instance in present),
        grpc_services=_union(instance.grpc_services for instance in present),
        dependencies=_union(instance.dependencies for instance in present),
    )


def _union(lists: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(sorted({name for names in lists for name in names}))
