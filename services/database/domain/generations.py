"""Which generation stands when: a correction replaces a range of its symbol's time (`tick.proto`, "Correction")."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class CorrectedRange:
    """Within [from_msc, to_msc) only ticks of `generation`, or of a higher one, count."""

    generation: int
    from_msc: int
    to_msc: int


def standing(corrections: Sequence[CorrectedRange]) -> list[CorrectedRange]:
    """Where a generation above 0 stands: ranges in order that share no time; neighbours of one generation are one."""
    edges = np.unique(np.array([(c.from_msc, c.to_msc) for c in corrections], np.int64))
    if not len(edges):
        return []
    generations = np.zeros(len(edges), np.int64)
    for correction in sorted(corrections, key=lambda correction: correction.generation):
        start, stop = np.searchsorted(edges, (correction.from_msc, correction.to_msc))
        generations[start:stop] = correction.generation
    changes = np.flatnonzero(np.diff(generations, prepend=0)).tolist()
    return [
        CorrectedRange(int(generations[start]), int(edges[start]), int(edges[stop]))
        for start, stop in itertools.pairwise(changes)
        if generations[start]
    ]
