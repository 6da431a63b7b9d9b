"""The calendar file of news, read again when it changes."""

import asyncio
from pathlib import Path

from mesh.log import get_logger
from pc_agent.domain.news import Calendar, read_csv, read_ics

log = get_logger(__name__)

_LOOK_S = 2.0
_MOST_BYTES = 16 * 2**20
_BAD_TOLD = 5


class NewsFile:
    """`calendar` is what the file held last; while it can not be read that stays. `path` None: there is none."""

    def __init__(self, path: Path | None) -> None:
        self.calendar = Calendar()
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._complained = ""

    async def run(self) -> None:
        """Look at it for ever."""
        while self._path is not None:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(_LOOK_S)

    def look(self) -> None:
        """Read it, if it is not as it was."""
        assert self._path is not None
        try:
            facts = self._path.stat()
            seen = facts.st_mtime_ns, facts.st_size
            if seen == self._seen:
                return
            if facts.st_size > _MOST_BYTES:
                self._complain(f"it is larger than {_MOST_BYTES >> 20} MB")
                return
            text = self._path.read_text("utf-8-sig", errors="replace")
        except OSError as error:
            self._complain(error.strerror or str(error))
            return
        self._seen, self._complained = seen, ""
        read = read_ics if self._path.suffix.lower() == ".ics" else read_csv
        self.calendar = read(text.splitlines())
        log.info("the calendar of news was read", file=str(self._path), news=len(self.calendar.news))
        for bad in self.calendar.bad[:_BAD_TOLD]:
            log.warning("bad line in the calendar of news", line=bad.number, expected=bad.expected)
        if len(self.calendar.bad) > _BAD_TOLD:
            log.warning("bad lines in the calendar of news", lines=len(self.calendar.bad))

    def _complain(self, because: str) -> None:
        if because != self._complained:
            self._complained = because
            log.error("the calendar of news can not be read", file=str(self._path), because=because)
