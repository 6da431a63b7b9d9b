"""What brings the store to what the terminal says of a range of one symbol.

Ticks are compared by their hashes (mesh.market.digest), which cover every column.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mesh.market import Batch
from mesh.market.digest import Digest, digests, tick_hashes
from services.data_bridge.domain import judgement


@dataclass(frozen=True, slots=True)
class Missing:
    """All that is stored is right; `ticks` are to be added, of the generation that they bear."""

    ticks: Batch


@dataclass(frozen=True, slots=True)
class Replacement:
    """The range is to be told anew as `generation`, with these ticks alone; None: it holds none."""

    ticks: Batch | None
    generation: int

    @property
    def count(self) -> int:
        return len(self.ticks) if self.ticks else 0


def decide(
    terminal: Batch | None, stored: Batch | None, standing: int, whole: bool = False
) -> Missing | Replacement | None:
    """How to heal a range; None when it needs nothing.

    Args:
        terminal, stored: The ticks of the range, None for none; the terminal's can be stored.
        standing: The highest generation that a correction within the range has.
        whole: Never only add ticks: that was tried, and where a correction covers a part of the range alone it
            does not show.
    """
    there, here = _hashes(terminal), _hashes(stored)
    there_sorted, here_sorted = np.sort(there), np.sort(here)
    if np.array_equal(there_sorted, here_sorted):
        return None
    if terminal is None or whole or not _among(here_sorted, there_sorted).all():
        return Replacement(_of(terminal, standing + 1), standing + 1)
    missing = select(terminal, ~_among(there, here_sorted))
    return Missing(replace(missing, generation=standing)) if missing else None


def storable(batch: Batch) -> Batch | None:
    """The ticks of `batch` that the log takes: those between flawed ones too, which a live batch lost with them."""
    parts = list(_sound_parts(batch))
    return Batch.join(parts) if parts else None


def amount(batches: Batch | None, from_msc: int, to_msc: int) -> Digest:
    """What the ticks amount to."""
    if batches is None:
        return Digest(from_msc, to_msc, 0, 0)
    return digests(batches.columns(), from_msc, to_msc, to_msc - from_msc)[0]


def select(batch: Batch, mask: npt.NDArray[np.bool_]) -> Batch | None:
    """The ticks that `mask` holds; None when it holds none."""
    if not mask.any():
        return None
    columns: dict[str, Any] = {name: column[mask] for name, column in batch.columns().items()}
    return replace(batch, **columns)


def _sound_parts(batch: Batch) -> Iterator[Batch]:
    """Halved until each part is sound or one tick: flaws are few."""
    if not judgement.flaw(batch):
        yield batch
    elif len(batch) > 1:
        middle = len(batch) // 2
        yield from _sound_parts(batch.slice(0, middle))
        yield from _sound_parts(batch.slice(middle, len(batch)))


def _of(batch: Batch | None, generation: int) -> Batch | None:
    return replace(batch, generation=generation) if batch else None


def _hashes(batch: Batch | None) -> npt.NDArray[np.uint64]:
    return tick_hashes(batch.columns()) if batch else np.zeros(0, np.uint64)


def _among(hashes: npt.NDArray[np.uint64], ascending: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Which of `hashes` are in `ascending`."""
    if not len(ascending):
        return np.zeros(len(hashes), np.bool_)
    places = np.searchsorted(ascending, hashes)
    return np.asarray(ascending[np.minimum(places, len(ascending) - 1)] == hashes)
