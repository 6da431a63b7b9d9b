"""What the mesh calls a symbol, and what the broker calls it: EURUSD and EURUSD.r."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

# Before the name of a symbol whose own name stands for another one here.
EXACTLY = "="


@dataclass(frozen=True, slots=True)
class NameRules:
    """`names`: the mesh's name to the broker's; then what the broker puts before and behind names."""

    names: Mapping[str, str] = field(default_factory=dict)
    prefixes: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()

    def plain(self, name: str) -> str:
        """Without what the broker adds; the longest prefix and suffix that leave something over."""
        prefix = max((one for one in self.prefixes if name.startswith(one)), key=len, default="")
        bare = name[len(prefix) :] or name
        suffix = max((one for one in self.suffixes if bare.endswith(one) and bare != one), key=len, default="")
        return bare.removesuffix(suffix) if suffix else bare


class SymbolNames:
    """Both ways, one to one, for the symbols that the broker has.

    A name that the rules give stands for what is listed; else for the symbol that bears it exactly; else for the
    first of those that a prefix or suffix less makes equal. Whoever comes off second keeps its own name, and where
    even that is taken has EXACTLY before it.
    """

    def __init__(self, rules: NameRules) -> None:
        self._rules = rules
        self._brokers: dict[str, str] = dict(rules.names)
        self._meshs: dict[str, str] = {name: given for given, name in rules.names.items()}

    @property
    def given(self) -> Collection[str]:
        """The mesh's names that the rules give by themselves, whatever the broker has."""
        return self._rules.names.keys()

    def learn(self, names: Iterable[str]) -> None:
        """These are all that the broker has."""
        known = [name for name in names if name not in self._rules.names.values()]
        self._brokers, self._meshs = dict(self._rules.names), {one: given for given, one in self._rules.names.items()}
        exact = {name for name in known if name not in self._brokers}
        for name in exact:
            if self._rules.plain(name) == name:
                self._pair(name, name)
        for name in sorted(set(known) - self._meshs.keys(), key=self._rank):
            plain = self._rules.plain(name)
            if plain not in self._brokers and plain not in exact:
                self._pair(plain, name)
            else:
                self._pair(name if name not in self._brokers else EXACTLY + name, name)

    def mesh(self, broker: str) -> str:
        """What the mesh calls the broker's symbol."""
        known = self._meshs.get(broker)
        if known is not None:
            return known
        return broker if broker not in self._brokers else EXACTLY + broker

    def broker(self, mesh: str) -> str:
        """What the broker calls the mesh's symbol."""
        return self._brokers.get(mesh, mesh.removeprefix(EXACTLY))

    def _pair(self, mesh: str, broker: str) -> None:
        self._brokers[mesh] = broker
        self._meshs[broker] = mesh

    def _rank(self, name: str) -> tuple[int, int, str]:
        """Rules that stand first win; so it does not depend on the order of the broker's symbols."""
        rules = self._rules
        prefix = next((n for n, one in enumerate(rules.prefixes) if name.startswith(one)), len(rules.prefixes))
        suffix = next((n for n, one in enumerate(rules.suffixes) if name.endswith(one)), len(rules.suffixes))
        return suffix, prefix, name
