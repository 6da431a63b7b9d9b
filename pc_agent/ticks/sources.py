"""Where the ticks come from: of several sources that have a symbol of a server one is read, the others stand by."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from mesh.log import get_logger
from mesh.market import BEFORE_FIRST, TickId
from pc_agent.terminal.messages import CloseSymbol, Credit, HistoryFound, HistoryPage, ReadHistory, Reading, TicksRead

log = get_logger(__name__)

# Server and symbol: whose ticks they are.
Place = tuple[str, str]


class TickSource(Protocol):
    """What reads ticks of one server: an account's terminals, a replay, a file that grows."""

    @property
    def name(self) -> str:
        """What people see; no two have the same."""

    @property
    def server(self) -> str:
        """Empty: not known yet."""

    @property
    def connected(self) -> bool:
        """It can be read now."""

    @property
    def newest_msc(self) -> Mapping[str, int]:
        """The symbols that it has, and the time of each one's newest tick; 0: there is none."""

    def listen(self, listener: "SourceListener") -> None:
        """Who hears of it from now on."""

    def send(self, command: Reading | CloseSymbol | Credit) -> None:
        """Begin, end or go on with reading a symbol."""

    async def read_history(self, ask: ReadHistory) -> HistoryPage:
        """One page; its `error` says why there is none."""

    async def read_newest(self, symbol: str) -> TickId:
        """The newest tick that it has; 0/0: none, or it is away."""


class SourceListener(Protocol):
    """Hears what a source reads."""

    def source_changed(self, source: TickSource) -> None:
        """Its server, its symbols, or whether it is connected."""

    def readers_lost(self, source: TickSource, symbols: Collection[str]) -> None:
        """It reads none of these until it is asked anew."""

    def ticks_read(self, source: TickSource, ticks: TicksRead) -> None: ...
    def history_found(self, source: TickSource, found: HistoryFound) -> None: ...


class TickListener(Protocol):
    """Hears what is read, whatever reads it."""

    def carry(self, newest_msc: Mapping[Place, int]) -> None:
        """These, and no others, each with the time of its newest tick."""

    def read_anew(self, places: Collection[Place]) -> None:
        """Nobody reads them until that is asked for."""

    def ticks_read(self, server: str, ticks: TicksRead) -> None: ...
    def history_found(self, server: str, found: HistoryFound) -> None: ...


class TickWatcher(Protocol):
    """Sees the ticks that pass, some of them twice."""

    def reading(self, place: Place, is_read: bool) -> None:
        """Its ticks come from now on, from behind any place; or none do."""

    def ticks_read(self, server: str, ticks: TicksRead) -> None: ...


class TickSources:
    """Chooses who reads a symbol: whoever does, while it is connected; else the first that is and has it."""

    def __init__(self, sources: Sequence[TickSource], watcher: TickWatcher | None = None) -> None:
        self.listener: TickListener | None = None
        self._watcher = watcher
        self._sources = tuple(sources)
        self._readers: dict[Place, TickSource] = {}
        for source in self._sources:
            source.listen(self)

    def reader(self, place: Place) -> TickSource | None:
        """Who reads it; None: nobody has it."""
        return self._readers.get(place)

    def places(self) -> list[Place]:
        """What any source has, in order."""
        return sorted(self._readers)

    def connected(self, place: Place) -> bool:
        reader = self._readers.get(place)
        return reader is not None and reader.connected

    def send(self, server: str, command: Reading | CloseSymbol | Credit) -> None:
        if self._watcher and not isinstance(command, Credit):
            self._watcher.reading((server, command.symbol), isinstance(command, Reading))
        if reader := self._readers.get((server, command.symbol)):
            reader.send(command)

    async def read_history(self, server: str, ask: ReadHistory) -> HistoryPage:
        """One page; its `error` says why there is none."""
        if reader := self._readers.get((server, ask.symbol)):
            return await reader.read_history(ask)
        return HistoryPage(ask.request, error=f"no terminal has {ask.symbol} of {server}")

    async def read_newest(self, server: str, symbol: str) -> TickId:
        """The newest tick that the terminal shows; 0/0: none, or the terminal is away."""
        reader = self._readers.get((server, symbol))
        return await reader.read_newest(symbol) if reader else BEFORE_FIRST

    # a source speaks

    def source_changed(self, source: TickSource) -> None:
        """See `SourceListener`."""
        moved = self._choose()
        newest = {place: reader.newest_msc.get(place[1], 0) for place, reader in self._readers.items()}
        self._tell(lambda listener: listener.carry(newest))
        if moved:
            self._tell(lambda listener: listener.read_anew(moved))

    def readers_lost(self, source: TickSource, symbols: Collection[str]) -> None:
        """See `SourceListener`."""
        places = [(source.server, symbol) for symbol in symbols]
        lost = [place for place in places if self._readers.get(place) is source]
        self._tell(lambda listener: listener.read_anew(lost))

    def ticks_read(self, source: TickSource, ticks: TicksRead) -> None:
        """See `SourceListener`."""
        if self.listener and self._readers.get((source.server, ticks.symbol)) is source:
            self.listener.ticks_read(source.server, ticks)
            if self._watcher:
                self._watcher.ticks_read(source.server, ticks)

    def history_found(self, source: TickSource, found: HistoryFound) -> None:
        """See `SourceListener`."""
        if self.listener and self._readers.get((source.server, found.symbol)) is source:
            self.listener.history_found(source.server, found)

    def _choose(self) -> list[Place]:
        """Whose readers changed: each has to be read anew where it is read now."""
        before, self._readers = self._readers, {}
        for source in self._sources:
            for symbol in source.newest_msc if source.server else ():
                place = (source.server, symbol)
                held = self._readers.get(place)
                if held is None or _rank(source, before.get(place)) > _rank(held, before.get(place)):
                    self._readers[place] = source
        moved = []
        for place, reader in self._readers.items():
            if (old := before.get(place)) not in (None, reader):
                assert old is not None
                old.send(CloseSymbol(place[1]))
                moved.append(place)
                log.warning("another source reads the symbol now", symbol=place[1], was=old.name, now=reader.name)
        return moved

    def _tell(self, what: Callable[[TickListener], None]) -> None:
        if self.listener:
            what(self.listener)


def _rank(source: TickSource, before: TickSource | None) -> tuple[bool, bool]:
    return source.connected, source is before
