"""A symbol's publisher on a log that fails in every way a log can."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from mesh.market import BEFORE_FIRST, Batch, TickId
from services.data_bridge import wire
from services.data_bridge.domain.log import LogEnd, LogMovedError, LogUnavailableError
from services.data_bridge.domain.progress import SymbolKey
from services.data_bridge.domain.sources import Lease, Write
from services.data_bridge.domain.terminal import SymbolCount
from services.data_bridge.lane import Answers, Lane
from services.data_bridge.publisher import Listener, Publisher, SymbolRecord
from tests.support import eventually
from tests.unit.services.data_bridge.ticks import arrival, history, identities

KEY = SymbolKey("twin-1", "EURUSD")


class UnreliableLog:
    """Compare-and-set in memory; `fates` say what becomes of each append (default: it is taken and confirmed)."""

    def __init__(self, fates: list[str] | None = None) -> None:
        self.messages: list[bytes] = []
        self.fates = fates or []
        self.late: list[tuple[bytes, int]] = []
        self.in_flight = 0

    async def end(self, key: SymbolKey) -> LogEnd | None:
        await asyncio.sleep(0)
        return wire.log_end(self.messages[-1], len(self.messages)) if self.messages else None

    async def append(self, key: SymbolKey, payload: bytes, expected_seq: int) -> int:
        self.in_flight += 1
        assert self.in_flight == 1, "one publish in flight"
        await asyncio.sleep(0)
        self.in_flight -= 1
        fate = self.fates.pop(0) if self.fates else "taken"
        if fate == "lost":
            raise LogUnavailableError(fate)
        if fate == "late":  # it lingers on the way, and arrives after the bridge gave up waiting
            self.late.append((payload, expected_seq))
            raise LogUnavailableError(fate)
        self._take(payload, expected_seq)
        for waiting in self.late:
            try:
                self._take(*waiting)
            except LogMovedError:
                continue
        self.late.clear()
        if fate == "taken, unconfirmed":
            raise LogUnavailableError(fate)
        return len(self.messages)

    def _take(self, payload: bytes, expected_seq: int) -> None:
        if expected_seq != len(self.messages):
            raise LogMovedError
        self.messages.append(payload)

    def ticks(self) -> list[TickId]:
        found: list[TickId] = []
        for raw in self.messages:
            batch = wire.codec.decode(wire.logged(raw))
            assert batch.prev == (found[-1] if found else BEFORE_FIRST)
            found += identities(batch)
        return found


class NothingStored:
    async def end(self, key: SymbolKey) -> LogEnd:
        return LogEnd()


class AlwaysValid:
    valid = True
    alive = frozenset({"bridge-1"})

    async def confirmed(self) -> None: ...

    def lease(self, key: SymbolKey) -> Lease:
        raise AssertionError("a publisher asks for no lease")

    async def write(self, key: SymbolKey, write: Write) -> Lease:
        raise AssertionError("a publisher writes no lease")


@asynccontextmanager
async def publishing(log: UnreliableLog) -> AsyncIterator[tuple[Publisher, list[Batch]]]:
    published: list[Batch] = []
    differences: list[int] = []
    listener = Listener(published.append, lambda _, difference: differences.append(difference))
    publisher = Publisher(SymbolRecord(KEY), log, NothingStored(), AlwaysValid(), listener, 1000)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(publisher.run())
        yield publisher, published
        running.cancel()


def a_lane(number: int = 1) -> Lane:
    return Lane("pc-1", number, 0, 8)


async def next_answers(lane: Lane) -> Answers:
    async with asyncio.timeout(30):
        return await anext(lane.answers())


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_becomes_of_a_publish_each_tick_is_there_once(seed: int) -> None:
    """Lost, late and unconfirmed messages are sent again, and compare-and-set keeps them single."""
    fates = ["taken", "lost", "late", "taken, unconfirmed"]
    log = UnreliableLog(random.Random(seed).choices(fates, k=6))
    ticks = history(400)
    lane = a_lane()
    async with publishing(log) as (publisher, published):
        publisher.grant(lane)
        for piece in ticks.chunks(40):
            publisher.submit(arrival(piece), lane.admit(1))
        await eventually(lambda: publisher.record.cursor == ticks.last_id)
    assert log.ticks() == identities(ticks)
    assert identities(*published) == identities(ticks)


async def test_another_writer_is_noticed_and_built_upon() -> None:
    """A conflict is counted; what the other wrote is not written again."""
    log = UnreliableLog()
    ticks = history(100)
    lane = a_lane()
    async with publishing(log) as (publisher, _):
        publisher.grant(lane)
        await next_answers(lane)
        log.messages.append(wire.payload(ticks.slice(0, 60)))
        publisher.submit(arrival(ticks), lane.admit(1))
        answers = await next_answers(lane)
    assert answers.acks == {KEY: ticks.last_id}
    assert publisher.record.conflicts == 1
    assert publisher.record.published_ticks == 40
    assert log.ticks() == identities(ticks)


async def test_a_moving_symbol_is_welcomed_after_what_came_before() -> None:
    """The Welcome on the new lane is where the log stands once the old lane's batches are settled."""
    log = UnreliableLog()
    ticks = history(400)
    old, new = a_lane(1), a_lane(2)
    async with publishing(log) as (publisher, _):
        publisher.grant(old)
        for piece in ticks.chunks(50):
            publisher.submit(arrival(piece), old.admit(1))
        publisher.grant(new)
        [(key, end)] = (await next_answers(new)).welcome
    assert (key, end.last) == (KEY, ticks.last_id)


