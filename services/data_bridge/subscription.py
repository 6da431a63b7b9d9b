"""A subscriber that gets every tick, however slowly it reads: live, from the log, or from the store."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from mesh.errors import MeshError, Reason
from mesh.log import get_logger
from mesh.market import TickId
from mesh.waiting import backoff, obey_cancellation
from services.data_bridge.domain.following import Following, Source, just_before
from services.data_bridge.domain.log import LogUnavailableError
from services.data_bridge.domain.progress import Standing, SymbolKey
from services.data_bridge.feed_history import History, Past
from services.data_bridge.tick_message import TickMessage

log = get_logger(__name__)

# One response, about; gRPC's default limit is 4 MiB.
_RESPONSE_BYTES = 1 << 20
# How long what was heard may take to be readable in the log, before it is looked for again.
_SETTLE_S = 0.02
_PATIENCE_S = 30.0


@dataclass(slots=True)
class Portion:
    """What a subscriber is to get next, in order, and the symbols whose history is complete with it."""

    messages: list[TickMessage] = field(default_factory=list)
    live: list[SymbolKey] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.messages or self.live)


class Subscription:
    """Implements `feed.Listener`. What waits is bounded: beyond `most_bytes` it is dropped, and read from the log.

    A symbol that is behind is not kept up with live; its next page is read when the one before was taken.
    """

    def __init__(self, history: History, most_bytes: int) -> None:
        self._history = history
        self._most_bytes = most_bytes
        self._waiting: deque[TickMessage] = deque()
        self._bytes = 0
        self._followed: dict[SymbolKey, Following] = {}
        # Where each reads the log on, 0: not known yet; in the order of their turns.
        self._behind: dict[SymbolKey, int] = {}
        self._replayed: set[SymbolKey] = set()
        self._page_is_due = False
        self._rest = _Rest()
        self._changed = asyncio.Event()
        self._failure: MeshError | None = None

    def replay(self, key: SymbolKey, from_msc: int) -> None:
        """Begin with the ticks at `from_msc`, from the store; before the first `read`."""
        self._followed[key] = Following(just_before(from_msc), Source.STORE)
        self._behind[key] = 0
        self._replayed.add(key)

    def hear(self, message: TickMessage) -> None:
        following = self._followed.get(message.key)
        if following is None:
            following = self._followed[message.key] = Following(message.prev)
        if self._failure or not following.keeps(message.last):
            return
        self._waiting.append(message)
        self._bytes += message.size
        if self._bytes > self._most_bytes:
            self._drop()
        self._changed.set()

    def end(self, failure: MeshError) -> None:
        self._failure = failure
        self._changed.set()

    async def read(self, wait_s: float | None = None) -> Portion:
        """What is next; waits for it, and gives an empty portion after `wait_s`. One caller at a time.

        Raises:
            MeshError: SHUTTING_DOWN; LOG_UNAVAILABLE, when what was missed can not be read for long.
        """
        until = None if wait_s is None else asyncio.get_running_loop().time() + wait_s
        while self._waiting or not self._failure:
            obey_cancellation()
            self._changed.clear()
            portion = await self._page() if self._page_comes_first() else self._live()
            if portion:
                return portion
            if not self._has_work() and not await self._woken(until):
                return portion
        assert self._failure
        raise self._failure

    def _page_comes_first(self) -> bool:
        """Live ticks and pages take turns."""
        may = bool(self._behind) and not self._rest.lasts and not self._failure
        return may and (self._page_is_due or not self._waiting)

    def _has_work(self) -> bool:
        return bool(self._waiting or (self._behind and not self._rest.lasts))

    def _live(self) -> Portion:
        self._page_is_due = True
        portion, size = Portion(), 0
        while self._waiting and size < _RESPONSE_BYTES:
            message = self._waiting.popleft()
            self._bytes -= message.size
            size += message.size
            following = self._followed[message.key]
            cursor = following.cursor
            # A marker may be one that the log refused, where the log has the ticks.
            standing = following.live(message.prev, message.last, trusted=message.ticks > 0)
            if standing is Standing.AHEAD:
                self._behind.setdefault(message.key, 0)
            _hand_on(message, standing, cursor, portion)
        return portion

    async def _page(self) -> Portion:
        """The next page of the symbol whose turn it is."""
        self._page_is_due = False
        key, seq = next(iter(self._behind.items()))
        del self._behind[key]
        following = self._followed[key]
        portion = Portion()
        try:
            if following.source is Source.STORE:
                past = await self._history.stored(key, following.cursor)
                seq = self._take_stored(following, past, portion)
            else:
                past = await self._history.logged(key, following.cursor, seq)
                seq = self._take_logged(following, past, portion)
            self._rest.over(key)
        except LogUnavailableError as error:
            self._rest.because(key, error)
        if following.source is not Source.LIVE:
            self._behind[key] = seq
        elif key in self._replayed:
            self._replayed.discard(key)
            portion.live.append(key)
        return portion

    def _take_stored(self, following: Following, past: Past, portion: Portion) -> int:
        for message in past.messages:
            following.stored(message.last)
        portion.messages += past.messages
        if past.ended:
            following.store_ended()
        return 0

    def _take_logged(self, following: Following, past: Past, portion: Portion) -> int:
        for message in past.messages:
            cursor = following.cursor
            standing = following.logged(message.prev, message.last)
            if standing is Standing.AHEAD:
                return 0
            _hand_on(message, standing, cursor, portion)
        if past.ended and not following.log_ended():
            self._rest.take(_SETTLE_S)
        return past.seq

    def _drop(self) -> None:
        for message in self._waiting:
            self._followed[message.key].dropped(message.last)
            self._behind.setdefault(message.key, 0)
        self._waiting.clear()
        self._bytes = 0

    async def _woken(self, until: float | None) -> bool:
        """Wait for anything, or for the end of the rest; False: `until` came first."""
        rest = self._rest.until if self._behind else None
        try:
            async with asyncio.timeout_at(min((at for at in (until, rest) if at is not None), default=None)):
                await self._changed.wait()
        except TimeoutError:
            return until is None or asyncio.get_running_loop().time() < until
        return True


class _Rest:
    """When the past is asked again, and for how long it has not answered."""

    def __init__(self) -> None:
        self.until = 0.0
        self._troubled: SymbolKey | None = None
        self._troubled_since = 0.0
        self._pauses = backoff()

    @property
    def lasts(self) -> bool:
        return asyncio.get_running_loop().time() < self.until

    def take(self, pause_s: float) -> None:
        self.until = asyncio.get_running_loop().time() + pause_s

    def over(self, key: SymbolKey) -> None:
        """The past of `key` answered."""
        if key == self._troubled:
            self._troubled, self._pauses = None, backoff()
            log.info("a subscriber gets what it missed again", symbol=key.symbol)

    def because(self, key: SymbolKey, error: LogUnavailableError) -> None:
        """Raises MeshError LOG_UNAVAILABLE when it has been so for long."""
        now = asyncio.get_running_loop().time()
        if self._troubled is None:
            self._troubled, self._troubled_since = key, now
            log.warning("a subscriber waits for what it missed", symbol=key.symbol, because=str(error))
        if now - self._troubled_since > _PATIENCE_S:
            lost = f"ticks of {key.symbol} that are past can not be read: {error}; subscribe again from the last one"
            raise MeshError(Reason.LOG_UNAVAILABLE, lost)
        self.take(next(self._pauses))


def _hand_on(message: TickMessage, standing: Standing, cursor: TickId, portion: Portion) -> None:
    if standing is Standing.NEXT:
        portion.messages.append(message)
    elif standing is Standing.OVERLAPS:
        portion.messages.append(message.after(cursor))
