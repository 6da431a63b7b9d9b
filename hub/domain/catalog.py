"""All instances at the newest revision, and the changes that led there."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import dropwhile

from hub.domain.instance import Instance
from hub.domain.status import Status


class CompactedError(LookupError):
    """The changes after that revision are no longer held (or never were): list again and watch from there."""


@dataclass(frozen=True, slots=True)
class Change:
    """One write: the instance as it is now or, when removed, as it last was."""

    revision: int
    instance: Instance
    removed: bool


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
        revision: The revision that it starts at, empty.
        history: How many changes are held for watchers. A watcher has a revision and no queue, so that a slow one costs
            nothing and, fallen behind this, is told to list again.
    """

    def __init__(self, revision: int, history: int) -> None:
        self._instances: dict[str, Instance] = {}
        self._changes: deque[Change] = deque(maxlen=history)
        self._start = revision
        self.revision = revision

    def apply(self, change: Change) -> None:
        """Take a write in, in the order of revisions."""
        if change.removed:
            del self._instances[change.instance.id]
        else:
            self._instances[change.instance.id] = change.instance
        if len(self._changes) == self._changes.maxlen:
            self._start = self._changes[0].revision
        self._changes.append(change)
        self.revision = change.revision

    def get(self, instance_id: str) -> Instance | None:
        """The instance with this id, if there is one."""
        return self._instances.get(instance_id)

    def instances(self, service: str = "") -> list[Instance]:
        """Instances of a service, or all, ordered by id."""
        found = (instance for instance in self._instances.values() if service in ("", instance.service))
        return sorted(found, key=lambda instance: instance.id)

    def changes_after(self, revision: int) -> list[Change]:
        """What happened after a revision, oldest first.

        Raises:
            CompactedError: that is not known here.
        """
        if not self._start <= revision <= self.revision:
            raise CompactedError(f"changes after revision {revision} are not held; held are those after {self._start}")
        return list(dropwhile(lambda change: change.revision <= revision, self._changes))

    def services(self) -> list[ServiceSummary]:
        """All services, ordered by name."""
        by_service: dict[str, list[Instance]] = {}
        for instance in self._instances.values():
            by_service.setdefault(instance.service, []).append(instance)
        return [_summary(service, instances) for service, instances in sorted(by_service.items())]


def _summary(service: str, instances: list[Instance]) -> ServiceSummary:
    return ServiceSummary(
        service=service,
        instances=len(instances),
        up=sum(instance.status is Status.UP for instance in instances),
        grpc_services=_union(instance.grpc_services for instance in instances),
        dependencies=_union(instance.dependencies for instance in instances),
    )


def _union(lists: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(sorted({name for names in lists for name in names}))
