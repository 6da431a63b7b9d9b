"""A lane's answers about the terminal's history."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from suho.market.v1 import bridge_pb2 as pb
from suho.market.v1 import tick_pb2

from mesh.market import BEFORE_FIRST, Batch, TickId, codec
from mesh.market.digest import digests
from pc_agent.domain.symbol_feed import SymbolFeed
from pc_agent.domain.symbol_names import NameRules, SymbolNames
from pc_agent.terminal.messages import AccountFacts, HistoryPage, ReadHistory, ReadNewest
from pc_agent.terminal.mt5_session import BrokerLink
from pc_agent.terminal.mt5_ticks import History
from pc_agent.ticks import history
from pc_agent.ticks.history import HistoryDesk, TooManyQuestionsError
from pc_agent.ticks.lane_symbols import LaneSymbols
from tests.support import eventually
from tests.unit.pc_agent.terminals import FakeMt5, columns_of, ids_of, ticks_at

HOUR = 3_600_000
FROM = 1_580_511_600_000  # 2020-01-31T23:00:00Z: the month ends within two hours
TICKS = ticks_at(FROM + np.sort(np.random.default_rng(7).integers(0, 2 * HOUR, 11_000)))


class Terminal:
    """Reads pages as the worker does; `away` says why it does not."""

    def __init__(self) -> None:
        self.mt5 = FakeMt5(EURUSD=TICKS)
        broker = BrokerLink(self.mt5)
        broker.joined(AccountFacts(*self.mt5.account, 0))
        self.history = History(self.mt5, SymbolNames(NameRules()), broker, lambda: None)
        self.away = ""
        self.pages = 0

    def send(self, *_: Any) -> None:
        return None

    def connected(self, _: Any) -> bool:
        return True

    async def read_history(self, _: str, ask: ReadHistory) -> HistoryPage:
        self.pages += 1
        await asyncio.sleep(0)
        return HistoryPage(0, error=self.away) if self.away else self.history.read(ask)

    async def read_newest(self, _: str, symbol: str) -> TickId:
        return self.history.newest(ReadNewest(0, symbol)).newest


@asynccontextmanager
async def desk() -> AsyncIterator[tuple[HistoryDesk, Terminal, SymbolFeed]]:
    terminal: Any = Terminal()
    symbols = LaneSymbols(3, terminal)
    feed = SymbolFeed("s", "EURUSD", "a")
    symbols.add(feed)
    made = HistoryDesk(3, "a", terminal, symbols, lambda: None)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(made.run())
        yield made, terminal, feed
        running.cancel()


def question(kind: pb.HistoryQuestion.ValueType, request: int = 1, **fields: Any) -> pb.HistoryRequest:
    values = {"from_msc": FROM, "to_msc": FROM + 2 * HOUR, "bucket_ms": HOUR // 2} | fields
    symbol = tick_pb2.SymbolRef(server="s", symbol="EURUSD")
    return pb.HistoryRequest(request=request, symbol=symbol, question=kind, **values)


async def until_answered(made: HistoryDesk) -> tuple[list[Batch], pb.HistoryAnswer]:
    """The ticks of the messages before an answer, and it."""
    batches: list[Batch] = []
    while True:
        await eventually(lambda: not made._ready.empty(), interval_s=0.001)
        message = made.next()
        assert message
        assert sum(item.batch.count for item in message.resent) <= 2_000
        batches += [codec.decode(item.batch) for item in message.resent]
        if message.answers:
            return batches, message.answers[0]


async def test_a_range_is_sent_again_and_then_answered() -> None:
    """In messages of allowed size, none across a month's end, with the identities that live reading gives."""
    async with desk() as (made, _, __):
        made.ask(question(pb.HISTORY_QUESTION_RESEND, 9))
        batches, answer = await until_answered(made)
    whole = Batch.join(batches)
    ids = [TickId(int(t), int(o)) for t, o in zip(whole.time_msc, whole.ordinal, strict=True)]
    assert ids == ids_of(TICKS)
    assert whole.bid.tolist() == TICKS["bid"].tolist()
    assert all(len(list(batch.by_month())) == 1 for batch in batches)
    assert [batch.prev for batch in batches] == [BEFORE_FIRST, *(batch.last_id for batch in batches[:-1])]
    assert (answer.request, answer.error) == (9, "")


async def test_a_range_is_read_only_as_fast_as_it_is_sent() -> None:
    """While nobody takes the messages no further page is asked for."""
    async with desk() as (made, terminal, _):
        made.ask(question(pb.HISTORY_QUESTION_RESEND))
        await eventually(lambda: made._ready.full(), interval_s=0.001)
        for _ in range(50):
            await asyncio.sleep(0)
        assert terminal.pages <= 2
        assert made._ready.qsize() == 2


