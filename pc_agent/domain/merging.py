"""Two changes of one record that did not know of each other.

The database takes a change only on top of the version that it was made of (compare-and-set). One that comes too late
is merged here, field by field: what one side alone changed is taken from it; of what both changed the later change
counts; and what both changed at the same moment to different things stays as the database has it, both shown.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

from pc_agent.domain.reference import Record


@dataclass(frozen=True, slots=True)
class Clash:
    """A field that both sides changed to different things; `undecided`: at the same moment."""

    field: str
    mine: object
    theirs: object
    undecided: bool
    mine_counts: bool

    def __str__(self) -> str:
        sides = f"{self.field}: here {_shown(self.mine)}, there {_shown(self.theirs)}"
        if self.undecided:
            return f"{sides}, changed at the same moment; the one there holds: set it again to decide"
        return f"{sides}; the later one counts, {'here' if self.mine_counts else 'there'}"


@dataclass(frozen=True, slots=True)
class Merged:
    """`record` has their version; equal to theirs: nothing of ours is left to send."""

    record: Record
    clashes: tuple[Clash, ...]


def merge(base: Record, mine: Record, theirs: Record) -> Merged:
    """What comes of `mine`, which was made of `base`, and of `theirs`."""
    clashes: list[Clash] = []
    chosen: dict[str, Any] = {}
    for field in fields(theirs.content):
        before = getattr(base.content, field.name)
        sides = getattr(mine.content, field.name), getattr(theirs.content, field.name)
        chosen[field.name] = _choose(field.name, before, sides, mine, theirs, clashes)
    removed = _choose("removed", base.removed, (mine.removed, theirs.removed), mine, theirs, clashes)
    content = replace(theirs.content, **chosen)
    if (content, removed) == (theirs.content, theirs.removed):
        return Merged(theirs, tuple(clashes))
    record = replace(
        theirs,
        content=content,
        removed=bool(removed),
        created_unix_ms=min(mine.created_unix_ms, theirs.created_unix_ms),
        updated_unix_ms=max(mine.updated_unix_ms, theirs.updated_unix_ms),
        updated_by=mine.updated_by,
    )
    return Merged(record, tuple(clashes))


def _choose(
    name: str, before: object, sides: tuple[object, object], mine: Record, theirs: Record, clashes: list[Clash]
) -> object:
    ours, others = sides
    if ours in (before, others):
        return others
    if others == before:
        return ours
    undecided = mine.updated_unix_ms == theirs.updated_unix_ms
    mine_counts = mine.updated_unix_ms > theirs.updated_unix_ms
    clashes.append(Clash(name, ours, others, undecided, mine_counts))
    return ours if mine_counts else others


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return f"{len(value)} items"
    return "none" if value is None else str(value)