async def test_what_a_broken_lane_sent_is_published() -> None:
    """A lane that is gone is not answered, but its batches are kept."""
    log = UnreliableLog()
    ticks = history(100)
    lane = a_lane()
    async with publishing(log) as (publisher, _):
        publisher.grant(lane)
        publisher.submit(arrival(ticks), lane.admit(1))
        lane.leave()
        await eventually(lambda: publisher.record.cursor == ticks.last_id)
    assert log.ticks() == identities(ticks)


async def test_an_agent_that_is_ahead_is_told_where_the_log_ends() -> None:
    """Each batch ahead is counted and settled; the agent hears of it once."""
    log = UnreliableLog()
    ticks = history(100)
    lane = a_lane()
    async with publishing(log) as (publisher, _):
        publisher.grant(lane)
        await next_answers(lane)
        for start in (50, 60, 70):
            publisher.submit(arrival(ticks.slice(start, start + 10)), lane.admit(1))
        answers = await next_answers(lane)
        await eventually(lambda: publisher.record.out_of_sync == 3)
        publisher.submit(arrival(ticks), lane.admit(1))
        later = await next_answers(lane)
    assert answers.out_of_sync == {KEY: BEFORE_FIRST}
    assert (later.out_of_sync, later.acks) == ({}, {KEY: ticks.last_id})


async def test_an_agent_that_lost_its_lease_is_not_published() -> None:
    """What it still sends is settled, unanswered, until it is granted the symbol again."""
    log = UnreliableLog()
    ticks = history(100)
    lane, other = a_lane(), Lane("pc-2", 1, 0, 8)
    async with publishing(log) as (publisher, published):
        publisher.grant(lane)
        await next_answers(lane)
        publisher.revoke()
        publisher.submit(arrival(ticks), lane.admit(1))
        await eventually(lambda: publisher.idle)
        publisher.grant(other)
        publisher.submit(arrival(ticks), lane.admit(1))
        publisher.submit(arrival(ticks.slice(0, 60)), other.admit(1))
        await eventually(lambda: publisher.idle)
    assert log.ticks() == identities(*published) == identities(ticks.slice(0, 60))
    lane.end()
    assert [answers async for answers in lane.answers()] == []


async def test_a_quarantine_that_an_agent_did_not_hear_of_is_counted_once() -> None:
    """The same fallen ticks again, before anything else came, are the same marker."""
    log = UnreliableLog(["taken", "taken, unconfirmed"])
    ticks = history(100)
    lane = a_lane()
    async with publishing(log) as (publisher, _):
        publisher.grant(lane)
        publisher.submit(arrival(ticks), lane.admit(1))
        await eventually(lambda: publisher.record.cursor == ticks.last_id)
        fallen = replace(ticks.slice(0, 10), prev=ticks.last_id)
        for _ in range(2):
            publisher.submit(arrival(fallen), lane.admit(1))
        await eventually(lambda: publisher.idle)
    assert publisher.record.quarantined_ticks == 10
    assert len(log.messages) == 2


async def test_what_the_agent_counted_is_compared_behind_its_batches() -> None:
    """Ticks that it counted and did not send are missing."""
    log = UnreliableLog()
    ticks = history(100)
    lane = a_lane()
    async with publishing(log) as (publisher, _):
        publisher.grant(lane)
        publisher.submit(arrival(ticks.slice(0, 50)), lane.admit(1))
        publisher.submit(arrival(ticks.slice(50, 100)), lane.admit(1))
        publisher.compare(SymbolCount(KEY, BEFORE_FIRST, ticks.id_at(49), 50))
        publisher.compare(SymbolCount(KEY, ticks.id_at(49), ticks.last_id, 53))
        await eventually(lambda: publisher.idle)
    assert publisher.record.missing_ticks == 3


async def test_a_log_that_lost_ticks_gets_them_again() -> None:
    """The agent is told where the log ends now, though it sent nothing that would be refused."""
    log = UnreliableLog()
    ticks = history(100)
    lane = a_lane()
    async with publishing(log) as (publisher, _):
        publisher.grant(lane)
        for piece in ticks.chunks(50):
            publisher.submit(arrival(piece), lane.admit(1))
            await eventually(lambda: publisher.idle)
        await next_answers(lane)
        del log.messages[1:]
        publisher.reread()
        answers = await next_answers(lane)
    assert answers.out_of_sync == {KEY: ticks.id_at(49)}


async def test_what_is_said_beside_ticks_is_bounded_while_the_log_is_away() -> None:
    """An agent that counts without end, and a log that comes and goes, fill no memory."""
    lane = a_lane()
    publisher = Publisher(
        SymbolRecord(KEY), UnreliableLog(), NothingStored(), AlwaysValid(), Listener(lambda _: None, lambda *_: None), 1
    )
    publisher.grant(lane)
    for _ in range(20_000):
        publisher.compare(SymbolCount(KEY, BEFORE_FIRST, BEFORE_FIRST, 1))
        publisher.reread()
    assert len(publisher._queue) <= 10_001
