"""One of the agent's tick lanes: a connection of its own, on which its symbols' ticks go up."""

import asyncio
import time
from contextlib import suppress
from typing import Any

import grpc
from suho.market.v1 import bridge_pb2 as pb

from mesh.clock import unix_ms
from mesh.log import get_logger
from mesh.self_naming import server_of
from mesh.waiting import backoff
from pc_agent.domain.symbol_feed import SymbolFeed
from pc_agent.domain.tick_cursor import Anchor
from pc_agent.stream_errors import reason_of
from pc_agent.ticks.history import HistoryDesk, TooManyQuestionsError
from pc_agent.ticks.lane_symbols import COUNT_S, LaneSymbols
from pc_agent.ticks.sources import Place, TickSources

log = get_logger(__name__)

# Ticks sent and nothing acknowledged for so long: ask the bridge again how far it got.
_STALLED_S = 20.0

_METHOD = "/suho.market.v1.BridgeService/StreamTicks"


class _StalledError(Exception):
    pass


class TickLane:
    """Lane `number`, 1 to 4. Symbols come and leave while it runs."""

    def __init__(self, number: int, channel: grpc.aio.Channel, agent: str, sources: TickSources) -> None:
        self.number = number
        # Monotonic seconds; None: it does not stand.
        self.stood_since: float | None = None
        # Since when it is so (PC's clock), how often a stream was lost, and with which bridge it is.
        self.since_unix_ms = unix_ms()
        self.reconnects = 0
        self.bridge = ""
        self._agent = agent
        self._sources = sources
        self._stream: Any = channel.stream_stream(
            _METHOD,
            request_serializer=pb.StreamTicksRequestTwin.SerializeToString,
            response_deserializer=pb.StreamTicksResponse.FromString,
        )
        self._symbols = LaneSymbols(number, sources)
        self._wake = asyncio.Event()
        self._draining = False
        self._history_next = False
        self._pauses = backoff(0.1, 0.5)  # at start the other end is about to come

    @property
    def ready(self) -> bool:
        """It stands and every symbol has its welcome, or stands by."""
        return self.stood_since is not None and self._symbols.ready

    def add(self, feed: SymbolFeed) -> None:
        """Carry this symbol too, from now on."""
        self._symbols.add(feed)
        self._wake.set()

    def leave(self, place: Place) -> bool:
        """Carry it no more; whether it is gone: until then ask again.

        What was sent is acknowledged first, or the stream broke: then the next welcome, wherever, says what arrived.
        """
        self._symbols.leave(place, at_once=self.stood_since is None)
        self._wake.set()
        return not self._symbols.holds(place)

    @property
    def unacknowledged(self) -> int:
        """Ticks sent and not known to be durable."""
        return self._symbols.unacknowledged

    def wake(self) -> None:
        """There are ticks to send."""
        self._wake.set()

    def history_found(self, place: Place, anchor: Anchor) -> None:
        """What the terminal holds where the welcome told it to begin."""
        self._symbols.history_found(place, anchor)
        self._wake.set()

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
            except* TooManyQuestionsError as group:
                because = "; ".join(str(error) for error in group.exceptions)
            self.reconnects += self.stood_since is not None
            self._become(None)
            self._draining = False
            self._symbols.interrupt()
            pause = next(self._pauses)
            log.warning("tick lane lost", lane=self.number, because=because, retry_s=round(pause, 2))
            await asyncio.sleep(pause)

    async def _carry(self) -> None:
        call = self._stream()
        try:
            # Symbols are opened once it stands: while it does not they may leave.
            await call.write(pb.StreamTicksRequestTwin(hello=pb.LaneHello(agent=self._agent, lane=self.number)))
            self._become(time.monotonic())
            self._symbols.open_all()
            desk = HistoryDesk(self.number, self._agent, self._sources, self._symbols, self._wake.set)
            async with asyncio.TaskGroup() as tasks:
                beside = [tasks.create_task(self._write(call, desk)), tasks.create_task(desk.run())]
                await self._read(call, desk)
                for task in beside:
                    task.cancel()
        finally:
            call.cancel()

    def _become(self, stood_since: float | None) -> None:
        if (stood_since is None) != (self.stood_since is None):
            self.since_unix_ms = unix_ms()
        self.stood_since, self.bridge = stood_since, ""

    # up

    async def _write(self, call: Any, desk: HistoryDesk) -> None:
        """While one write is in flight ticks gather; then all of them go."""
        try:
            while not self._draining:
                self._refuse_stall()
                request = self._next(desk)
                if request is not None:
                    await call.write(request)
                    self._symbols.written(request)
                    continue
                self._wake.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(COUNT_S, _STALLED_S / 4)):
                        await self._wake.wait()
            await call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # the reader learns of it too, with the reason

    def _next(self, desk: HistoryDesk) -> pb.StreamTicksRequestTwin | None:
        """Live ticks first; behind each such message at most one of history, so that neither starves."""
        if self._history_next:
            self._history_next = False
            if (request := desk.next()) is not None:
                return request
        if (request := self._symbols.request()) is not None:
            self._history_next = True
            return request
        return desk.next()

    def _refuse_stall(self) -> None:
        if self._symbols.stalled_s() > _STALLED_S:
            raise _StalledError

    # down

    async def _read(self, call: Any, desk: HistoryDesk) -> None:
        """Until the stream ends."""
        self.bridge = server_of(await call.initial_metadata())
        while (response := await call.read()) is not grpc.aio.EOF:
            self._pauses = backoff(0.1, 1.0)
            self._symbols.take(response)
            for question in response.history:
                desk.ask(question)
            if response.HasField("drain"):
                log.info("the bridge asks this lane to go elsewhere", lane=self.number, because=response.drain.reason)
                self._draining = True
            self._wake.set()
