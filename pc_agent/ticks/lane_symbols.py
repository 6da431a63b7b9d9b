"""The symbols of one tick lane: what is to be said of them, and what became of what was said. It knows no stream."""

import time
from collections import Counter
from collections.abc import Iterable

from suho.market.v1 import bridge_pb2 as pb
from suho.market.v1 import tick_pb2

from mesh.log import get_logger
from mesh.market import BEFORE_FIRST, TickId, codec
from pc_agent.domain.symbol_feed import WINDOW_TICKS, SymbolFeed
from pc_agent.domain.tick_cursor import Anchor
from pc_agent.terminal.messages import CloseSymbol, Credit
from pc_agent.ticks.sources import Place, TickSources

log = get_logger(__name__)

MESSAGE_TICKS = 2_000
MESSAGES_UNDER_WAY = 8
# Ticks that all symbols of a lane hold together; one that has more symbols gives each a message's worth.
LANE_TICKS = 512_000
COUNT_S = 2.0
# Batches under way when a symbol went out of sync are each answered so: one rewind is enough for them.
_REWIND_PAUSE_S = 0.2


class _LaneSymbol:
    """A symbol on its lane."""

    def __init__(self, feed: SymbolFeed) -> None:
        self.feed = feed
        self.ref = tick_pb2.SymbolRef(server=feed.server, symbol=feed.symbol)
        self.expected: tuple[TickId, float, float] | None = None
        self.rewound: tuple[TickId, float] = (BEFORE_FIRST, 0.0)
        self.standing_by = False
        self.stand_by_told = False
        self.leaving = False

    @property
    def ready(self) -> bool:
        return not self.leaving and (self.feed.welcomed or self.standing_by)


