"""What every strategy is: it reads ticks, whatever its position; then it says what it would do at which tick."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from mesh.market import Batch, TickId
from services.trading_engine.domain.order import Side


@dataclass(frozen=True, slots=True)
class Decision:
    """To trade at a tick. `index` is the tick's place in the batch that was read; `closing`: the whole position."""

    index: int
    tick: TickId
    side: Side
    closing: bool


class Readings(Protocol):
    """What a strategy made of one batch."""

    def first(self, position: Decimal, start: int = 0) -> Decision | None:
        """The first decision at or after tick `start`, for whoever holds `position` (signed lots) there."""


class Strategy(Protocol):
    """One symbol's. However the ticks are cut into batches, the readings of a tick are the same, to the bit."""

    def read(self, batch: Batch) -> Readings:
        """Take the ticks in; they follow on those before."""

    def reset(self) -> None:
        """Forget: what comes next does not follow on what was read."""
