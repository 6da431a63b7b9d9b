"""Rules for names: `NAME=rule` or `PREFIX*=rule`."""

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class BadNameRuleError(ValueError):
    """An entry that can not be read; the message says what to write."""


class NameRules(Generic[T]):
    """What holds for a name: its own rule, else that of the longest prefix, else the default."""

    def __init__(self, entries: Iterable[str], read: Callable[[str], T], default: T) -> None:
        """Raises BadNameRuleError, and what `read` raises."""
        self._exact: dict[str, T] = {}
        self._prefixes: list[tuple[str, T]] = []
        self._default = default
        for entry in entries:
            name, equals, rule = entry.partition("=")
            if not equals or not name.strip():
                raise BadNameRuleError(f"{entry!r} names nothing; write NAME=rule or PREFIX*=rule")
            self._add(name.strip(), read(rule.strip()))
        self._prefixes.sort(key=lambda item: -len(item[0]))

    def _add(self, name: str, rule: T) -> None:
        if name.endswith("*"):
            self._prefixes.append((name[:-1], rule))
        else:
            self._exact[name] = rule

    def of(self, name: str) -> T:
        if name in self._exact:
            return self._exact[name]
        return next((rule for prefix, rule in self._prefixes if name.startswith(prefix)), self._default)
