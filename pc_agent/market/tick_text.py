"""Text files of ticks read on as they grow: whole lines only, whatever the writer does with the file meanwhile."""

import gzip
import os
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from mesh.log import get_logger
from pc_agent.market.tick_archive import TickArchive
from pc_agent.twin.domain.columns import MalformedRowError, carried, require, split
from pc_agent.twin.domain.ticks import TICK_DTYPE, Ticks
from pc_agent.twin.tick_csv import Shape, TickFileError, shape_of

log = get_logger(__name__)

# Some six thousand ticks.
_CHUNK_BYTES = 1 << 18
_HEAD_BYTES = 256


class TickText:
    """One file into one archive. Called from one thread at a time.

    `is_whole`: nobody writes on it, so its last line needs no end. A file that was truncated or replaced (its head is
    another, or it is shorter than what was read) is read from its beginning; the rest of a renamed one first, where the
    system lets a file be renamed that is open (not on Windows).
    """

    def __init__(self, path: Path, archive: TickArchive, is_whole: bool) -> None:
        self.bad_lines = 0
        self._path = path
        self._archive = archive
        self._is_whole = is_whole
        note = archive.note
        self._offset = int(note.get("offset", 0))
        self._head, self._head_bytes = str(note.get("head", "")), int(note.get("head_bytes", 0))
        self._last = str(note.get("last", "")).encode("latin-1")
        self._shape: Shape | None = None
        self._file: IO[bytes] | None = None
        self._told_bad = 0
        self._newest_bad = ""
        self._newest_msc = 0

    def read(self) -> tuple[Ticks, dict[str, Any]] | None:
        """What came since, at most a chunk, and the note to append it with; None: nothing.

        Raises:
            TickFileError: the file can not be read, or has no header that is known.
        """
        try:
            found = self._read()
        except OSError as error:
            if not isinstance(error, FileNotFoundError):  # a renamed one may still grow until there is another
                self.close()
            raise TickFileError(f"{self._path} can not be read: {error.strerror or error}") from None
        if os.name == "nt":
            self.close()
        return found

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read(self) -> tuple[Ticks, dict[str, Any]] | None:
        file = self._opened()
        if self._shape is None and not self._read_header(file):
            return None
        file.seek(self._offset)
        chunk = file.read(_CHUNK_BYTES)
        end = chunk.rfind(b"\n") + 1
        if not end and (len(chunk) == _CHUNK_BYTES or (chunk and self._is_whole)):
            end = len(chunk)  # no line is so long: it is bad; or it is the last
        if not end:
            self._look_for_another()
            return None
        self._offset += end
        ticks = self._parsed(chunk[:end])
        self._tell_bad()
        self._note_head(file)
        note = {"offset": self._offset, "head": self._head, "head_bytes": self._head_bytes}
        return ticks, {**note, "last": self._last.decode("latin-1")}

    def _opened(self) -> IO[bytes]:
        """The file; from the beginning where it is not the one that was read before."""
        is_new = self._file is None
        if self._file is None:
            self._file = self._open()
        if self._offset and (is_new or not self._is_whole) and not self._is_same(self._file):
            log.warning("a file of ticks is not the one that was read: from its beginning", file=str(self._path))
            self._begin_anew()
        return self._file

    def _open(self) -> IO[bytes]:
        if self._path.suffix == ".gz":
            return cast(IO[bytes], gzip.open(self._path))
        return self._path.open("rb")

    def _begin_anew(self) -> None:
        self._offset, self._shape, self._last, self._head, self._head_bytes = 0, None, b"", "", 0

    def _is_same(self, file: IO[bytes]) -> bool:
        """It is no shorter than what was read, and its head is the same."""
        if file.seek(0, os.SEEK_END) < self._offset:
            return False
        file.seek(0)
        return _digest(file.read(self._head_bytes)) == self._head

    def _note_head(self, file: IO[bytes]) -> None:
        if self._head_bytes < _HEAD_BYTES:
            file.seek(0)
            head = file.read(min(_HEAD_BYTES, self._offset))
            self._head, self._head_bytes = _digest(head), len(head)

    def _read_header(self, file: IO[bytes]) -> bool:
        """False: it is not written yet."""
        file.seek(0)
        header = file.readline(4096)
        if not header.endswith(b"\n"):
            return False
        self._shape = shape_of(self._path, header)
        self._offset = max(self._offset, len(header))
        return True

    def _look_for_another(self) -> None:
        """At the end of the open file: the path may stand for another one by now."""
        if self._is_whole or self._file is None or os.name == "nt":
            return
        ours, now = os.fstat(self._file.fileno()), self._path.stat()
        if (ours.st_dev, ours.st_ino) != (now.st_dev, now.st_ino):
            self.close()
            self._begin_anew()
            log.info("a file of ticks was replaced: the new one is read", file=str(self._path))

    # lines

    def _parsed(self, body: bytes) -> Ticks:
        """Its ticks; bad lines are left out and counted."""
        if not body.strip():
            return np.empty(0, TICK_DTYPE)
        try:
            return self._ticks(body)
        except MalformedRowError as error:
            cut = body.find(b"\n", len(body) // 2) + 1
            if not cut or cut == len(body):
                cut = body.rfind(b"\n", 0, len(body) - 1) + 1
            if not cut:
                self.bad_lines += 1
                self._newest_bad = f"{body[:80]!r}, expected {error.expected}"
                return np.empty(0, TICK_DTYPE)
        return np.concatenate((self._parsed(body[:cut]), self._parsed(body[cut:])))

    def _ticks(self, body: bytes) -> Ticks:
        """The line before goes ahead, so that what a line leaves out, and what changed, is as in one piece."""
        assert self._shape is not None
        shape, known = self._shape, self._last
        columns = split(known + body, shape.columns, shape.separator)
        ticks = shape.ticks_of(columns).ticks[bool(known) :]
        newest = max(self._archive.newest_msc, self._newest_msc)
        time_msc = ticks["time_msc"]
        require(np.diff(time_msc, prepend=newest) >= 0, "a time not before that of the line above")
        ends = [carried(column) for column in columns]
        self._last = shape.separator.join(bytes(one.text[one.start[-1] : one.end[-1]]) for one in ends) + b"\n"
        self._newest_msc = int(time_msc[-1])
        return ticks

    def _tell_bad(self) -> None:
        """At once, then each time that there are twice as many."""
        if self.bad_lines and self.bad_lines >= 2 * self._told_bad:
            self._told_bad = self.bad_lines
            log.warning(
                "bad lines in a file of ticks", file=str(self._path), lines=self.bad_lines, newest=self._newest_bad
            )


def _digest(head: bytes) -> str:
    return blake2b(head, digest_size=8).hexdigest()
