"""What may leave a log (design section 5, point 5): what every sink has stored, when it is old or the log too full."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

FULL = 0.8
# How far a log that was too full is emptied.
ENOUGH = 0.5


@dataclass(frozen=True, slots=True)
class LogState:
    """Numbers of the first and last message (n + 1, n: it holds none), bytes held and allowed, up to where it was
    purged, and behind which message its epoch began.
    """

    epoch: int
    first_seq: int
    last_seq: int
    bytes: int
    max_bytes: int
    purged_seq: int
    start: int = 0

    @property
    def floor(self) -> int:
        """No message up to here is to be stored in this epoch."""
        return max(self.start, self.purged_seq)

    @property
    def full(self) -> bool:
        return self.bytes > FULL * self.max_bytes

    @property
    def emptied(self) -> bool:
        return self.bytes <= ENOUGH * self.max_bytes


def next_bound(state: LogState, stored_seq: int) -> int:
    """Before which message a log that is too full is purged next, so that about ENOUGH is left.

    Supposes that all messages behind the last purge are of one size, and never passes `stored_seq`: the message there
    stays, to be compared when a sink starts. Ask again after each purge: where the supposition is wrong it gets nearer.
    """
    low = max(state.first_seq, state.purged_seq + 1)
    share = max(0.0, 1 - ENOUGH * state.max_bytes / max(state.bytes, 1))
    return min(low + int(share * (state.last_seq - low)) + 1, stored_seq)


def purges(contents: Mapping[str, tuple[int, int]], before: int) -> Iterator[tuple[str, int]]:
    """(subject, message before which it is purged) of each subject that may have something to give.

    Args:
        contents: By subject how many messages it has, and the number of its newest, which stays whatever comes later.
        before: No message from here on is purged.
    """
    for subject, (count, newest) in contents.items():
        if count > 1:
            yield subject, min(newest, before)
