"""Terminal, agent, two bridges, log, sink and table as one model, out of the programs' own rules.

Only what is between them is made up: wires that keep, delay and lose what is on them, and processes that forget.
"""

from collections import Counter, deque
from collections.abc import Collection, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from mesh.market import BEFORE_FIRST, Batch, TickId
from pc_agent.domain.symbol_feed import SymbolFeed
from pc_agent.domain.tick_cursor import TickCursor
from services.data_bridge.domain.progress import Arrival, next_step
from services.database.domain.log import Identity, Position, TickRange, Ticks, ranges
from services.database.domain.resume import Bounds, Gap, LogEpoch, Restored, examine

T = TypeVar("T")

SERVER, SYMBOL, AGENT = "server", "EURUSD", "agent"
_PAGE = 4
_MESSAGE = 5
_RECORD = np.dtype(
    [
        *(("time", "<i8"), ("bid", "<f8"), ("ask", "<f8"), ("last", "<f8"), ("volume", "<u8"), ("time_msc", "<i8")),
        *(("flags", "<u4"), ("volume_real", "<f8")),
    ]
)
# Shortly before a month's end.
_BEGIN_MSC = 1_580_515_199_000


class Terminal:
    """A history that grows; every price is another, so that a mix-up shows."""

    def __init__(self) -> None:
        self.ticks = np.empty(0, _RECORD)

    def happen(self, step_ms: int, count: int) -> None:
        """`count` ticks in one millisecond, `step_ms` after the last one."""
        newest = int(self.ticks["time_msc"][-1]) if len(self.ticks) else _BEGIN_MSC
        new = np.zeros(count, _RECORD)
        new["time_msc"], new["flags"] = newest + step_ms, 6
        new["time"] = new["time_msc"] // 1000
        new["bid"] = 1 + len(self.ticks) + np.arange(count)
        new["ask"] = new["bid"] + 0.5
        self.ticks = np.concatenate([self.ticks, new])

    def page(self, from_s: int, count: int) -> np.ndarray:
        start = int(np.searchsorted(self.ticks["time_msc"], from_s * 1000))
        return self.ticks[start : start + count]

    def values(self) -> dict[TickId, float]:
        """The price of each tick by its identity."""
        known: dict[TickId, float] = {}
        ordinals: Counter[int] = Counter()
        for time_msc, bid in zip(self.ticks["time_msc"].tolist(), self.ticks["bid"].tolist(), strict=True):
            known[TickId(time_msc, ordinals[time_msc])] = bid
            ordinals[time_msc] += 1
        return known


@dataclass
class Stream:
    """One call of a lane: what is on the wire, each way; `alive` until one of the ends is gone."""

    bridge: "Bridge"
    alive: bool = True
    up: deque[Batch] = field(default_factory=deque)
    down: deque[tuple[str, TickId]] = field(default_factory=deque)


@dataclass
class Publish:
    """A message on its way to the log. Its bridge may have died, and it still arrives."""

    bridge: "Bridge"
    stream: Stream
    batch: Batch
    expected_seq: int
    life: int

    @property
    def waits(self) -> bool:
        """Whether its bridge still lives and wants to know."""
        return self.life == self.bridge.life and self.bridge.publish is self


class Log:
    """One subject of TICKS: compare-and-set, purge, and the misfortune of being restored from an older copy."""

    def __init__(self) -> None:
        self.epoch = LogEpoch(1, 0)
        self.messages: list[Ticks] = []
        self.last_seq = 0

    @property
    def subject_seq(self) -> int:
        return self.messages[-1].seq if self.messages else 0

    def append(self, batch: Batch, expected_seq: int) -> bool:
        if expected_seq != self.subject_seq:
            return False
        self.last_seq += 1
        self.messages.append(Ticks(self.last_seq, batch))
        return True

    def end(self) -> TickId:
        return self.messages[-1].batch.last_id if self.messages else BEFORE_FIRST

    def purge(self, through: int) -> None:
        self.messages = [one for one in self.messages[:-1] if one.seq > through] + self.messages[-1:]
        self.epoch = self.epoch._replace(purged=max(self.epoch.purged, through))

    def lose_newest(self, count: int) -> None:
        """As after the loss of power: the newest messages are gone, and their numbers are used again."""
        if len(self.messages) > 1:
            self.messages = self.messages[: max(1, len(self.messages) - count)]
            self.last_seq = self.messages[-1].seq

    # As a sink asks it.

    async def bounds(self) -> Bounds:
        return Bounds(self.messages[0].seq if self.messages else self.last_seq + 1, self.last_seq)

    async def message_from(self, seq: int) -> Ticks | None:
        return next((one for one in self.messages if one.seq >= seq), None)


