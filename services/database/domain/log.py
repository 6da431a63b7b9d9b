"""What the tick log holds, and how it is cut into inserts (design section 5, point 4)."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mesh.market import Batch, TickId

# One insert holds no more than that: it must fit ClickHouse's memory in one block, and many small messages must not
# hold the loop up when they are told of.
_MOST_ROWS = 1_000_000
_MOST_MESSAGES = 2_000


class Position(NamedTuple):
    """How far a log has been stored: `seq` is the last message; 0 before the first."""

    epoch: int
    seq: int


@dataclass(frozen=True, slots=True)
class Ticks:
    """A message with ticks. `data` is what stands in the log, for sinks that hand it on unchanged."""

    seq: int
    batch: Batch
    data: bytes = field(default=b"", repr=False, compare=False)

    @property
    def identity(self) -> "Identity":
        return Identity(self.batch.server, self.batch.symbol, self.batch.last_id, self.batch.read_unix_ns)


@dataclass(frozen=True, slots=True)
class Marker:
    """A message that stands where refused ticks would have stood: `count` of them, after `prev` and up to `last`."""

    seq: int
    server: str
    symbol: str
    agent: str
    read_unix_ns: int
    prev: TickId
    last: TickId
    count: int
    reason: str

    @property
    def identity(self) -> "Identity":
        return Identity(self.server, self.symbol, self.last, self.read_unix_ns)


@dataclass(frozen=True, slots=True)
class Correction:
    """A message that closes a correction: from here on generation `generation` stands in [from_msc, to_msc)."""

    seq: int
    server: str
    symbol: str
    generation: int
    from_msc: int
    to_msc: int
    count: int
    reason: str

    @property
    def identity(self) -> "Identity":
        # No two corrections of a symbol share a generation.
        return Identity(self.server, self.symbol, TickId(self.to_msc, self.generation), 0)


Message = Ticks | Marker | Correction


class Identity(NamedTuple):
    """What tells one message of the log from another: its symbol, its last tick and when that was read.

    Ticks that are sent again were read anew, so a log that lost messages and got them again never matches by chance.
    """

    server: str
    symbol: str
    last: TickId
    read_unix_ns: int


@dataclass(frozen=True, slots=True)
class TickRange:
    """Consecutive tick messages of one month: one insert."""

    messages: tuple[Ticks, ...]

    @property
    def rows(self) -> int:
        return sum(len(message.batch) for message in self.messages)

    @property
    def last_seq(self) -> int:
        return self.messages[-1].seq


@dataclass(frozen=True, slots=True)
class MarkerRange:
    """Consecutive markers: one insert."""

    messages: tuple[Marker, ...]

    @property
    def rows(self) -> int:
        return len(self.messages)

    @property
    def last_seq(self) -> int:
        return self.messages[-1].seq


@dataclass(frozen=True, slots=True)
class CorrectionRange:
    """Consecutive corrections' ends: one insert."""

    messages: tuple[Correction, ...]

    @property
    def rows(self) -> int:
        return len(self.messages)

    @property
    def last_seq(self) -> int:
        return self.messages[-1].seq


Range = TickRange | MarkerRange | CorrectionRange


def ranges(messages: Sequence[Message]) -> Iterator[Range]:
    """Cut messages, in the log's order, where the month changes, where markers or corrections stand, and where they
    would be too many for one insert.

    An insert is atomic only within one partition, and the partition is the month; and the last message of what is
    stored must imply all before it. So months that alternate cost an insert each: to gather each month's messages
    into one insert would store later messages before earlier ones, and a death between the two inserts would leave a
    position that claims messages which were never stored, or rows that bear no true place in the log.
    """
    start = rows = 0
    kind = None
    for stop, message in enumerate(messages):
        came = _kind(message)
        if stop > start and (came != kind or stop - start == _MOST_MESSAGES or rows >= _MOST_ROWS):
            yield _range(messages[start:stop])
            start, rows = stop, 0
        kind = came
        rows += len(message.batch) if isinstance(message, Ticks) else 1
    if messages:
        yield _range(messages[start:])


def touched(message: Ticks | Correction) -> tuple[str, str, int, int]:
    """(server, symbol, from, to): the server time in which it changes what stands."""
    if isinstance(message, Correction):
        return message.server, message.symbol, message.from_msc, message.to_msc
    batch = message.batch
    return batch.server, batch.symbol, int(batch.time_msc[0]), int(batch.time_msc[-1]) + 1


def following_on(seq: int, messages: Sequence[Message]) -> Sequence[Message]:
    """The messages that follow on `seq` without a gap."""
    expected = itertools.count(seq + 1)
    return list(itertools.takewhile(lambda message: message.seq == next(expected), messages))


def sound(message: Message) -> Message:
    """The message, or a marker in the place of a batch that no single insert can hold."""
    if isinstance(message, Ticks) and message.batch.month != message.batch.last_month:
        return refused(message, "SPANS_MONTHS")
    return message


def refused(message: Ticks, reason: str) -> Marker:
    batch = message.batch
    return Marker(
        message.seq,
        batch.server,
        batch.symbol,
        batch.agent,
        batch.read_unix_ns,
        batch.prev,
        batch.last_id,
        len(batch),
        reason,
    )


def _kind(message: Message) -> int:
    if isinstance(message, Ticks):
        return message.batch.month
    return -1 if isinstance(message, Marker) else -2


def _range(messages: Sequence[Message]) -> Range:
    first = messages[0]
    if isinstance(first, Ticks):
        return TickRange(tuple(message for message in messages if isinstance(message, Ticks)))
    if isinstance(first, Marker):
        return MarkerRange(tuple(message for message in messages if isinstance(message, Marker)))
    return CorrectionRange(tuple(message for message in messages if isinstance(message, Correction)))
