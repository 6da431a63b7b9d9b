"""One of the agent's tick lanes: a connection of its own, on which its symbols' ticks go up."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import grpc
from suho.market.v1 import bridge_pb2 as pb
from suho.market.v1 import tick_pb2

from mesh.log import get_logger
from mesh.market import BEFORE_FIRST, TickId, codec
from mesh.waiting import backoff
from pc_agent.domain.symbol_feed import SymbolFeed
from pc_agent.domain.tick_cursor import Anchor
from pc_agent.messages import CloseSymbol, Credit
from pc_agent.stream_errors import reason_of
from pc_agent.worker import TerminalWorker

log = get_logger(__name__)

MESSAGE_TICKS = 2_000
MESSAGES_UNDER_WAY = 8
# Batches under way when a symbol went out of sync are each answered so: one rewind is enough for them.
_REWIND_PAUSE_S = 0.2
# Ticks sent and nothing acknowledged for so long: ask the bridge again how far it got.
_STALLED_S = 20.0

_METHOD = "/suho.market.v1.BridgeService/StreamTicks"


class _StalledError(Exception):
    pass


class _LaneSymbol:
    """A symbol on its lane."""

    def __init__(self, feed: SymbolFeed) -> None:
        self.feed = feed
        self.ref = tick_pb2.SymbolRef(server=feed.server, symbol=feed.symbol)
        self.expected: tuple[TickId, float, float] | None = None
        self.rewound: tuple[TickId, float] = (BEFORE_FIRST, 0.0)


class TickLane:
    """Lane `number`, 1 to 4. Symbols may be added while it runs."""

    def __init__(self, number: int, channel: grpc.aio.Channel, agent: str, terminal: TerminalWorker) -> None:
        self.number = number
        self.stands = False
        self._agent = agent
        self._terminal = terminal
        self._stream: Any = channel.stream_stream(
            _METHOD,
            request_serializer=pb.StreamTicksRequestTwin.SerializeToString,
            response_deserializer=pb.StreamTicksResponse.FromString,
        )
        self._symbols: dict[str, _LaneSymbol] = {}
        self._unopened: list[_LaneSymbol] = []
        self._under_way: Counter[int] = Counter()
        self._messages = 0
        self._progress = time.monotonic()
        self._wake = asyncio.Event()
        self._draining = False
        self._pauses = backoff(0.1, 0.5)  # at start the other end is about to come
        self._turn = 0

    @property
    def ready(self) -> bool:
        """It stands and every symbol has its welcome."""
        return self.stands and all(symbol.feed.welcomed for symbol in self._symbols.values())

    @property
    def feeds(self) -> Iterable[SymbolFeed]:
        return [symbol.feed for symbol in self._symbols.values()]

    def feed(self, symbol: str) -> SymbolFeed:
        return self._symbols[symbol].feed

    def add(self, feed: SymbolFeed) -> None:
        """Carry this symbol too, from now on."""
        symbol = self._symbols[feed.symbol] = _LaneSymbol(feed)
        self._unopened.append(symbol)
        self._wake.set()

    def wake(self) -> None:
        """There are ticks to send."""
        self._wake.set()

    def history_found(self, symbol: str, anchor: Anchor) -> None:
        """Compare the bridge's newest tick with the history at its place; once, because later anchors lie elsewhere."""
        expected, self._symbols[symbol].expected = self._symbols[symbol].expected, None
        if expected is None:
            return
        cursor, bid, ask = expected
        if not anchor.present or (anchor.bid, anchor.ask) != (bid, ask):
            log.error(
                "HISTORY_CHANGED: the terminal's history differs from what was stored",
                symbol=symbol,
                time_msc=cursor.time_msc,
                ordinal=cursor.ordinal,
                stored=(bid, ask),
                terminal=(anchor.bid, anchor.ask) if anchor.present else None,
            )

    async def run(self) -> None:
        """Keep the lane for ever: a break is followed by a new stream and its welcomes."""
        while True:
            because = "ended by the bridge"
            try:
                await self._carry()
            except* grpc.aio.AioRpcError as group:
                because = reason_of(group)
            except* _StalledError:
                because = "nothing was acknowledged for too long"
            self._interrupt()
            pause = next(self._pauses)
            log.warning("tick lane lost", lane=self.number, because=because, retry_s=round(pause, 2))
            await asyncio.sleep(pause)

    def _interrupt(self) -> None:
        self.stands = False
        self._draining = False
        self._under_way.clear()
        for symbol in self._symbols.values():
            symbol.feed.interrupt()
            self._terminal.send(CloseSymbol(symbol.feed.symbol))

    async def _carry(self) -> None:
        call = self._stream()
        try:
            hello = pb.LaneHello(agent=self._agent, lane=self.number)
            self._unopened = []
            await call.write(pb.StreamTicksRequestTwin(hello=hello, open=[s.ref for s in self._symbols.values()]))
            self.stands = True
            async with asyncio.TaskGroup() as tasks:
                writer = tasks.create_task(self._write(call))
                await self._read(call)
                writer.cancel()
        finally:
            call.cancel()

    # up

    async def _write(self, call: Any) -> None:
        """While one write is in flight ticks gather; then all of them go."""
        try:
            while not self._draining:
                request = self._gather()
                if request is not None:
                    await call.write(request)
                    continue
                self._wake.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_STALLED_S / 4):
                        await self._wake.wait()
                self._refuse_stall()
            await call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # the reader learns of it too, with the reason

    def _gather(self) -> pb.StreamTicksRequestTwin | None:
        opened, self._unopened = self._unopened, []
        batches = list(self._batches()) if len(self._under_way) < MESSAGES_UNDER_WAY else []
        if not opened and not batches:
            return None
        return pb.StreamTicksRequestTwin(open=[symbol.ref for symbol in opened], batches=batches)

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

    def _refuse_stall(self) -> None:
        if self._under_way and time.monotonic() - self._progress > _STALLED_S:
            raise _StalledError

    # down

    async def _read(self, call: Any) -> None:
        """Until the stream ends."""
        while (response := await call.read()) is not grpc.aio.EOF:
            self._take(response)

    def _take(self, response: pb.StreamTicksResponse) -> None:
        self._pauses = backoff(0.1, 2.0)
        for welcome in response.welcome:
            if symbol := self._symbols.get(welcome.symbol.symbol):
                cursor = TickId(welcome.last.time_msc, welcome.last.ordinal)
                quoted = welcome.bid or welcome.ask
                symbol.expected = (cursor, welcome.bid, welcome.ask) if quoted else None
                self._rewind(symbol, cursor)
        for ack in response.acks:
            if symbol := self._symbols.get(ack.symbol.symbol):
                self._acknowledge(symbol, TickId(ack.last.time_msc, ack.last.ordinal))
        for lost in response.out_of_sync:
            if symbol := self._symbols.get(lost.symbol.symbol):
                self._resynchronise(symbol, TickId(lost.cursor.time_msc, lost.cursor.ordinal))
        if response.HasField("drain"):
            log.info("the bridge asks this lane to go elsewhere", lane=self.number, because=response.drain.reason)
            self._draining = True
        self._wake.set()

    def _rewind(self, symbol: _LaneSymbol, cursor: TickId) -> None:
        reading, void = symbol.feed.rewind(cursor)
        self._settle(void)
        symbol.rewound = (cursor, time.monotonic())
        self._terminal.send(reading)

    def _resynchronise(self, symbol: _LaneSymbol, cursor: TickId) -> None:
        last, at = symbol.rewound
        if cursor == last and time.monotonic() - at < _REWIND_PAUSE_S:
            return
        log.warning("out of sync", lane=self.number, symbol=symbol.feed.symbol, cursor=cursor.time_msc)
        symbol.expected = None
        self._rewind(symbol, cursor)

    def _acknowledge(self, symbol: _LaneSymbol, last: TickId) -> None:
        credit, settled = symbol.feed.acknowledge(last)
        self._settle(settled)
        if credit:
            self._progress = time.monotonic()
            self._terminal.send(Credit(symbol.feed.symbol, credit))

    def _settle(self, messages: Iterable[int]) -> None:
        for message in messages:
            self._under_way[message] -= 1
            if self._under_way[message] <= 0:
                del self._under_way[message]
