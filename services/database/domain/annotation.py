"""What is stored beside each tick, and who says it."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from services.database.domain.log import Marker, Ticks


class Annotations(NamedTuple):
    """Of consecutive ticks: UTC in milliseconds, and TickMark's bits."""

    utc_msc: npt.NDArray[np.int64]
    marks: npt.NDArray[np.uint32]


class Annotator(Protocol):
    """Sees what is stored of a log, in its order; some of it again when an insert failed."""

    def annotate(self, messages: Sequence[Ticks]) -> Annotations: ...
    def refused(self, markers: Sequence[Marker]) -> None: ...
