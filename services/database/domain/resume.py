"""Where a sink goes on (design section 5, point 4): at the stored position, or, when the log is not the one that was
stored, behind the last message that both hold."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from services.database.domain.log import Identity, Message, Position


class Bounds(NamedTuple):
    """Numbers of a log's first and last message; (n + 1, n) when it holds none."""

    first: int
    last: int


class LogEpoch(NamedTuple):
    """A log's name for its numbers; the message behind which it began; up to where all was stored, and may be gone."""

    number: int
    start: int
    purged: int = 0

    @property
    def floor(self) -> int:
        """No message up to here is to be stored in this epoch."""
        return max(self.start, self.purged)


@dataclass(frozen=True, slots=True)
class Restored:
    """The log is another one than was stored: both agree up to `common` (0: nowhere)."""

    common: int
    position: Position
    last_seq: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages `first` to `last` left the log before they were stored."""

    first: int
    last: int


class Followed(Protocol):
    """The log, as far as these rules ask it."""

    async def bounds(self) -> Bounds: ...
    async def message_from(self, seq: int) -> Message | None: ...


Stored = Callable[[int], Awaitable[Collection[Identity]]]
"""Which messages are stored under a number, in any epoch."""


async def examine(position: Position, log: Followed, stored: Stored) -> Restored | Gap | None:
    """What keeps the sink from going on at `position`; None: nothing.

    The message at the position is compared when the log still holds it.
    """
    first, last = await log.bounds()
    if last < position.seq:
        return Restored(await last_common(first, last, log, stored), position, last)
    if first > position.seq + 1:
        return Gap(position.seq + 1, first - 1)
    if position.seq:
        there = await log.message_from(position.seq)
        if there and there.seq == position.seq and there.identity not in await stored(there.seq):
            return Restored(await last_common(first, position.seq - 1, log, stored), position, last)
    return None


async def last_common(first: int, last: int, log: Followed, stored: Stored) -> int:
    """The last of the log's messages `first` to `last` that is stored under its number; `first` - 1: none is.

    By halving: a log grows only at its end, so two that agree at a message agree on all before it. Where a message's
    rows are gone from the store the answer is too early, which costs storing some ticks again, never losing one.
    """
    common = first - 1
    low, high = first, last
    while low <= high:
        middle = (low + high) // 2
        message = await log.message_from(middle)
        if message is not None and message.seq <= high and message.identity in await stored(message.seq):
            common = message.seq
            low = message.seq + 1
        else:
            high = middle - 1
    return common
