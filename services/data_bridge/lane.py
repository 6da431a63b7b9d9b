"""One agent's lane: which symbols it carries, what is under way on it, what is to be said on it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from suho.market.v1 import bridge_pb2 as pb

from mesh.errors import MeshError, Reason
from mesh.market import TickId
from services.data_bridge.domain.log import LogEnd
from services.data_bridge.domain.progress import SymbolKey
from services.data_bridge.domain.terminal import HistoryChange, Resent


@dataclass(slots=True)
class Answers:
    """What gathered for a lane while its last response was under way."""

    welcome: list[tuple[SymbolKey, LogEnd]] = field(default_factory=list)
    acks: dict[SymbolKey, TickId] = field(default_factory=dict)
    out_of_sync: dict[SymbolKey, TickId] = field(default_factory=dict)
    stand_by: dict[SymbolKey, str] = field(default_factory=dict)
    questions: list[pb.HistoryRequest] = field(default_factory=list)
    drain: str = ""

    def __bool__(self) -> bool:
        return bool(self.welcome or self.acks or self.out_of_sync or self.stand_by or self.questions or self.drain)


class Lane:
    """The state of one StreamTicks call; publishers answer on it, the servicer sends the answers."""

    def __init__(self, agent: str, number: int, connected_unix_ms: int, most_messages: int) -> None:
        self.agent = agent
        self.number = number
        self.connected_unix_ms = connected_unix_ms
        self.symbols: set[SymbolKey] = set()
        self.gone = False
        self._room = asyncio.Semaphore(most_messages)
        self._under_way = 0
        self._told: dict[SymbolKey, TickId] = {}
        self._answers = Answers()
        self._changed = asyncio.Event()
        self._ended = False
        self._failure: Exception | None = None

    async def room(self) -> None:
        """Wait until one message more may be unacknowledged: until then nothing more is read from the stream."""
        await self._room.acquire()

    def admit(self, batches: int) -> "Parcel":
        self._under_way += 1
        return Parcel(self, batches)

    def settled(self) -> None:
        self._under_way -= 1
        self._room.release()
        self._changed.set()

    def require_open(self, key: SymbolKey) -> None:
        if key not in self.symbols:
            raise MeshError(
                Reason.SYMBOL_NOT_OPEN,
                f"{key.symbol} of {key.server} is not open on lane {self.number}; open it and wait for its Welcome",
            )

    def welcome(self, key: SymbolKey, end: LogEnd) -> None:
        self._told.pop(key, None)
        self._answers.welcome.append((key, end))
        self._changed.set()

    def acknowledge(self, key: SymbolKey, last: TickId) -> None:
        self._told.pop(key, None)
        self._answers.acks[key] = last
        self._changed.set()

    def out_of_sync(self, key: SymbolKey, cursor: TickId) -> None:
        """Said once for all that the agent sent before it heard it: each would make it rewind again."""
        if self._told.get(key) != cursor:
            self._told[key] = cursor
            self._answers.out_of_sync[key] = cursor
            self._changed.set()

    def stand_by(self, key: SymbolKey, holder: str) -> None:
        """Another agent streams the symbol; nothing of it is taken from this lane until its Welcome."""
        self._told.pop(key, None)
        self._answers.stand_by[key] = holder
        self._changed.set()

    def ask(self, request: pb.HistoryRequest) -> None:
        """Ask the agent about its terminal's history; what it answers goes to the bridge's `History`."""
        self._answers.questions.append(request)
        self._changed.set()

    def drain(self, reason: str) -> None:
        """Ask the agent to go elsewhere; the stream ends when what is under way is acknowledged."""
        self._answers.drain = reason
        self.end()

    def end(self, failure: Exception | None = None) -> None:
        """No more requests: the agent ended its side, or broke the contract."""
        self._ended = True
        self._failure = self._failure or failure
        self._changed.set()

    def leave(self) -> None:
        """The call is over; what it sent goes on, unheard."""
        self.gone = True

    @property
    def ended(self) -> bool:
        return self._ended

    async def answers(self) -> AsyncIterator[Answers]:
        """What is to be sent, until the lane has ended and nothing of it is under way.

        Raises:
            Exception: the failure that ended it, after what was answered before.
        """
        while True:
            await self._changed.wait()
            self._changed.clear()
            answers, self._answers = self._answers, Answers()
            if answers:
                yield answers
            if self._failure:
                raise self._failure
            if self._ended and not self._under_way and not self._answers:
                return


class History(Protocol):
    """Who asks agents about their terminals' histories. Calls must not wait: live ticks come behind them."""

    def changed(self, lane: Lane, changes: Sequence[HistoryChange]) -> None:
        """The terminal's history is not what the lane's Welcome said."""

    def answered(self, lane: Lane, resent: Sequence[Resent], answers: Sequence[pb.HistoryAnswer]) -> None:
        """What came on `lane` in one message: ticks sent again, then answers to questions."""

    def left(self, lane: Lane) -> None:
        """The lane is gone: what was asked on it and not answered yet will not be."""


class Parcel:
    """A message of a lane until each of its batches is settled."""

    __slots__ = ("_left", "lane")

    def __init__(self, lane: Lane, batches: int) -> None:
        self.lane = lane
        self._left = batches

    def settle_one(self) -> None:
        self._left -= 1
        if not self._left:
            self.lane.settled()
