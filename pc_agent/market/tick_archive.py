"""Ticks of one symbol that a source has taken, on disk: what is read again is the same ticks with the same places."""

import json
import os
from pathlib import Path
from typing import Any

from pc_agent.twin.domain.ticks import TICK_DTYPE, Ticks, first_after, first_at
from pc_agent.twin.tick_file import TickFile

# Letters that no file system minds; any other of a symbol's name becomes its number.
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


class TickArchive:
    """Records as terminals have them, by time, only ever appended, each append with a note of how far its source got.

    What was appended without its note is cut off at the next start: the source brings it again. Memory: a map of the
    file, which the system may drop.
    """

    def __init__(self, folder: Path, symbol: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        stem = "".join(letter if letter in _PLAIN else f"%{ord(letter):x}" for letter in symbol)
        self._path, self._note_path = folder / f"{stem}.ticks", folder / f"{stem}.json"
        self.note: dict[str, Any] = self._begin()
        self._file = TickFile(self._path)

    @property
    def ticks(self) -> Ticks:
        """All of them."""
        return self._file.ticks

    @property
    def newest_msc(self) -> int:
        """0: there is none."""
        return int(self.ticks[-1]["time_msc"]) if len(self.ticks) else 0

    def append(self, ticks: Ticks, note: dict[str, Any]) -> None:
        """Ticks not older than the newest, and how far their source got with them."""
        if len(ticks):
            self._file.append(ticks)
        self.note = {**note, "ticks": len(self.ticks)}
        half = self._note_path.with_suffix(".half")
        half.write_text(json.dumps(self.note), "utf-8")
        half.replace(self._note_path)

    def page(self, from_s: int, count: int, stop: int) -> Ticks:
        """At most `count` from this second on, of the first `stop`."""
        ticks = self.ticks
        start = first_at(ticks, from_s * 1000, stop)
        return ticks[start : min(start + count, stop)]

    def count_until(self, msc: int) -> int:
        """How many are not after it."""
        return first_after(self.ticks, msc)

    def close(self) -> None:
        self._file.close()

    def _begin(self) -> dict[str, Any]:
        try:
            note: dict[str, Any] = json.loads(self._note_path.read_text("utf-8"))
            kept = int(note["ticks"])
        except (OSError, ValueError, KeyError, TypeError):
            note, kept = {}, 0
        have = self._path.stat().st_size // TICK_DTYPE.itemsize if self._path.exists() else 0
        if kept > have:  # the disk lost some: all is brought again
            note, kept = {}, 0
        if have > kept:
            os.truncate(self._path, kept * TICK_DTYPE.itemsize)
        return note
