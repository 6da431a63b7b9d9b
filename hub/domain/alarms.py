"""What people should know, for as long as it lasts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hub.domain.instance import Instance
from hub.domain.status import Status


class AlarmKind(StrEnum):
    """What is the matter."""

    SELF_PRESERVATION = "SELF_PRESERVATION"
    STORE_AWAY = "STORE_AWAY"
    HUB_SILENT = "HUB_SILENT"
    SERVICE_WITHOUT_ENDPOINTS = "SERVICE_WITHOUT_ENDPOINTS"
    SERVICE_IN_DOUBT = "SERVICE_IN_DOUBT"
    REGISTRY_FULL = "REGISTRY_FULL"
    PROBES_FAIL = "PROBES_FAIL"


# Programs start and restart: what is over within this time is nobody's concern. Seconds.
_PATIENCE_S: Mapping[AlarmKind, float] = {
    AlarmKind.SERVICE_WITHOUT_ENDPOINTS: 5.0,
    AlarmKind.SERVICE_IN_DOUBT: 5.0,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is the matter now; the subject tells two of a kind apart."""

    kind: AlarmKind
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """A condition that lasts, and since when."""

    kind: AlarmKind
    subject: str
    text: str
    since_unix_ms: int


@dataclass(slots=True)
class Board:
    """The alarms in force."""

    _first_seen: dict[tuple[AlarmKind, str], tuple[float, int]] = field(default_factory=dict)
    _raised: dict[tuple[AlarmKind, str], Alarm] = field(default_factory=dict)

    @property
    def alarms(self) -> list[Alarm]:
        """The oldest first."""
        return sorted(self._raised.values(), key=lambda alarm: (alarm.since_unix_ms, alarm.kind, alarm.subject))

    def take(self, conditions: Iterable[Condition], now: float, unix_ms: int) -> tuple[list[Alarm], list[Alarm]]:
        """What is the matter now (`now` in seconds of a monotonic clock); gives the alarms that begin and that end."""
        present = {(condition.kind, condition.subject): condition for condition in conditions}
        self._first_seen = {key: self._first_seen.get(key, (now, unix_ms)) for key in present}
        before, self._raised = self._raised, {}
        for key, condition in present.items():
            seen_at, since = self._first_seen[key]
            if key in before or now - seen_at >= _PATIENCE_S.get(condition.kind, 0.0):
                self._raised[key] = Alarm(condition.kind, condition.subject, condition.text, since)
        begun = [alarm for key, alarm in self._raised.items() if key not in before]
        return begun, [alarm for key, alarm in before.items() if key not in self._raised]


def services_in_trouble(instances: Iterable[Instance]) -> list[Condition]:
    """Services that are called and have nobody left, or only such as are doubted.

    Called is what registered an address, or what others depend on: an agent calls, and is not called.
    """
    up: set[str] = set()
    doubted: set[str] = set()
    wanted: dict[str, str] = {}
    for instance in instances:
        if instance.status is Status.UP:
            up.add(instance.service)
        elif instance.doubted:
            doubted.add(instance.service)
        if instance.addresses:
            wanted[instance.service] = "its instances are all out"
        if instance.status is not Status.EXPIRED:
            for service in instance.dependencies:
                wanted.setdefault(service, f"{instance.id} depends on it, and nobody is registered")
    return [
        Condition(AlarmKind.SERVICE_IN_DOUBT, service, f"service {service} has only instances that are doubted")
        if service in doubted
        else Condition(AlarmKind.SERVICE_WITHOUT_ENDPOINTS, service, f"service {service} can not be called: {why}")
        for service, why in wanted.items()
        if service not in up
    ]
