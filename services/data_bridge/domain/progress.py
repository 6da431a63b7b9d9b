"""How a symbol's log advances: what waiting batches do to its cursor.

Pure rules of design section 5, point 3. The cursor is the identity of the newest tick in the log.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from mesh.market import Batch, TickId
from services.data_bridge.domain import judgement


class SymbolKey(NamedTuple):
    """A symbol of a terminal's server."""

    server: str
    symbol: str


class Standing(Enum):
    """Where a stretch of ticks stands to the cursor."""

    NEXT = auto()
    OVERLAPS = auto()
    OLD = auto()
    AHEAD = auto()


def compare(prev: TickId, last: TickId, cursor: TickId) -> Standing:
    """Where the stretch (`prev`, `last`] stands to `cursor`."""
    if prev > cursor:
        return Standing.AHEAD
    if last <= cursor:
        return Standing.OLD
    return Standing.NEXT if prev == cursor else Standing.OVERLAPS


def trim(batch: Batch, cursor: TickId) -> Batch:
    """The ticks of an overlapping, ascending batch that are new; they follow on the cursor."""
    return replace(batch.slice(batch.index_after(cursor), len(batch)), prev=cursor)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A batch as it came: its bytes, and why its values can not be stored (mostly empty)."""

    batch: Batch
    payload: bytes
    flaw: str

    @property
    def last(self) -> TickId:
        return _greatest(self.batch) if self.flaw else self.batch.last_id


@dataclass(frozen=True, slots=True)
class Refused:
    """Stands in the log for `count` ticks after `prev`, up to `last`, whose values were refused."""

    server: str
    symbol: str
    agent: str
    read_unix_ns: int
    prev: TickId
    last: TickId
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class Step:
    """What to do with the first `taken` waiting batches, and where the cursor is then.

    `publish` is an Arrival when its bytes go out unchanged, None when there is nothing new.
    """

    taken: int
    cursor: TickId
    publish: Arrival | Batch | Refused | None = None
    ahead: bool = False


def next_step(waiting: Sequence[Arrival], cursor: TickId, most_ticks: int) -> Step:
    """The step that settles the first of `waiting` (not empty), and those that can be joined to it.

    Joined are batches that follow on each other within one UTC month, up to `most_ticks`.
    """
    head = waiting[0]
    standing = compare(head.batch.prev, head.last, cursor)
    if standing is Standing.AHEAD:
        return Step(1, cursor, ahead=True)
    if standing is Standing.OLD:
        return _fallen(head, cursor) if head.batch.prev == cursor else Step(1, cursor)
    fresh = _new_part(head, standing, cursor)
    if isinstance(fresh, Refused):
        return Step(1, fresh.last, fresh)
    pieces = [fresh, *_joinable(fresh, waiting, most_ticks)]
    if len(pieces) == 1:
        return Step(1, fresh.last_id, head if standing is Standing.NEXT else fresh)
    return Step(len(pieces), pieces[-1].last_id, Batch.join(pieces))


def _new_part(arrival: Arrival, standing: Standing, cursor: TickId) -> Batch | Refused:
    """What of a batch that stands NEXT or OVERLAPS is not in the log yet."""
    batch = arrival.batch
    if not arrival.flaw:
        return batch if standing is Standing.NEXT else trim(batch, cursor)
    reason = arrival.flaw
    if standing is Standing.OVERLAPS:  # what is bad may be the part that is in the log already
        batch = _later_than(batch, cursor)
        reason = judgement.flaw(batch)
        if not reason:
            return batch
    return refused(batch, reason)


def _fallen(arrival: Arrival, cursor: TickId) -> Step:
    """Ticks that are said to follow on the cursor and lie before it: time fell. Who sends again says another `prev`."""
    return Step(1, cursor, replace(refused(arrival.batch, arrival.flaw), last=cursor))


def refused(batch: Batch, reason: str) -> Refused:
    """What stands in the log for `batch`."""
    return Refused(
        server=batch.server,
        symbol=batch.symbol,
        agent=batch.agent,
        read_unix_ns=batch.read_unix_ns,
        prev=batch.prev,
        # The greatest identity, not the last tick's: where time falls, the cursor must not.
        last=_greatest(batch),
        count=len(batch),
        reason=reason,
    )


def _joinable(first: Batch, waiting: Sequence[Arrival], most_ticks: int) -> Iterator[Batch]:
    """The batches after the first of `waiting` that go into one message with `first`."""
    if len(waiting) == 1:
        return
    cursor, month, ticks = first.last_id, first.month, len(first)
    for arrival in islice(waiting, 1, None):
        batch = arrival.batch
        ticks += len(batch)
        if arrival.flaw or ticks > most_ticks or batch.month != month:
            return
        standing = compare(batch.prev, batch.last_id, cursor)
        if standing is Standing.OVERLAPS:
            batch = trim(batch, cursor)
        elif standing is not Standing.NEXT:
            return
        yield batch
        cursor = batch.last_id


def _later_than(batch: Batch, cursor: TickId) -> Batch:
    """The ticks after `cursor`, in whatever order they come."""
    time, ordinal = batch.time_msc, batch.ordinal
    mask = (time > cursor.time_msc) | ((time == cursor.time_msc) & (ordinal > cursor.ordinal))
    columns: dict[str, Any] = {name: column[mask] for name, column in batch.columns().items()}
    return replace(batch, prev=cursor, **columns)


def _greatest(batch: Batch) -> TickId:
    time = batch.time_msc.max()
    return TickId(int(time), int(np.max(batch.ordinal[batch.time_msc == time])))
