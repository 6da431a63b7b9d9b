"""The store that several hubs share: entries in a JetStream bucket."""

import asyncio
import time
from collections.abc import AsyncIterator

from nats.aio.client import Client

from hub.domain.state import ConflictError, Delta, Entry, Key, News, Progress, Snapshot, StoreAwayError, key_of
from hub.messages.entries import UnreadableError, entry_from, entry_to
from hub.messages.keys import key_from, key_to
from hub.store.nats_bucket import Bucket, Changes, MovedError, Position, Stored
from mesh.log import get_logger
from mesh.waiting import backoff, obey_cancellation, until_available

log = get_logger(__name__)

# How often the stream's leader is asked how far it is.
_LOOK_S = 1.0
# How long what it has may be on its way here.
_ON_ITS_WAY_S = 0.3
_READ_AT_ONCE = 250
# What is written there is of no interest, only the sequence that it gets.
_SOUNDING = "sounding"


class NatsStore:
    """Implements `Store` in NATS JetStream.

    Args:
        replicas: 0 for three where there are three servers, else one.
        timeout_s: After how long a write is given up with StoreAwayError.
    """

    def __init__(self, bus: Client, replicas: int = 0, timeout_s: float = 5.0) -> None:
        self._timeout_s = timeout_s
        self._bucket = Bucket(bus, replicas, timeout_s / 3)

    async def put(self, entry: Entry, expected_revision: int) -> int:
        return await self._write(key_of(entry), entry_to(entry), expected_revision, removed=False)

    async def remove(self, key: Key, expected_revision: int) -> int:
        return await self._write(key, key.name.encode(), expected_revision, removed=True)

    async def follow(self) -> AsyncIterator[News]:
        async with self._bucket.changes() as changes:
            known: Position | None = None
            while True:
                snapshot = await self._snapshot(known)
                yield snapshot
                known = Position(snapshot.origin, snapshot.revision)
                async for stored in self._stored_after(known, changes):
                    known = Position(known.origin, stored.revision)
                    yield _delta(stored) or Progress(stored.revision)

    async def _write(self, key: Key, data: bytes, expected_revision: int, *, removed: bool) -> int:
        """Repeat until it is known whether it was written: compare-and-set lets at most one of them through."""
        name, expected, doubtful = key_to(key), expected_revision, False
        give_up_at = time.monotonic() + self._timeout_s
        for pause in backoff(most_s=0.5):
            try:
                return await self._bucket.write(name, data, expected, removed=removed)
            except MovedError:
                last = await self._bucket.get(name)
                if last is not None and doubtful and (last.data, last.removed) == (data, removed):
                    return last.revision
                await self._require_same_life(expected_revision)
                if (now := _expected_now(key, expected_revision, last)) != expected:
                    expected = now
                    continue
                away = StoreAwayError(f"another write of {key.kind} {key.name} is under way")
            except StoreAwayError as error:
                doubtful, away = True, error
            if time.monotonic() > give_up_at:
                raise away
            await asyncio.sleep(pause)
        raise AssertionError("backoff never ends")

    async def _require_same_life(self, revision: int) -> None:
        """After a loss of the bucket its revisions of before are no sign that anybody wrote."""
        if 0 < revision < await self._origin():
            raise StoreAwayError(f"the bucket was made anew since revision {revision}; entries are being put back")

    async def _stored_after(self, known: Position, changes: Changes) -> AsyncIterator[Stored]:
        """What is stored after `known`; ends when something was missed, or the bucket was lost."""
        revision = leader_had = known.revision
        look_at = time.monotonic() + _LOOK_S
        while True:
            obey_cancellation()
            stored = await changes.next(max(0.0, look_at - time.monotonic()))
            if stored is not None and stored.revision > revision:
                if stored.revision > revision + 1:
                    return
                revision = stored.revision
                yield stored
            if time.monotonic() >= look_at:
                # What the leader had at the last look has arrived by now.
                if revision < leader_had and changes.all_taken:
                    return
                position = await self._look(known.origin, revision)
                if position.origin != known.origin or (position.revision < revision and changes.all_taken):
                    return
                leader_had = position.revision
                look_at = time.monotonic() + (_ON_ITS_WAY_S if leader_had > revision else _LOOK_S)

    async def _look(self, origin: int, revision: int) -> Position:
        """How far the bucket is, as far as that can be told."""
        try:
            position = await self._bucket.position() or Position(0, 0)
            if self._bucket.thin:
                await self._bucket.replicate()
            return position
        except StoreAwayError:
            return Position(origin, revision)

    async def _snapshot(self, known: Position | None) -> Snapshot:
        async def attempt() -> Snapshot:
            position = await self._open(known)
            stored = await self._bucket.read()
            if await self._origin() != position.origin:
                raise StoreAwayError("the bucket was made anew in the meantime")
            newest = max((item.revision for item in stored), default=0)
            return Snapshot(max(newest, position.revision), await _deltas(stored), position.origin)

        return await until_available("the registry's bucket", attempt, (StoreAwayError,))

    async def _origin(self) -> int:
        position = await self._bucket.position()
        return 0 if position is None else position.origin

    async def _open(self, known: Position | None) -> Position:
        """The bucket's position, at or after the known one if it is the same bucket still."""
        position = await self._bucket.position()
        if known is not None and position is not None and position.origin == known.origin:
            if position.revision < known.revision:
                await self._sound(known)
        elif position is not None and not position.origin:
            log.error("the registry's bucket was not made by a hub; it is made anew")
            await self._bucket.delete()
            position = None
        if position is None:
            await self._bucket.create(above=known.revision if known is not None else 0)
            raise StoreAwayError("the bucket was just made")
        return position

    async def _sound(self, known: Position) -> None:
        """The leader has less than was seen. Only a write, which a majority agrees on, shows whether that is so."""
        lost = await self._bucket.write(_SOUNDING, b"", None, removed=True) <= known.revision
        if lost and await self._origin() == known.origin:
            log.error("the registry's bucket lost its newest writes; it is made anew, and hubs put back what they know")
            await self._bucket.delete()
        raise StoreAwayError("the bucket was behind what is known")


def _expected_now(key: Key, expected_revision: int, last: Stored | None) -> int:
    """The sequence to expect when a write is repeated: a mark of removal is as good as nothing.

    Raises:
        ConflictError: another write was there.
    """
    actual = 0 if last is None else last.revision
    absent = last is None or last.removed
    if actual == expected_revision or (expected_revision == 0 and absent):
        return actual
    raise ConflictError(f"{key.kind} {key.name} is at revision {actual}, not {expected_revision}")


async def _deltas(stored: list[Stored]) -> tuple[Delta, ...]:
    """Ten thousand take half a second to read, in which this hub does other things too."""
    found: list[Delta] = []
    for start in range(0, len(stored), _READ_AT_ONCE):
        found += filter(None, map(_delta, stored[start : start + _READ_AT_ONCE]))
        await asyncio.sleep(0)
    return tuple(found)


def _delta(stored: Stored) -> Delta | None:
    if stored.removed:
        key = key_from(stored.name, stored.data.decode(errors="replace"))
        return None if key is None else Delta(stored.revision, key, None)
    kind, _, _ = stored.name.partition(".")
    try:
        entry = entry_from(kind, stored.data)
    except UnreadableError as error:
        log.error("an entry of the registry's bucket can not be read", name=stored.name, because=str(error))
        return None
    key = key_of(entry)
    return Delta(stored.revision, key, entry) if key_to(key) == stored.name else None
