"""The store: what this PC knows of its terminals, brokers, accounts and the person's preferences.

DuckDB lets one process write: the agent, and in it one thread that owns the file and does what is asked of the store.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from pc_agent.domain.reference import (
    Content,
    Key,
    Kind,
    Preferences,
    Record,
    Status,
    TradingAccount,
    holder,
    key_of,
    observed,
)
from pc_agent.file_lock import file_lock
from pc_agent.store import journal, record_table, settling
from pc_agent.store.duckdb_file import Connection, StoreFile, open_file, transaction
from pc_agent.store.journal import Change
from pc_agent.store.settling import Outcome

T = TypeVar("T")


def _unheard(_: object) -> None: ...


class UnknownRecordError(LookupError):
    """The store has no such record."""


@dataclass(frozen=True, slots=True)
class StoredRecord:
    record: Record
    # A change of it was not answered yet.
    waiting: bool


class Store:
    """Open it with `open_store`. What a method wrote is on disk when it returns."""

    def __init__(self, file: StoreFile, thread: ThreadPoolExecutor) -> None:
        # Where the last file lies, if it could not be read.
        self.damaged = file.damaged
        self._connection = file.connection
        self._thread = thread
        # A change waits to be sent.
        self.changed = asyncio.Event()

    async def records(self, kinds: Iterable[Kind] = tuple(Kind)) -> list[StoredRecord]:
        """Without tombstones."""

        def read(db: Connection) -> list[StoredRecord]:
            waiting = journal.waiting(db)
            found = record_table.read_all(db, kinds)
            return [StoredRecord(one, one.key in waiting) for one in found if not one.removed]

        return await self._do(read)

    async def held(self) -> list[Record]:
        """Everything, tombstones too."""
        return await self._do(record_table.read_all)

    async def is_agreed(self, key: Key) -> bool:
        """The database has told of it, or taken a change of it."""
        record = await self._do(lambda db: record_table.read(db, key))
        return record is not None and record.version > 0

    async def observe(self, seen: Sequence[Content], now_ms: int, by: str) -> None:
        """Take in how things are, each after what it refers to."""

        def write(db: Connection) -> bool:
            return sum(_observe(db, content, now_ms, by) for content in seen) > 0

        await self._write(write, self._note)

    async def preferences(self, user: UUID, then: Callable[[Preferences], None] = _unheard) -> Preferences:
        """Of that person; the usual ones where nothing was said yet. `then`: see `prefer`."""

        def read(db: Connection) -> Preferences:
            return _preferences(record_table.read(db, Key(Kind.PREFERENCES, user)), user)

        return await self._do(read, then)

    async def prefer(
        self,
        user: UUID,
        values: Mapping[str, Any],
        now_ms: int,
        by: str,
        then: Callable[[Preferences], None] = _unheard,
    ) -> None:
        """Change the fields that `values` names.

        `then` hears what the store has, in the order in which it came to have it, also when whoever asked has given up.
        """

        def write(db: Connection) -> Preferences:
            held = record_table.read(db, Key(Kind.PREFERENCES, user))
            base = held or _first(Preferences(user), now_ms, by)
            changed = replace(_preferences(base, user), **values)
            if held is None or changed != held.content or held.removed:
                _change(db, base, replace(base, content=changed, removed=False, **_made(base, now_ms, by)))
            return changed

        def written(preferences: Preferences) -> None:
            self._note(True)
            then(preferences)

        await self._write(write, written)

    async def assume(self, preferences: Preferences, now_ms: int, by: str) -> None:
        """Hold these until the database, or the person, says otherwise; they are not sent."""

        def write(db: Connection) -> None:
            if record_table.read(db, key_of(preferences)) is None:
                record_table.write(db, _first(preferences, now_ms, by))

        await self._write(write)

    async def remove(self, key: Key, now_ms: int, by: str) -> None:
        """Leave a tombstone, for everybody to hear of.

        Raises:
            UnknownRecordError
        """

        def write(db: Connection) -> bool:
            held = record_table.read(db, key)
            if held is None:
                raise UnknownRecordError(f"there is no {key.kind.lower()} {key.id} in this PC's store")
            if not held.removed:
                _change(db, held, replace(held, removed=True, **_made(held, now_ms, by)))
            return not held.removed

        await self._write(write, self._note)

    async def to_send(self, limit: int) -> list[Change]:
        """Changes that wait for the database's answer, the oldest of each record."""
        if not await self._do(journal.waiting):  # nothing to write either
            return []
        return await self._write(lambda db: journal.to_send(db, limit))

    async def settle(self, outcomes: Sequence[Outcome], records: Sequence[Record], missing: Sequence[Key]) -> bool:
        """Take the database's answer; whether something is left to be sent."""
        if not (outcomes or records or missing):
            return bool(await self._do(journal.waiting))

        def write(db: Connection) -> bool:
            settling.settle(db, outcomes, records, missing)
            return bool(journal.waiting(db))

        return await self._write(write)

    async def changes(self, limit: int) -> list[Change]:
        """Newest first, the last thousand of those that were answered."""
        return await self._do(lambda db: journal.newest(db, limit))

    def _note(self, changed: bool) -> None:
        if changed:
            self.changed.set()

    async def _write(self, work: Callable[[Connection], T], then: Callable[[T], None] = _unheard) -> T:
        def within(db: Connection) -> T:
            with transaction(db):
                return work(db)

        return await self._do(within, then)

    async def _do(self, work: Callable[[Connection], T], then: Callable[[T], None] = _unheard) -> T:
        """`then` hears of it before whoever waits, and also when nobody does: the thread can not be called back."""
        loop = asyncio.get_running_loop()

        def do() -> T:
            done = work(self._connection)
            loop.call_soon_threadsafe(then, done)
            return done

        return await loop.run_in_executor(self._thread, do)


