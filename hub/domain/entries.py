"""Entries by key, as a hub holds them."""

from collections.abc import Iterator, MutableMapping
from itertools import chain
from typing import Any, cast

from hub.domain.configuration import ConfigTarget, Configuration
from hub.domain.drain import Drain, Target, TargetKind
from hub.domain.policy import Policy
from hub.domain.state import Entry, Key, Record


class Entries:
    """Each entry with the revision of its last write."""

    def __init__(self) -> None:
        self.records: dict[str, tuple[int, Record]] = {}
        self.drains: dict[Target, tuple[int, Drain]] = {}
        self.policies: dict[str, tuple[int, Policy]] = {}
        self.configurations: dict[ConfigTarget, tuple[int, Configuration]] = {}

    def __iter__(self) -> Iterator[tuple[int, Entry]]:
        return chain(self.records.values(), self.drains.values(), self.policies.values(), self.configurations.values())

    def get(self, key: Key) -> tuple[int, Entry] | None:
        """The entry with its revision, if it is there."""
        place, name = self._place(key)
        return place.get(name)

    def set(self, key: Key, revision: int, entry: Entry | None) -> None:
        """Take a write in; without an entry, a removal."""
        place, name = self._place(key)
        if entry is None:
            place.pop(name, None)
        else:
            place[name] = (revision, entry)

    def _place(self, key: Key) -> tuple[MutableMapping[Any, Any], object]:
        match key.kind:
            case "instance":
                return self.records, key.name
            case "drain":
                return self.drains, target_of(key)
            case "policy":
                return self.policies, key.name
            case "config":
                service, _, instance = key.name.partition("/")
                return self.configurations, ConfigTarget(service, instance)


def target_of(key: Key) -> Target:
    """What the drain under a key is about."""
    kind, _, name = key.name.partition("/")
    return Target(cast(TargetKind, kind), name)
