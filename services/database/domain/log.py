"""What the tick log holds, and how it is cut into inserts (design section 5, point 4)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mesh.market import Batch, TickId

_REMEDY = "bring back the newer log, or give this one a new epoch"


class Position(NamedTuple):
    """How far a log has been stored: `seq` is the last message; 0 before the first."""

    epoch: int
    seq: int


@dataclass(frozen=True, slots=True)
class Ticks:
    """A message with ticks."""

    seq: int
    batch: Batch

    @property
    def identity(self) -> "Identity":
        return Identity(self.batch.server, self.batch.symbol, self.batch.last_id)


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
        return Identity(self.server, self.symbol, self.last)


Message = Ticks | Marker


class Identity(NamedTuple):
    """What tells one message of the log from another: its symbol and its last tick."""

    server: str
    symbol: str
    last: TickId


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


class LogMismatchError(Exception):
    """The log is not the one whose position is stored; the message says how it shows and what to do."""


def ranges(messages: Sequence[Message]) -> Iterator[TickRange | MarkerRange]:
    """Cut messages, in the log's order, where the month changes and where markers stand.

    An insert is atomic only within one partition, and the partition is the month: the last message of what is
    stored must imply all before it.
    """
    start = 0
    kinds = [_kind(message) for message in messages]
    for stop in range(1, len(messages) + 1):
        if stop == len(messages) or kinds[stop] != kinds[start]:
            yield _range(messages[start:stop])
            start = stop


def sound(message: Message) -> Message:
    """The message, or a marker in the place of a batch that no single insert can hold."""
    if (
        isinstance(message, Ticks)
        and message.batch.month != message.batch.slice(len(message.batch) - 1, len(message.batch)).month
    ):
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


def verify_start(position: Position, first_seq: int, last_seq: int) -> bool:
    """Whether the log's message at `position` can be compared with what is stored.

    Args:
        first_seq, last_seq: The first and the last message in the log.

    Raises:
        LogMismatchError: The log ends before the position, or began to forget after it.
    """
    if last_seq < position.seq:
        raise LogMismatchError(
            f"the log ends at message {last_seq}, but ClickHouse holds up to {position.seq} of epoch {position.epoch}: "
            f"the log was truncated or restored from an older copy; {_REMEDY}"
        )
    if first_seq > position.seq + 1:
        raise missing(position.seq + 1, first_seq - 1)
    return position.seq > 0 and first_seq <= position.seq


def verify_identity(position: Position, in_log: Identity, stored: Identity) -> None:
    """Raises LogMismatchError unless the message at `position` is the one whose rows are stored."""
    if in_log != stored:
        raise LogMismatchError(
            f"message {position.seq} of the log ends with {_words(in_log)}, but ClickHouse holds {_words(stored)}: "
            f"the log uses its numbers anew, so it was restored from an older copy; {_REMEDY}"
        )


def missing(first: int, last: int) -> LogMismatchError:
    return LogMismatchError(
        f"messages {first} to {last} left the log before they were stored; "
        "send those ticks again from the terminal's history under a new epoch of the log"
    )


def _kind(message: Message) -> int:
    return message.batch.month if isinstance(message, Ticks) else -1


def _range(messages: Sequence[Message]) -> TickRange | MarkerRange:
    if isinstance(messages[0], Ticks):
        return TickRange(tuple(message for message in messages if isinstance(message, Ticks)))
    return MarkerRange(tuple(message for message in messages if isinstance(message, Marker)))


def _words(identity: Identity) -> str:
    return f"{identity.symbol} of {identity.server} at {identity.last.time_msc}/{identity.last.ordinal}"