@asynccontextmanager
async def open_store(folder: Path) -> AsyncIterator[Store]:
    """The store in `folder`, which nobody else may use meanwhile.

    Raises:
        LockedError: another agent does.
        StoreMigrationError: it was written by a newer version.
    """
    loop = asyncio.get_running_loop()
    with _owned(folder), ThreadPoolExecutor(1, "store") as thread:
        file = await loop.run_in_executor(thread, open_file, folder / "store.duckdb")
        try:
            yield Store(file, thread)
        finally:
            thread.submit(file.connection.close)


@contextmanager
def _owned(folder: Path) -> Iterator[None]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with file_lock(folder / "store.lock"):
        yield


def _observe(db: Connection, seen: Content, now_ms: int, by: str) -> bool:
    held = record_table.read(db, key_of(seen))
    if isinstance(seen, TradingAccount) and held is not None and seen.instance_id is not None:
        seen = replace(seen, instance_id=_holder(db, held.content, seen.instance_id))
    record = observed(held, seen, now_ms, by)
    if record is None:
        return False
    _change(db, held, record)
    return True


def _holder(db: Connection, held: Content, seen: UUID) -> UUID:
    instances = [one for one in record_table.read_all(db, (Kind.INSTANCE,)) if not one.removed]
    statuses: dict[UUID, Status] = {one.key.id: one.content.status for one in instances}  # type: ignore[union-attr]
    return holder(held.instance_id if isinstance(held, TradingAccount) else None, seen, statuses)


def _change(db: Connection, base: Record | None, record: Record) -> None:
    record_table.write(db, record)
    journal.note(db, base, record)


def _made(base: Record, now_ms: int, by: str) -> dict[str, Any]:
    return {"updated_unix_ms": max(now_ms, base.updated_unix_ms), "updated_by": by}


def _first(preferences: Preferences, now_ms: int, by: str) -> Record:
    return Record(preferences, 0, False, now_ms, now_ms, by)


def _preferences(record: Record | None, user: UUID) -> Preferences:
    """A tombstone's too: nobody's confirmation of trades is switched off by a removal."""
    if record is not None and isinstance(record.content, Preferences):
        return record.content
    return Preferences(user)
