"""What is stored beside each tick, and who says it."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.database.domain.log import Ticks


class Annotations(NamedTuple):
    """Of consecutive ticks: UTC in milliseconds, and TickMark's bits."""

    utc_msc: npt.NDArray[np.int64]
    marks: npt.NDArray[np.uint32]


Annotate = Callable[[Sequence[Ticks]], Annotations]


def unannotated(messages: Sequence[Ticks]) -> Annotations:
    """Server time taken for UTC, nothing odd."""
    time_msc = np.concatenate([message.batch.time_msc for message in messages])
    return Annotations(time_msc, np.zeros(len(time_msc), np.uint32))
