"""Migrations: numbered files, applied once, in order, never changed afterwards."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


class MigrationError(Exception):
    """The files and what was applied do not fit; the message names the file."""


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        # Line ends are a checkout's business, not a change.
        return hashlib.sha256(self.sql.replace("\r\n", "\n").encode()).hexdigest()

    @property
    def statements(self) -> tuple[str, ...]:
        """One by one, for engines that take one at a time; a statement ends with ';' at a line's end."""
        lines = [line for line in self.sql.splitlines() if not line.lstrip().startswith("--")]
        return tuple(part.strip() for part in re.split(r";\s*(?:\n|$)", "\n".join(lines)) if part.strip())


def ordered(files: Mapping[str, str]) -> tuple[Migration, ...]:
    """Migrations from file names and contents.

    Raises:
        MigrationError: a name that is not `0001_words.sql`, or a number that is missing or twice there.
    """
    found = []
    for name, sql in files.items():
        match = _NAME.fullmatch(name)
        if not match:
            raise MigrationError(f"{name}: name a migration 0001_what_it_does.sql")
        found.append(Migration(int(match[1]), name, sql))
    found.sort(key=lambda migration: migration.number)
    for place, migration in enumerate(found, start=1):
        if migration.number != place:
            raise MigrationError(f"{migration.name}: number {place:04} was expected here")
    return tuple(found)


def pending(available: Sequence[Migration], applied: Iterable[tuple[str, str]]) -> tuple[Migration, ...]:
    """What is still to be applied, given (name, checksum) of what was.

    Raises:
        MigrationError: an applied file was changed or is gone.
    """
    by_name = {migration.name: migration for migration in available}
    done = dict(applied)
    for name, checksum in done.items():
        if name not in by_name:
            raise MigrationError(f"{name} was applied to this database but is not among the files: run a newer version")
        if by_name[name].checksum != checksum:
            raise MigrationError(f"{name} was changed after it was applied: restore it and add a new migration instead")
    waiting = tuple(migration for migration in available if migration.name not in done)
    if waiting and len(done) != waiting[0].number - 1:
        raise MigrationError(f"{waiting[0].name} was skipped: later migrations were applied before it")
    return waiting
