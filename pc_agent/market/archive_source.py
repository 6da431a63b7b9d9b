"""A source that keeps the ticks it takes in archives, and serves the lanes from them."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from mesh.market import BEFORE_FIRST, TickId
from pc_agent.domain.history import before
from pc_agent.domain.tick_cursor import PAGE_TICKS, Progress, TickCursor
from pc_agent.market.tick_archive import TickArchive
from pc_agent.terminal.messages import CloseSymbol, Credit, HistoryFound, HistoryPage, ReadHistory, Reading
from pc_agent.terminal.mt5_ticks import history_page, messages_of
from pc_agent.ticks.sources import SourceListener
from pc_agent.twin.domain.ticks import TICK_DTYPE, Ticks

_IDLE_S = 0.05


class _Reader:
    """One open symbol."""

    def __init__(self, reading: Reading) -> None:
        self.generation = reading.generation
        self.credit = reading.credit
        self.cursor = TickCursor(reading.after)
        self.anchor_told = False


class ArchiveSource(ABC):
    """A `TickSource` whose ticks are in archives, one for each symbol, in `folder`.

    Whoever builds on it (`FileSource`, a plug-in) overrides `collect`, calls `append` there and sets `connected`.
    """

    def __init__(self, name: str, server: str, symbols: Iterable[str], folder: Path) -> None:
        self._name, self._server = name, server
        self._connected = self._is_known = False
        self.archives = {symbol: TickArchive(folder, symbol) for symbol in symbols}
        self._listener: SourceListener | None = None
        self._readers: dict[str, _Reader] = {}
        self._wake = asyncio.Event()

    # for who builds on it

    @abstractmethod
    async def collect(self) -> None:
        """Take ticks, for ever."""

    def append(self, symbol: str, ticks: Ticks, note: dict[str, Any] | None = None) -> None:
        """Ticks (`ticks_from`), by time, none older than the newest; `note` is kept with them in the archive."""
        self.archives[symbol].append(ticks, note or {})
        self._wake.set()

    def set_connected(self, connected: bool) -> None:
        """Whether it can be read now. Its symbols are shown from the first time on."""
        self._is_known = self._is_known or connected
        if connected != self._connected:
            self._connected = connected
            if self._listener:
                self._listener.source_changed(self)

    def visible(self, symbol: str) -> int:
        """How many of a symbol's ticks are to be seen now."""
        return len(self.archives[symbol].ticks)

    # a TickSource

    @property
    def name(self) -> str:
        return self._name

    @property
    def server(self) -> str:
        return self._server

    @property
    def connected(self) -> bool:
        return self._connected

    @property
    def newest_msc(self) -> dict[str, int]:
        if not self._is_known:
            return {}
        return {symbol: self._newest(symbol).time_msc for symbol in self.archives}

    def listen(self, listener: SourceListener) -> None:
        """See `TickSource`."""
        self._listener = listener

    def send(self, command: Reading | CloseSymbol | Credit) -> None:
        """See `TickSource`."""
        if isinstance(command, Reading):
            self._readers[command.symbol] = _Reader(command)
        elif isinstance(command, CloseSymbol):
            self._readers.pop(command.symbol, None)
        elif reader := self._readers.get(command.symbol):
            reader.credit += command.ticks
        self._wake.set()

    async def read_history(self, ask: ReadHistory) -> HistoryPage:
        """See `TickSource`."""
        if ask.symbol not in self.archives:
            return HistoryPage(ask.request, error=f"{self._name} has no {ask.symbol}")
        cursor, progress = TickCursor(ask.after), Progress(None, True)
        while progress.columns is None and progress.more:
            progress = cursor.accept(self._page(ask.symbol, cursor), PAGE_TICKS)
        return history_page(ask, cursor.after, progress, time.time_ns())

    async def read_newest(self, symbol: str) -> TickId:
        """See `TickSource`."""
        return self._newest(symbol) if symbol in self.archives else BEFORE_FIRST

    async def run(self) -> None:
        """Collect and serve, for ever."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.collect(), name=f"collect {self._name}")
                tasks.create_task(self._serve(), name=f"serve {self._name}")
        finally:
            for archive in self.archives.values():
                archive.close()

    async def _serve(self) -> None:
        while True:
            self._wake.clear()
            more = False
            for symbol, reader in list(self._readers.items()):
                if reader.credit > 0 and self._readers.get(symbol) is reader:
                    more |= self._read(symbol, reader)
                    await asyncio.sleep(0)
            if not more:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_IDLE_S):
                        await self._wake.wait()

    def _read(self, symbol: str, reader: _Reader) -> bool:
        """A page; whether there may be more."""
        assert self._listener is not None
        progress = reader.cursor.accept(self._page(symbol, reader.cursor), reader.credit)
        if reader.cursor.anchor and not reader.anchor_told:
            reader.anchor_told = True
            self._listener.history_found(self, HistoryFound(symbol, reader.generation, reader.cursor.anchor))
        if progress.columns is not None:
            reader.credit -= len(progress.columns["time_msc"])
            parts = messages_of(symbol, reader.generation, time.time_ns(), progress.columns, not progress.more)
            for part in parts:
                self._listener.ticks_read(self, part)
        return progress.more and reader.credit > 0

    def _page(self, symbol: str, cursor: TickCursor) -> Ticks:
        return self.archives[symbol].page(cursor.from_s, cursor.count, self.visible(symbol))

    def _newest(self, symbol: str) -> TickId:
        stop = self.visible(symbol)
        if not stop:
            return BEFORE_FIRST
        ticks = self.archives[symbol].ticks
        msc = int(ticks[stop - 1]["time_msc"])
        begin = self.archives[symbol].count_until(before(msc).time_msc)
        return TickId(msc, stop - 1 - begin)


def ticks_from(**columns: Any) -> Ticks:
    """Records of equally long columns: time_msc, bid, ask, and what else a tick has."""
    ticks = np.zeros(len(columns["time_msc"]), TICK_DTYPE)
    for name, values in columns.items():
        ticks[name] = values
    ticks["time"] = ticks["time_msc"] // 1000
    return ticks
