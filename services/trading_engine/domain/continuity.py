"""Each tick once and in order, from a bus that may repeat or miss some (design section 5, point 6)."""

from dataclasses import dataclass
from typing import NamedTuple

from mesh.market import Batch, TickId


class Continuation(NamedTuple):
    """The ticks not seen before, and whether nothing is missing before them."""

    batch: Batch
    unbroken: bool


@dataclass(slots=True)
class Continuity:
    """One symbol's place in its stream; `cursor` is None until the first tick."""

    cursor: TickId | None = None

    def follow(self, batch: Batch) -> Continuation | None:
        """What is new in `batch`; None when nothing is."""
        fresh = batch if self.cursor is None else batch.after(self.cursor)
        if fresh is None:
            return None
        # After trimming, `prev` is the tick before the first new one: ours, unless something lies between.
        unbroken = self.cursor is not None and fresh.prev == self.cursor
        self.cursor = fresh.last_id
        return Continuation(fresh, unbroken)

    def skip(self, last: TickId) -> bool:
        """Ticks up to `last` will never come; False when they are behind us anyway."""
        if self.cursor is not None and last <= self.cursor:
            return False
        self.cursor = last
        return True
