"""A symbol's ticks on disk: fixed-size records, only ever appended, read through a memory map."""

import os
from pathlib import Path

import numpy as np

from pc_agent.twin.domain.ticks import TICK_DTYPE, Ticks


class TickFile:
    """Appends survive the death of the process; a record that a death tore is cut off at the next start."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Unbuffered: what was written is the kernel's, whatever becomes of us.
        self._file = path.open("ab", buffering=0)
        whole = os.fstat(self._file.fileno()).st_size // TICK_DTYPE.itemsize
        self._file.truncate(whole * TICK_DTYPE.itemsize)
        self.ticks: Ticks = _mapped(path, whole)
        self._is_settled = True

    def append(self, ticks: Ticks) -> None:
        self._file.write(ticks.tobytes())
        self.ticks = _mapped(self._path, len(self.ticks) + len(ticks))
        self._is_settled = False

    def settle(self) -> None:
        """Return when everything appended before the call is on the disk; from any thread."""
        if not self._is_settled:
            self._is_settled = True  # before, so that what is appended meanwhile unsettles it again
            os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def write_whole(path: Path, ticks: Ticks) -> None:
    """Make the file in one step: it is there with all its records, or not at all."""
    half = path.with_name(path.name + ".half")
    with half.open("wb") as file:
        file.write(ticks.tobytes())
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)


def _mapped(path: Path, count: int) -> Ticks:
    if count == 0:  # nothing can not be mapped
        return np.empty(0, TICK_DTYPE)
    return np.memmap(path, TICK_DTYPE, "r", shape=(count,)).view(np.ndarray)
