"""Which lock stands for a terminal, and at which account its holder is: who may be in the middle of an order there."""

import json
import os
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

from pc_agent.file_lock import file_lock


def lock_file(folder: Path, module: str, path: str) -> Path:
    """The same whatever the terminal is called; `path` empty: the one that MetaTrader finds."""
    place = os.path.normcase(os.path.realpath(path)) if path else ""
    digest = blake2b(f"{module} {place}".encode(), digest_size=8).hexdigest()
    return folder / f"terminal-{digest}.lock"


def other_locks(folder: Path, own: Iterable[Path]) -> tuple[Path, ...]:
    """Of terminals that are others' now, or in the settings no more: who holds them may be of an earlier agent."""
    return tuple(sorted(set(folder.glob("terminal-*.lock")) - set(own)))


def note_account(lock: Path, server: str, login: int) -> None:
    """Whoever holds `lock` is at this account; '' and 0: not known.

    Raises:
        OSError: it can not be written.
    """
    _note_of(lock).write_text(json.dumps({"server": server, "login": login}), "utf-8")


def require_free(locks: Iterable[Path], server: str, login: int) -> None:
    """None of `locks` is held by one who may be at this account.

    Raises:
        LockedError: one is; nobody knows better where its note, or this account, is not known.
    """
    for lock in locks:
        if _may_be_at(lock, server, login):
            with file_lock(lock):
                pass


def _may_be_at(lock: Path, server: str, login: int) -> bool:
    try:
        noted = json.loads(_note_of(lock).read_text("utf-8"))
        pairs = (noted["server"], server), (noted["login"], login)
    except (OSError, ValueError, KeyError, TypeError):  # there is none, or it is just being written
        return True
    return all(not theirs or not ours or theirs == ours for theirs, ours in pairs)


def _note_of(lock: Path) -> Path:
    """Beside it: on Windows nobody can read what is locked."""
    return lock.with_suffix(".account")
