"""A stretch of one symbol's stored ticks, and how it is cut into batches."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mesh.market import BEFORE_FIRST, TickId

END_MSC = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Span:
    """Ticks of [from_msc, to_msc) that come after `after`; `limit` at most, 0: all.

    Of bars a negative limit asks for the last so many.
    """

    server: str
    symbol: str
    from_msc: int = 0
    to_msc: int = END_MSC
    after: TickId = BEFORE_FIRST
    limit: int = 0


Columns = Mapping[str, npt.NDArray[Any]]


def pieces(columns: Columns, most: int) -> Iterator[Columns]:
    """Consecutive pieces of at most `most` ticks, none of which spans a UTC month or two generations."""
    months = columns["time_msc"].astype("datetime64[ms]").astype("datetime64[M]")
    generations = columns["generation"]
    changes = (months[1:] != months[:-1]) | (generations[1:] != generations[:-1])
    edges = [0, *(np.flatnonzero(changes) + 1).tolist(), len(months)]
    for start, stop in itertools.pairwise(edges):
        for piece in range(start, stop, most):
            yield {name: column[piece : min(piece + most, stop)] for name, column in columns.items()}