class LaneSymbols:
    """Builds the lane's messages and takes what the bridge answers.

    Memory: a symbol holds at most its feed's window of ticks that are read and not acknowledged, WINDOW_TICKS or an
    equal share of LANE_TICKS, never below MESSAGE_TICKS; so a lane holds LANE_TICKS ticks (of 56 bytes), or
    MESSAGE_TICKS for each of its symbols where that is more, and as bytes the MESSAGES_UNDER_WAY messages among them.
    What the worker has read and nobody has taken from its pipe is part of that, as long as its generation counts. A
    share that shrank counts from when what was granted before is used.
    """

    def __init__(self, lane: int, sources: TickSources) -> None:
        self._lane = lane
        self._sources = sources
        self._symbols: dict[Place, _LaneSymbol] = {}
        self._unopened: list[_LaneSymbol] = []
        self._changed: list[pb.HistoryChanged] = []
        self._under_way: Counter[int] = Counter()
        self._messages = 0
        self._progress = self._counted = time.monotonic()
        self._turn = 0

    @property
    def ready(self) -> bool:
        """Every symbol has its welcome, or stands by."""
        return all(symbol.ready for symbol in self._symbols.values())

    @property
    def unacknowledged(self) -> int:
        """Ticks sent and not known to be durable."""
        return sum(symbol.feed.unacknowledged for symbol in self._symbols.values())

    def feed(self, server: str, symbol: str) -> SymbolFeed | None:
        """None: it is not carried here."""
        held = self._symbols.get((server, symbol))
        return held.feed if held else None

    def add(self, feed: SymbolFeed) -> None:
        """Carry this symbol too, from now on."""
        symbol = self._symbols[feed.server, feed.symbol] = _LaneSymbol(feed)
        self._unopened.append(symbol)
        self._share()

    def leave(self, place: Place, at_once: bool) -> None:
        """Send nothing more of it. It is gone when what was sent is acknowledged and its close is written.

        `at_once`: there is no stream that either could come from.
        """
        symbol = self._symbols.get(place)
        if symbol is None:
            return
        if not symbol.leaving:
            symbol.leaving = True
            symbol.feed.halt()
            self._close(symbol)
        if at_once or symbol in self._unopened:
            symbol.feed.interrupt()
            self._drop(symbol)

    def holds(self, place: Place) -> bool:
        return place in self._symbols

    def interrupt(self) -> None:
        """The stream broke: what was under way counts no more, who was leaving is gone."""
        self._under_way.clear()
        self._changed.clear()
        for symbol in list(self._symbols.values()):
            symbol.feed.interrupt()
            symbol.standing_by = False
            self._close(symbol)
            if symbol.leaving:
                self._drop(symbol)

    def _close(self, symbol: _LaneSymbol) -> None:
        self._sources.send(symbol.feed.server, CloseSymbol(symbol.feed.symbol))

    def _drop(self, symbol: _LaneSymbol) -> None:
        del self._symbols[symbol.feed.server, symbol.feed.symbol]
        if symbol in self._unopened:
            self._unopened.remove(symbol)
        self._share()

    def _share(self) -> None:
        share = LANE_TICKS // max(1, len(self._symbols))
        for symbol in self._symbols.values():
            symbol.feed.window = max(MESSAGE_TICKS, min(WINDOW_TICKS, share))

    # up

    def open_all(self) -> None:
        """A new stream stands: every symbol is to be opened on it."""
        self._unopened = list(self._symbols.values())

    def request(self) -> pb.StreamTicksRequestTwin | None:
        """All that is to be said now, at most MESSAGE_TICKS ticks; None: nothing."""
        closing = [symbol.ref for symbol in self._symbols.values() if _may_close(symbol)]
        counts = self._counts()
        opened, self._unopened = self._unopened, []
        changed, self._changed = self._changed, []
        batches = list(self._batches()) if len(self._under_way) < MESSAGES_UNDER_WAY else []
        if not (opened or closing or batches or counts or changed):
            return None
        return pb.StreamTicksRequestTwin(
            open=[symbol.ref for symbol in opened], close=closing, batches=batches, counts=counts, changed=changed
        )

    def written(self, request: pb.StreamTicksRequestTwin) -> None:
        """The symbols that it closed are gone."""
        for ref in request.close:
            if (symbol := self._of(ref)) and symbol.leaving:
                self._drop(symbol)

    def _counts(self) -> list[pb.SymbolCount]:
        """Of every symbol from time to time, and of one that leaves before its close."""
        now = time.monotonic()
        every = now - self._counted >= COUNT_S
        if every:
            self._counted = now
        counts = []
        for symbol in self._symbols.values():
            if (every or symbol.leaving) and (count := symbol.feed.count()):
                after, until = place_of(count.after), place_of(count.until)
                counts.append(pb.SymbolCount(symbol=symbol.ref, after=after, until=until, count=count.count))
        return counts

    def _batches(self) -> Iterable[tick_pb2.TickBatchTwin]:
        """Of every symbol in turn, as far as one message goes."""
        symbols = list(self._symbols.values())
        room = MESSAGE_TICKS
        message = self._messages
        for index in range(len(symbols)):
            feed = symbols[(self._turn + index) % len(symbols)].feed
            while room and (batch := feed.take(room, message)) is not None:
                room -= len(batch)
                self._under_way[message] += 1
                yield tick_pb2.TickBatchTwin(**codec.fields(batch))
        if message in self._under_way:
            if len(self._under_way) == 1:
                self._progress = time.monotonic()
            self._messages += 1
            self._turn += 1

    def stalled_s(self) -> float:
        """How long something has been under way and nothing acknowledged."""
        return time.monotonic() - self._progress if self._under_way else 0.0

    # down

    def take(self, response: pb.StreamTicksResponse) -> None:
        for welcome in response.welcome:
            if symbol := self._of(welcome.symbol):
                self._welcome(symbol, welcome)
        for ack in response.acks:
            if symbol := self._of(ack.symbol):
                self._acknowledge(symbol, _id(ack.last))
        for lost in response.out_of_sync:
            if symbol := self._of(lost.symbol):
                self._resynchronise(symbol, _id(lost.cursor))
        for other in response.stand_by:
            if symbol := self._of(other.symbol):
                self._stand_by(symbol, other.holder)

    def _of(self, ref: tick_pb2.SymbolRef) -> _LaneSymbol | None:
        return self._symbols.get((ref.server, ref.symbol))

    def history_found(self, place: Place, anchor: Anchor) -> None:
        """Compare the bridge's newest tick with the history at its place; once, because later anchors lie elsewhere."""
        symbol = self._symbols[place]
        expected, symbol.expected = symbol.expected, None
        if expected is None:
            return
        cursor, bid, ask = expected
        if anchor.present and (anchor.bid, anchor.ask) == (bid, ask):
            return
        self._changed.append(pb.HistoryChanged(symbol=symbol.ref, at=place_of(cursor), bid=anchor.bid, ask=anchor.ask))
        log.error(
            "HISTORY_CHANGED: the terminal's history differs from what was stored",
            symbol=place[1],
            server=place[0],
            time_msc=cursor.time_msc,
            ordinal=cursor.ordinal,
            stored=(bid, ask),
            terminal=(anchor.bid, anchor.ask) if anchor.present else None,
        )

    def _welcome(self, symbol: _LaneSymbol, welcome: pb.Welcome) -> None:
        if symbol.leaving:
            return
        if symbol.stand_by_told:
            symbol.stand_by_told = False
            log.info("this agent streams the symbol now", symbol=symbol.feed.symbol)
        symbol.standing_by = False
        cursor = _id(welcome.last)
        quoted = welcome.bid or welcome.ask
        symbol.expected = (cursor, welcome.bid, welcome.ask) if quoted else None
        self._rewind(symbol, cursor)

    def _stand_by(self, symbol: _LaneSymbol, holder: str) -> None:
        """Another agent streams it: nothing is read or sent until a welcome."""
        self._settle(symbol.feed.interrupt())
        self._close(symbol)
        symbol.standing_by = True
        if not symbol.stand_by_told:
            symbol.stand_by_told = True
            log.info("standing by: another agent streams the symbol", symbol=symbol.feed.symbol, holder=holder)

    def _rewind(self, symbol: _LaneSymbol, cursor: TickId) -> None:
        reading, void = symbol.feed.rewind(cursor)
        self._settle(void)
        symbol.rewound = (cursor, time.monotonic())
        self._sources.send(symbol.feed.server, reading)

    def _resynchronise(self, symbol: _LaneSymbol, cursor: TickId) -> None:
        if symbol.leaving:  # where it goes it is sent again from its welcome on
            self._settle(symbol.feed.interrupt())
            return
        last, at = symbol.rewound
        if not symbol.feed.welcomed or (cursor == last and time.monotonic() - at < _REWIND_PAUSE_S):
            return
        log.warning("out of sync", lane=self._lane, symbol=symbol.feed.symbol, cursor=cursor.time_msc)
        symbol.expected = None
        self._rewind(symbol, cursor)

    def _acknowledge(self, symbol: _LaneSymbol, last: TickId) -> None:
        credit, settled = symbol.feed.acknowledge(last)
        self._settle(settled)
        if settled:
            self._progress = time.monotonic()
        if credit:
            self._sources.send(symbol.feed.server, Credit(symbol.feed.symbol, credit))

    def _settle(self, messages: Iterable[int]) -> None:
        for message in messages:
            self._under_way[message] -= 1
            if self._under_way[message] <= 0:
                del self._under_way[message]


def _may_close(symbol: _LaneSymbol) -> bool:
    """It leaves, and all that it sent is acknowledged and counted."""
    return symbol.leaving and not symbol.feed.has_uncounted


def place_of(tick: TickId) -> tick_pb2.TickId:
    """The contract's form."""
    return tick_pb2.TickId(time_msc=tick.time_msc, ordinal=tick.ordinal)


def _id(place: tick_pb2.TickId) -> TickId:
    return TickId(place.time_msc, place.ordinal)
