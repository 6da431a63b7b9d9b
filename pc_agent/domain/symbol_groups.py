"""Filters by which a terminal lists its symbols a part at a time."""

from collections import defaultdict
from collections.abc import Sequence

# Other characters may mean something in a filter: names that go on with one are listed with the rest.
_PLAIN = frozenset("._#-&")


def groups_of(names: Sequence[str], most: int, prefix: str = "") -> list[str]:
    """Filters that take any name that begins with `prefix`, known or new; each about `most` of `names` at most.

    Such as 'EUR*', and '*,!EUR*' for the rest.
    """
    branches: defaultdict[str, list[str]] = defaultdict(list)
    if len(names) > most:
        for name in names:
            letter = name[len(prefix) : len(prefix) + 1]
            if letter.isalnum() or letter in _PLAIN:
                branches[prefix + letter].append(name)
    deeper = [group for branch, part in sorted(branches.items()) for group in groups_of(part, most, branch)]
    rest = ",".join((f"{prefix}*", *(f"!{branch}*" for branch in sorted(branches))))
    return [*deeper, rest]