async def test_digests_are_those_of_the_terminals_ticks() -> None:
    """One a bucket, empty ones too."""
    async with desk() as (made, _, __):
        made.ask(question(pb.HISTORY_QUESTION_DIGEST, to_msc=FROM + 4 * HOUR))
        _, answer = await until_answered(made)
    found = [(one.from_msc, one.to_msc, one.count, one.hash) for one in answer.digests]
    wanted = digests(columns_of(TICKS), FROM, FROM + 4 * HOUR, HOUR // 2)
    assert found == [(one.from_msc, one.to_msc, one.count, one.hash) for one in wanted]
    assert found[-1][2] == 0


async def test_a_position_does_not_wait_for_a_range() -> None:
    """It says where the terminal, reading, sending and acknowledging stand; zeros before the welcome."""
    async with desk() as (made, _, feed):
        made.ask(question(pb.HISTORY_QUESTION_RESEND, 1))
        made.ask(question(pb.HISTORY_QUESTION_POSITION, 2))
        _, answer = await until_answered(made)
        assert answer.request == 2
        newest = tick_pb2.TickId(**ids_of(TICKS)[-1]._asdict())
        assert answer.position == pb.AgentPosition(terminal=newest, terminal_connected=True, lane=3)
        cursor = TickId(FROM, 0)
        feed.rewind(cursor)
        made.ask(question(pb.HISTORY_QUESTION_POSITION, 3))
        while (answer := (await until_answered(made))[1]).request != 3:
            pass
    assert answer.position.acknowledged == tick_pb2.TickId(**cursor._asdict())
    assert answer.position.read == answer.position.sent == answer.position.acknowledged


@pytest.mark.parametrize("kind", [pb.HISTORY_QUESTION_DIGEST, pb.HISTORY_QUESTION_RESEND])
async def test_a_terminal_that_is_away_is_an_error(kind: pb.HistoryQuestion.ValueType) -> None:
    """Not an empty answer."""
    async with desk() as (made, terminal, _):
        terminal.away = "the terminal is away"
        made.ask(question(kind))
        batches, answer = await until_answered(made)
    assert batches == []
    assert answer == pb.HistoryAnswer(request=1, error="the terminal is away")


async def test_what_can_not_be_asked_is_refused() -> None:
    """Of a symbol that this lane does not carry, or of a range that is none."""
    async with desk() as (made, _, __):
        other = question(pb.HISTORY_QUESTION_DIGEST)
        other.symbol.server = "another"
        made.ask(other)
        assert "is not open on lane 3" in (await until_answered(made))[1].error
        made.ask(question(pb.HISTORY_QUESTION_DIGEST, to_msc=FROM + 1))
        assert "whole seconds" in (await until_answered(made))[1].error


async def test_questions_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bridge that asks without end is left."""
    monkeypatch.setattr(history, "MOST_QUESTIONS", 5)
    async with desk() as (made, _, __):
        for request in range(5):
            made.ask(question(pb.HISTORY_QUESTION_RESEND, request))
        with pytest.raises(TooManyQuestionsError):
            made.ask(question(pb.HISTORY_QUESTION_RESEND, 5))


async def test_what_the_terminal_has_to_load_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A digest waits for the ticks instead of saying that there are none; for too long, and that is told."""
    monkeypatch.setattr(history, "_LOADING_PAUSES_S", (0.0, 0.0))
    async with desk() as (made, terminal, _):
        made.ask(question(pb.HISTORY_QUESTION_DIGEST))
        _, at_once = await until_answered(made)
        read, loading = terminal.history.read, iter([True, True])
        monkeypatch.setattr(
            terminal.history,
            "read",
            lambda ask: HistoryPage(0, ask.after, is_loading=True) if next(loading, False) else read(ask),
        )
        made.ask(question(pb.HISTORY_QUESTION_DIGEST))
        _, later = await until_answered(made)
        assert later == at_once
        assert sum(digest.count for digest in later.digests) == len(TICKS)
        monkeypatch.setattr(history, "_LOADING_S", 0.05)
        monkeypatch.setattr(terminal.history, "read", lambda ask: HistoryPage(0, ask.after, is_loading=True))
        made.ask(question(pb.HISTORY_QUESTION_DIGEST))
        _, never = await until_answered(made)
        assert never.error.startswith("HISTORY_UNAVAILABLE")
        assert not never.digests
