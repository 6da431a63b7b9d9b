"""The market's vocabulary: tick identity, batches, their codec and subjects. Pure: domains may import it."""

from mesh.market.batch import Batch
from mesh.market.tick import BEFORE_FIRST, TickId

__all__ = ["BEFORE_FIRST", "Batch", "TickId"]
