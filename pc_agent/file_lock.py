"""An exclusive lock on a file; the operating system lets it go when its holder dies, however it dies."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class LockedError(Exception):
    """Another process holds the lock."""


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold `path`, made when absent, until the block ends.

    Raises:
        LockedError: someone else holds it.
    """
    with path.open("ab") as file:
        try:
            _lock(file)
        except OSError:
            raise LockedError(f"{path} is held by another process") from None
        yield
