"""A terminal, a log and a store in memory, as an audit sees them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from mesh.errors import MeshError, Reason
from mesh.market import Batch, TickId
from mesh.market.batch import ordinals
from mesh.market.digest import Digest, digests
from services.data_bridge.audit import Auditor
from services.data_bridge.domain.audit import DAY_MSC, HOUR_MSC, Span
from services.data_bridge.domain.history import Appended, Newest, Position
from services.data_bridge.domain.log import LogEnd
from services.data_bridge.domain.progress import SymbolKey
from services.data_bridge.domain.repair import select
from tests.unit.services.data_bridge.ticks import START_MSC, history

KEY = SymbolKey("twin-1", "EURUSD")
DAY = START_MSC
NOW_NS = (DAY + 3 * DAY_MSC) * 1_000_000
NEXT_DAY = TickId(DAY + DAY_MSC + HOUR_MSC, 0)


def ticks_of(hours: Iterable[int]) -> Batch:
    """120 ticks in the first minute of each hour, two to a millisecond."""
    starts = DAY + np.array(list(hours)) * HOUR_MSC
    times = (starts[:, None] + (np.arange(120) // 2 * 1000)[None, :]).ravel()
    bids = 1.1 + np.arange(len(times)) / 1e5
    return history(len(times), time_msc=times, ordinal=ordinals(times), bid=bids, ask=bids + 2e-5)


def without(batch: Batch, *left_out: int) -> Batch:
    found = select(batch, ~np.isin(np.arange(len(batch)), left_out))
    assert found is not None
    return found


def within(batch: Batch | None, from_msc: int, to_msc: int) -> Batch | None:
    return batch and select(batch, (batch.time_msc >= from_msc) & (batch.time_msc < to_msc))


def _digests(batch: Batch | None, span: Span) -> list[Digest]:
    return digests((batch or history(0)).columns(), *span)


@dataclass
class Terminal:
    """Implements Terminals. After `questions_left` the agent is gone; a RESEND loses its first `lost` ticks."""

    ticks_: Batch | None
    newest: TickId = NEXT_DAY
    connected: bool = True
    questions_left: int = 10_000
    lost: int = 0

    async def position(self, key: SymbolKey) -> Position:
        self._asked()
        return Position(terminal=self.newest, connected=self.connected)

    async def digests(self, key: SymbolKey, span: Span) -> list[Digest]:
        self._asked()
        return _digests(self.ticks_, span)

    async def ticks(self, key: SymbolKey, from_msc: int, to_msc: int) -> Batch | None:
        self._asked()
        found = within(self.ticks_, from_msc, to_msc)
        return found and found.slice(self.lost, len(found))

    def _asked(self) -> None:
        self.questions_left -= 1
        if self.questions_left < 0:
            raise MeshError(Reason.NO_SOURCE, "the agent went away")


class Told(NamedTuple):
    generation: int
    from_msc: int
    to_msc: int


@dataclass
class Database:
    """Implements Store, Stored and LaterTicks: what is told is stored, unless it takes nothing."""

    rows: list[Batch]
    corrections: list[Told] = field(default_factory=list)
    takes: bool = True

    async def digests(self, key: SymbolKey, span: Span) -> tuple[list[Digest], int]:
        inside = [c.generation for c in self.corrections if c.from_msc < span.to_msc and c.to_msc > span.from_msc]
        return _digests(self.newest(), span), max(inside, default=0)

    async def ticks(self, key: SymbolKey, from_msc: int, to_msc: int) -> Batch | None:
        return within(self.newest(), from_msc, to_msc)

    async def until_stored(self, log: str, seq: int | None = None) -> None:
        if not self.takes and seq:
            raise MeshError(Reason.HISTORY_UNAVAILABLE, "the store is behind")

    async def end(self, key: SymbolKey) -> LogEnd:
        raise AssertionError("the log holds ticks")

    async def add(self, batches: Iterable[Batch]) -> Appended:
        added = list(batches)
        self.rows += added
        return Appended(1, sum(map(len, added)))

    async def correct(
        self, key: SymbolKey, ticks: Batch | None, generation: int, from_msc: int, to_msc: int, reason: str
    ) -> int:
        self.rows += [ticks] if ticks else []
        self.corrections.append(Told(generation, from_msc, to_msc))
        return 1

    def newest(self) -> Batch | None:
        """Of each time the generation that stands there, each identity and values once."""
        shown = [part for row in self.rows if (part := select(row, self._shown(row)))]
        return Batch.join(shown) if shown else None

    def _shown(self, row: Batch) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        standing = np.zeros(len(row), np.int64)
        for told in self.corrections:
            inside = (row.time_msc >= told.from_msc) & (row.time_msc < told.to_msc)
            standing = np.where(inside, np.maximum(standing, told.generation), standing)
        return np.asarray(standing == row.generation)


@dataclass
class Log:
    """Implements SymbolLog; its newest tick was read long ago."""

    newest_tick: TickId = NEXT_DAY

    async def newest(self, key: SymbolKey) -> Newest | None:
        return Newest(7, self.newest_tick, 1, 1)

    async def count(self, key: SymbolKey, from_msc: int, to_msc: int) -> int:
        return 11


class Alerts:
    """Implements Incidents."""

    def __init__(self) -> None:
        self.reported: list[tuple[str, int, int]] = []

    async def report(self, kind: str, key: SymbolKey, from_msc: int, to_msc: int, ticks: int, detail: str) -> None:
        self.reported.append((kind, from_msc, to_msc))


class World:
    """All of them, and the auditor between."""

    def __init__(self, terminal: Batch | None, stored: Sequence[Batch]) -> None:
        self.terminal = Terminal(terminal)
        self.database = Database(list(stored))
        self.log = Log()
        self.alerts = Alerts()
        self.auditor = Auditor(
            self.terminal, self.log, self.database, self.database, self.database, self.alerts, lambda: NOW_NS
        )


def changed(batch: Batch, index: int) -> Batch:
    return replace(batch, ask=np.where(np.arange(len(batch)) == index, 9.0, batch.ask))
