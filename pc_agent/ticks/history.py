"""Answers a tick lane's questions about the terminal's history."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from suho.market.v1 import bridge_pb2 as pb
from suho.market.v1 import tick_pb2

from mesh.market import BEFORE_FIRST, Batch, TickId, codec
from mesh.market.batch import COLUMNS
from mesh.waiting import backoff
from pc_agent.domain.history import Asked, DigestSum, Question
from pc_agent.domain.symbol_feed import SymbolFeed
from pc_agent.terminal.messages import HistoryPage, ReadHistory
from pc_agent.ticks.lane_symbols import MESSAGE_TICKS, LaneSymbols, place_of
from pc_agent.ticks.sources import TickSources

MOST_QUESTIONS = 10_000
_MESSAGES_READY = 2
# The bridge gives up a question of which it has heard nothing for 30 s.
_LOADING_S = 20.0
_LOADING_PAUSES_S = 0.2, 2.0
_STILL_LOADING = "HISTORY_UNAVAILABLE: the terminal has not loaded these ticks of {symbol} yet; ask again later"
_QUESTIONS = {
    pb.HISTORY_QUESTION_DIGEST: Question.DIGEST,
    pb.HISTORY_QUESTION_RESEND: Question.RESEND,
    pb.HISTORY_QUESTION_POSITION: Question.POSITION,
}


class TooManyQuestionsError(Exception):
    """The bridge asks faster than anybody could answer."""


class HistoryDesk:
    """The questions of one stream, one range and one position at a time; a page is read when the one before is sent.

    Memory: one page (4,000 ticks), the messages ready to be sent and the one being made; digests of 10,000 buckets.
    """

    def __init__(
        self, lane: int, agent: str, sources: TickSources, symbols: LaneSymbols, wake: Callable[[], None]
    ) -> None:
        """`wake` is called when something is ready."""
        self._lane = lane
        self._agent = agent
        self._sources = sources
        self._symbols = symbols
        self._wake = wake
        self._ranges: asyncio.Queue[tuple[SymbolFeed, Asked]] = asyncio.Queue()
        self._positions: asyncio.Queue[tuple[SymbolFeed, Asked]] = asyncio.Queue()
        self._refused: asyncio.Queue[pb.HistoryAnswer] = asyncio.Queue()
        self._ready: asyncio.Queue[pb.StreamTicksRequestTwin] = asyncio.Queue(_MESSAGES_READY)

    def ask(self, request: pb.HistoryRequest) -> None:
        """It will be answered, in its turn.

        Raises:
            TooManyQuestionsError: MOST_QUESTIONS wait.
        """
        if self._ranges.qsize() + self._positions.qsize() + self._refused.qsize() >= MOST_QUESTIONS:
            raise TooManyQuestionsError(f"{MOST_QUESTIONS} questions about the history wait for an answer")
        question = _QUESTIONS.get(request.question)
        asked = Asked(
            request.request, request.symbol.symbol, question, request.from_msc, request.to_msc, request.bucket_ms
        )
        feed = self._symbols.feed(request.symbol.server, request.symbol.symbol)
        if fault := asked.fault():
            self._refused.put_nowait(pb.HistoryAnswer(request=asked.request, error=fault))
        elif feed is None:
            fault = f"{asked.symbol!r} of {request.symbol.server!r} is not open on lane {self._lane}"
            self._refused.put_nowait(pb.HistoryAnswer(request=asked.request, error=fault))
        else:
            (self._positions if question is Question.POSITION else self._ranges).put_nowait((feed, asked))

    def next(self) -> pb.StreamTicksRequestTwin | None:
        """What is ready to be sent; None: nothing."""
        return None if self._ready.empty() else self._ready.get_nowait()

    async def run(self) -> None:
        """Answer for ever. Positions do not wait for ranges."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._refuse())
            tasks.create_task(self._answer_positions())
            tasks.create_task(self._answer_ranges())

    async def _say(self, request: pb.StreamTicksRequestTwin) -> None:
        await self._ready.put(request)
        self._wake()

    async def _refuse(self) -> None:
        while True:
            await self._say(pb.StreamTicksRequestTwin(answers=[await self._refused.get()]))

    async def _answer_positions(self) -> None:
        while True:
            feed, asked = await self._positions.get()
            newest = await self._sources.read_newest(feed.server, feed.symbol)
            connected = self._sources.connected((feed.server, feed.symbol))
            position = pb.AgentPosition(terminal=place_of(newest), terminal_connected=connected, lane=self._lane)
            if feed.welcomed:
                position.read.CopyFrom(place_of(feed.read_last))
                position.sent.CopyFrom(place_of(feed.sent_last))
                position.acknowledged.CopyFrom(place_of(feed.acknowledged_last))
            answer = pb.HistoryAnswer(request=asked.request, position=position)
            await self._say(pb.StreamTicksRequestTwin(answers=[answer]))

    async def _answer_ranges(self) -> None:
        while True:
            feed, asked = await self._ranges.get()
            answer = await (self._digest if asked.question is Question.DIGEST else self._resend)(feed, asked)
            await self._say(pb.StreamTicksRequestTwin(answers=[answer]))

    async def _digest(self, feed: SymbolFeed, asked: Asked) -> pb.HistoryAnswer:
        total = DigestSum(asked)
        page = HistoryPage(0, asked.before, ended=False)
        while not page.ended:
            page = await self._page(feed, asked, page.last, asked.bucket_ms)
            total.add(page.digests)
        if page.error:
            return pb.HistoryAnswer(request=asked.request, error=page.error)
        digests = [
            tick_pb2.TickDigest(from_msc=one.from_msc, to_msc=one.to_msc, count=one.count, hash=one.hash)
            for one in total.digests()
        ]
        return pb.HistoryAnswer(request=asked.request, digests=digests)

    async def _resend(self, feed: SymbolFeed, asked: Asked) -> pb.HistoryAnswer:
        prev = BEFORE_FIRST
        page = HistoryPage(0, asked.before, ended=False)
        while not page.ended:
            page = await self._page(feed, asked, page.last)
            if page.columns:
                columns: dict[str, Any] = {
                    name: np.frombuffer(page.columns[name], dtype) for name, dtype in COLUMNS.items()
                }
                batch = Batch(feed.server, feed.symbol, self._agent, page.read_unix_ns, prev, **columns)
                await self._send_again(asked.request, batch)
                prev = batch.last_id
        return pb.HistoryAnswer(request=asked.request, error=page.error)

    async def _send_again(self, request: int, batch: Batch) -> None:
        for month in batch.by_month():
            for piece in month.chunks(MESSAGE_TICKS):
                resent = pb.ResentBatchTwin(request=request, batch=tick_pb2.TickBatchTwin(**codec.fields(piece)))
                await self._say(pb.StreamTicksRequestTwin(resent=[resent]))

    async def _page(self, feed: SymbolFeed, asked: Asked, after: TickId, bucket_ms: int = 0) -> HistoryPage:
        """What the terminal has to load first is asked for again, for a while."""
        ask = ReadHistory(0, asked.symbol, after, asked.from_msc, asked.to_msc, bucket_ms)
        pauses, until = backoff(*_LOADING_PAUSES_S), time.monotonic() + _LOADING_S
        while (page := await self._sources.read_history(feed.server, ask)).is_loading:
            if time.monotonic() > until:
                return HistoryPage(0, error=_STILL_LOADING.format(symbol=asked.symbol))
            await asyncio.sleep(next(pauses))
        return page
