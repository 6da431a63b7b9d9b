"""How much memory programs hold, and held at most."""

from collections.abc import Iterable

import psutil

from compose.embedded.supervisor import Supervised

_MB = 1 << 20


def memory_mb(one: Supervised) -> float:
    """Resident memory of the program and its children; 0 while it does not run."""
    total = 0
    try:
        process = psutil.Process(one.pid) if one.pid else None
        for member in [process, *process.children(recursive=True)] if process else []:
            total += member.memory_info().rss
    except psutil.NoSuchProcess:
        return total / _MB
    return total / _MB


class MemoryPeaks:
    """The most that each program was seen to hold."""

    def __init__(self) -> None:
        self.peaks_mb: dict[str, float] = {}

    def look(self, programs: Iterable[Supervised]) -> None:
        for one in programs:
            self.peaks_mb[one.name] = max(self.peaks_mb.get(one.name, 0.0), memory_mb(one))
