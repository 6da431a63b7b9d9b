"""The exclusive lock on a terminal's folder; the operating system lets it go when its holder dies."""

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


class FolderLockedError(Exception):
    """Another process owns the folder."""


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Own `folder`, made when absent, until the block ends.

    Raises:
        FolderLockedError: someone else does.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("ab") as file:
        try:
            _lock(file)
        except OSError:
            raise FolderLockedError(f"{folder} is in use by another terminal") from None
        yield
