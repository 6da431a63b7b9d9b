"""One symbol on its way from the terminal to the bridge."""

from collections import deque
from dataclasses import dataclass

from mesh.market import BEFORE_FIRST, Batch, TickId

# Ticks of one symbol read and not yet acknowledged: two full sets of messages of a lane that has one symbol.
WINDOW_TICKS = 32_000


@dataclass(frozen=True, slots=True)
class Reading:
    """What the worker is asked: read on from `after`, at most `credit` ticks; older generations are void."""

    symbol: str
    generation: int
    after: TickId
    credit: int


@dataclass(frozen=True, slots=True)
class ReadCount:
    """So many ticks were read behind `after`, up to `until`."""

    after: TickId
    until: TickId
    count: int


@dataclass(frozen=True, slots=True)
class _Sent:
    message: int
    last: TickId
    count: int


class SymbolFeed:
    """Holds what was read and is not yet acknowledged; the terminal is where anything else is read again.

    At most `window` ticks are held: the worker reads no more than it was given credit for. `start` is where a symbol
    begins of which the mesh knows nothing.
    """

    def __init__(self, server: str, symbol: str, agent: str, start: TickId = BEFORE_FIRST) -> None:
        self.server = server
        self.symbol = symbol
        self.agent = agent
        self.welcomed = False
        self.window = WINDOW_TICKS
        self.sent_last = BEFORE_FIRST
        self.acknowledged_last = BEFORE_FIRST
        self._start = start
        self._generation = 0
        self._read_last = BEFORE_FIRST
        self._pending: deque[Batch] = deque()
        self._sent: deque[_Sent] = deque()
        self._held = 0
        self._credit = 0  # given to the worker and not used
        self._origin = BEFORE_FIRST
        self._read = self._told = 0
        self._counted: ReadCount | None = None

    def rewind(self, cursor: TickId) -> tuple[Reading, list[int]]:
        """Begin again after `cursor`: how to read, and the messages whose batches of this symbol count no more."""
        void = [sent.message for sent in self._sent]
        self._pending.clear()
        self._sent.clear()
        self._held = 0
        self._read_last = self.sent_last = self.acknowledged_last = self._origin = cursor
        self._read = self._told = 0
        self._counted = None
        self.welcomed = True
        return self.resume(), void

    def interrupt(self) -> list[int]:
        """Nothing is expected of the worker until the next welcome. Returns the messages that count no more."""
        acknowledged = self.acknowledged_last
        _, void = self.rewind(self._read_last)
        self.acknowledged_last = acknowledged
        self.welcomed = False
        return void

    def resume(self) -> Reading:
        """How a new worker reads on behind what is held here."""
        self._generation += 1
        self._credit = max(0, self.window - self._held)
        after = self._start if self._read_last == BEFORE_FIRST else self._read_last
        return Reading(self.symbol, self._generation, after, self._credit)

    def is_current(self, generation: int) -> bool:
        return self.welcomed and generation == self._generation

    def offer(self, batch: Batch) -> None:
        """Ticks that the worker read, directly behind the ones offered before."""
        self._pending.extend(batch.by_month())
        self._read_last = batch.last_id
        self._held += len(batch)
        self._credit -= len(batch)
        self._read += len(batch)

    @property
    def read_last(self) -> TickId:
        """The newest tick offered, or where reading began."""
        return self._read_last

    @property
    def held(self) -> int:
        """Ticks read and not acknowledged."""
        return self._held

    @property
    def unacknowledged(self) -> int:
        """Ticks sent and not acknowledged."""
        return sum(sent.count for sent in self._sent)

    def halt(self) -> None:
        """Send and take nothing more; what was sent is still to be acknowledged."""
        unsent = sum(len(batch) for batch in self._pending)
        self._pending.clear()
        self._held -= unsent
        self._read -= unsent
        self._read_last = self.sent_last
        self._counted = None
        self.welcomed = False

    def take(self, limit: int, message: int) -> Batch | None:
        """Up to `limit` waiting ticks of one month as one batch, which goes out in `message`."""
        pieces: list[Batch] = []
        while limit and self._pending and (not pieces or self._pending[0].month == pieces[0].month):
            head = self._pending.popleft()
            if len(head) > limit:
                self._pending.appendleft(head.slice(limit, len(head)))
                head = head.slice(0, limit)
            pieces.append(head)
            limit -= len(head)
        if not pieces:
            return None
        batch = Batch.join(pieces)
        self.sent_last = batch.last_id
        self._sent.append(_Sent(message, batch.last_id, len(batch)))
        return batch

    def acknowledge(self, last: TickId) -> tuple[int, list[int]]:
        """All up to `last` is durable: how many ticks more may be read, and the messages this settles."""
        settled = []
        while self._sent and self._sent[0].last <= last:
            sent = self._sent.popleft()
            self._held -= sent.count
            self.acknowledged_last = sent.last
            settled.append(sent.message)
        more = max(0, self.window - self._held - self._credit) if settled and self.welcomed else 0
        self._credit += more
        return more, settled

    @property
    def has_uncounted(self) -> bool:
        """More was read than `count` has told: it may not be acknowledged yet."""
        return self._read > self._told

    def count(self) -> ReadCount | None:
        """What was read since the welcome, where that grew; told only once all of it is acknowledged.

        So the bridge can compare it at once with what it took. To be asked now and then.
        """
        if self._counted is None and self._read > self._told:
            self._counted = ReadCount(self._origin, self._read_last, self._read)
        counted = self._counted
        if counted is None or counted.until > self.acknowledged_last:
            return None
        self._counted, self._told = None, counted.count
        return counted