class Bridge:
    """A publisher of the symbol: its memory is a cursor and the log's last number."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.life = 0
        self._forget()

    def _forget(self) -> None:
        self.cursor, self.seq = BEFORE_FIRST, 0
        self.waiting: deque[tuple[Stream, Batch | None]] = deque()
        self.publish: Publish | None = None

    def crash(self) -> None:
        self.life += 1
        self._forget()

    def resume(self) -> None:
        self.cursor, self.seq = self._log.end(), self._log.subject_seq

    def advance(self) -> Publish | None:
        """Take the first that waits: welcome a stream, answer a batch, or begin to publish it."""
        stream, batch = self.waiting[0]
        if batch is None:
            self.resume()
            stream.down.append(("welcome", self.cursor))
            self.waiting.popleft()
            return None
        step = next_step([Arrival(batch, b"", "")], self.cursor, 100)
        if step.publish is None:
            self.waiting.popleft()
            stream.down.append(("out_of_sync" if step.ahead else "ack", self.cursor))
            return None
        fresh = step.publish.batch if isinstance(step.publish, Arrival) else step.publish
        assert isinstance(fresh, Batch)
        self.publish = Publish(self, stream, fresh, self.seq, self.life)
        return self.publish

    def confirmed(self, publish: Publish) -> None:
        self.cursor, self.seq = publish.batch.last_id, self._log.subject_seq
        self.waiting.popleft()
        publish.stream.down.append(("ack", self.cursor))
        self.publish = None

    def refused_or_unknown(self) -> None:
        """Read the log again; the batch is judged anew."""
        self.resume()
        self.publish = None


class Table:
    """Rows by identity and value, with how often each came."""

    def __init__(self) -> None:
        self.rows: Counter[tuple[TickId, float]] = Counter()
        self._messages: dict[tuple[int, int], Identity] = {}

    def insert(self, span: TickRange, epoch: int) -> None:
        for message in span.messages:
            self._messages[epoch, message.seq] = message.identity
            batch = message.batch
            ids = zip(batch.time_msc.tolist(), batch.ordinal.tolist(), strict=True)
            self.rows.update((TickId(*one), bid) for one, bid in zip(ids, batch.bid.tolist(), strict=True))

    def stored_seq(self, epoch: int) -> int:
        return max((seq for one, seq in self._messages if one == epoch), default=0)

    async def identities(self, seq: int) -> Collection[Identity]:
        return {identity for (_, one), identity in self._messages.items() if one == seq}


class Sink:
    """Stores the log; after a death it knows what the table says."""

    def __init__(self, log: Log, table: Table) -> None:
        self._log, self._table = log, table
        self.position: Position | None = None
        self.last_insert: tuple[TickRange, int] | None = None
        self.gaps: list[Gap] = []

    def store_some(self, most: int) -> bool:
        """One insert of at most `most` messages; whether there was anything."""
        if self.position is None:
            self.position = self._start()
        seq = self.position.seq
        following = [one for one in self._log.messages if one.seq > seq][:most]
        if not following:
            return False
        span = next(ranges(following))
        assert isinstance(span, TickRange)
        self._table.insert(span, self.position.epoch)
        self.last_insert = span, self.position.epoch
        self.position = self.position._replace(seq=span.last_seq)
        return True

    def _start(self) -> Position:
        epoch = self._log.epoch
        position = Position(epoch.number, max(self._table.stored_seq(epoch.number), epoch.floor))
        found = run(examine(position, self._log, self._table.identities))
        if found is None:
            return position
        if isinstance(found, Gap):
            self.gaps.append(found)
        behind = found.common if isinstance(found, Restored) else found.last
        self._log.epoch = LogEpoch(epoch.number + 1, behind)
        return Position(epoch.number + 1, behind)


class Agent:
    """Reads the terminal and sends on one stream at a time."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._reads = 0
        self.crash()

    def crash(self) -> None:
        self.feed = SymbolFeed(SERVER, SYMBOL, AGENT)
        self.stream: Stream | None = None
        self._reader: tuple[TickCursor, int, int] | None = None

    def open(self, stream: Stream) -> None:
        """Leave the stream there was, and wait for this one's welcome."""
        self.feed.interrupt()
        self._reader = None
        self.stream = stream
        stream.bridge.waiting.append((stream, None))

    def hear(self) -> None:
        assert self.stream is not None
        kind, tick = self.stream.down.popleft()
        if kind == "ack":
            more, _ = self.feed.acknowledge(tick)
            if self._reader is not None:
                cursor, generation, credit = self._reader
                self._reader = cursor, generation, credit + more
        else:
            reading, _ = self.feed.rewind(tick)
            self._reader = TickCursor(reading.after, _PAGE), reading.generation, reading.credit

    def read(self) -> bool:
        """One page; whether another may bring more."""
        if self._reader is None:
            return False
        cursor, generation, credit = self._reader
        progress = cursor.accept(self._terminal.page(cursor.from_s, cursor.count), min(credit, 7))
        found: dict[str, Any] | None = progress.columns
        if found is not None and self.feed.is_current(generation):
            self._reads += 1
            batch = Batch(SERVER, SYMBOL, AGENT, self._reads, self.feed.read_last, **found)
            self._reader = cursor, generation, credit - len(batch)
            self.feed.offer(batch)
        return progress.more

    def send(self) -> bool:
        batch = self.feed.take(_MESSAGE, 0) if self.stream is not None and self.feed.welcomed else None
        if batch is None:
            return False
        assert self.stream is not None
        self.stream.up.append(batch)
        return True


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    raise AssertionError("it waited")
