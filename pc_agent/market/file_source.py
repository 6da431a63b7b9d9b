"""Ticks of files: whole ones that are replayed, or ones that another program writes on."""

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path

from mesh.log import get_logger
from pc_agent.market.archive_source import ArchiveSource
from pc_agent.market.tick_text import TickText
from pc_agent.terminal.messages import CloseSymbol, Credit, Reading
from pc_agent.twin.tick_csv import TickFileError

log = get_logger(__name__)

_LOOK_S = 0.05
_RETRY_S = 0.5


class FileSource(ArchiveSource):
    """Each symbol's file. It is connected while all of them can be read.

    `is_whole`: a replay, which goes `speed` times as fast as the market did, from where the mesh is when it is first
    read; 0: as fast as it is taken.
    """

    def __init__(
        self, name: str, server: str, files: Mapping[str, Path], folder: Path, is_whole: bool, speed: float = 0.0
    ) -> None:
        super().__init__(name, server, files, folder)
        self._texts = {symbol: TickText(path, self.archives[symbol], is_whole) for symbol, path in files.items()}
        self._speed = speed
        # Monotonic, and where the market was then; None: nobody has read yet.
        self._began: tuple[float, int] | None = None
        self._wrong: dict[str, str] = {}

    @property
    def bad_lines(self) -> int:
        return sum(text.bad_lines for text in self._texts.values())

    async def collect(self) -> None:
        """Every file as far as it goes, for ever."""
        thread = ThreadPoolExecutor(1, "tick-files")
        try:
            while True:
                more = False
                for symbol, text in self._texts.items():
                    more |= await self._take(symbol, text, thread)
                if self._wrong or not more:
                    self.set_connected(not self._wrong)
                    await asyncio.sleep(_RETRY_S if self._wrong else _LOOK_S)
        finally:
            for text in self._texts.values():
                thread.submit(text.close)  # behind a read that may be on its way
            thread.shutdown(wait=False)

    def send(self, command: Reading | CloseSymbol | Credit) -> None:
        """See `TickSource`; the first reading starts a replay's clock."""
        if self._began is None and isinstance(command, Reading) and command.symbol in self.archives:
            ticks = self.archives[command.symbol].ticks
            if len(ticks):
                first_msc = int(ticks[0]["time_msc"])
                self._began = time.monotonic(), max(first_msc, command.after.time_msc)
        super().send(command)

    def visible(self, symbol: str) -> int:
        """As far as the replay is."""
        if not self._speed:
            return super().visible(symbol)
        if self._began is None:
            return min(1, super().visible(symbol))
        began, start_msc = self._began
        return self.archives[symbol].count_until(start_msc + int((time.monotonic() - began) * 1000 * self._speed))

    async def _take(self, symbol: str, text: TickText, thread: Executor) -> bool:
        try:
            found = await asyncio.get_running_loop().run_in_executor(thread, copy_context().run, text.read)
        except TickFileError as error:
            if self._wrong.get(symbol) != str(error):
                self._wrong[symbol] = str(error)
                log.error("a source can not be read", source=self.name, symbol=symbol, because=str(error))
            return False
        self._wrong.pop(symbol, None)
        if found is None:
            return False
        self.append(symbol, *found)
        return True
