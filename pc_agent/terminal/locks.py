"""Which lock stands for a terminal: who holds it may still be in the middle of an order there."""

import os
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path


def lock_file(folder: Path, module: str, path: str) -> Path:
    """The same whatever the terminal is called; `path` empty: the one that MetaTrader finds."""
    place = os.path.normcase(os.path.realpath(path)) if path else ""
    digest = blake2b(f"{module} {place}".encode(), digest_size=8).hexdigest()
    return folder / f"terminal-{digest}.lock"


def other_locks(folder: Path, own: Iterable[Path]) -> tuple[Path, ...]:
    """Of terminals that an earlier agent had and this one has not: perhaps of the same accounts."""
    return tuple(sorted(set(folder.glob("terminal-*.lock")) - set(own)))
