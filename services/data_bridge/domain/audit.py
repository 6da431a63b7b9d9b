"""What an audit compares, and what it found: server time, by UTC days and hours."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from mesh.market import TickId
from mesh.market.digest import Digest
from services.data_bridge.domain.progress import SymbolKey

SECOND_MSC = 1_000
MINUTE_MSC = 60_000
HOUR_MSC = 3_600_000
DAY_MSC = 86_400_000


class State(Enum):
    """How one symbol and day was left."""

    MATCHES = auto()
    DIFFERS = auto()
    HEALED = auto()
    CORRECTED = auto()
    UNANSWERED = auto()


@dataclass(frozen=True, slots=True)
class Finding:
    """One symbol and day. `differing` are the terminal's digests of the hours that differed."""

    key: SymbolKey
    from_msc: int
    to_msc: int
    state: State
    terminal_ticks: int = 0
    log_ticks: int = 0
    stored_ticks: int = 0
    differing: tuple[Digest, ...] = ()
    healed_ticks: int = 0
    generation: int = 0
    detail: str = ""

    @property
    def differed(self) -> bool:
        return self.state in (State.DIFFERS, State.HEALED, State.CORRECTED)


class Span(NamedTuple):
    """A stretch that is asked for in buckets of one length, which divides it."""

    from_msc: int
    to_msc: int
    bucket_ms: int


def day_of(time_msc: int) -> int:
    """The beginning of that time's day."""
    return time_msc // DAY_MSC * DAY_MSC


def days(from_msc: int, to_msc: int) -> Iterator[int]:
    """The beginnings of all days that have a part in [from_msc, to_msc)."""
    return iter(range(day_of(from_msc), to_msc, DAY_MSC))


def spans(from_msc: int, to_msc: int, bucket_ms: int) -> list[Span]:
    """[from_msc, to_msc) in whole buckets, and what is left of the last one."""
    edge = to_msc - (to_msc - from_msc) % bucket_ms
    cut = [Span(from_msc, edge, bucket_ms), Span(edge, to_msc, to_msc - edge)]
    return [span for span in cut if span.from_msc < span.to_msc]


def settled(durable: TickId, terminal: TickId, quiet: bool) -> int:
    """The server time before which nothing more comes, of whole seconds.

    Args:
        durable: The newest tick in the log.
        terminal: The newest tick that the terminal shows.
        quiet: The newest tick came so long ago that its second is over.
    """
    second = min(durable.time_msc, terminal.time_msc) // SECOND_MSC * SECOND_MSC
    return second + SECOND_MSC if quiet and durable == terminal else second


def differing(terminal: Sequence[Digest], stored: Sequence[Digest]) -> list[Digest]:
    """The terminal's digests that the store's of the same stretch do not equal."""
    return [ours for ours, theirs in zip(terminal, stored, strict=True) if ours != theirs]


def total(digests: Sequence[Digest]) -> int:
    return sum(digest.count for digest in digests)
