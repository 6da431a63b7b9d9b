"""What goes down a lane, and how it ends."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest
from suho.common.v1 import account_pb2
from suho.database.v1 import order_service_pb2 as db
from suho.trading.v1 import agent_link_pb2 as link
from suho.trading.v1 import order_pb2

from mesh.draining import Draining
from mesh.errors import MeshError, Reason
from services.trading_engine.agent_lane import AgentLane, LaneTerms
from services.trading_engine.agent_said import AgentSaid
from services.trading_engine.domain.order import AccountId
from services.trading_engine.lanes import Hello, Lanes
from services.trading_engine.servicers.agent_link import AgentLinkServicer
from services.trading_engine.standings import Standing, Standings
from tests.support import eventually

ACTIVE, HALTED = order_pb2.TRADING_STATE_ACTIVE, order_pb2.TRADING_STATE_HALTED
REDUCING = order_pb2.TRADING_STATE_REDUCING
GREETING = link.AgentHello(
    agent="pc-1",
    account=account_pb2.AccountRef(server="broker", login=42),
    trade_mode=order_pb2.TRADE_MODE_DEMO,
    margin_mode=link.MARGIN_MODE_NETTING,
    ledger="ledger-1",
)
HELLO = Hello("pc-1", AccountId("broker", 42), order_pb2.TRADE_MODE_DEMO, link.MARGIN_MODE_NETTING, 0, 0, "ledger-1")


async def test_an_answer_from_before_a_halt_does_not_lift_it() -> None:
    """The lease's renewal was under way when the account was halted. What is older for good, as after a restored copy,
    is told with the next one."""
    said, unused = AgentSaid({}, False, link.AgentSafety()), cast(Any, None)
    lane = AgentLane(HELLO, said, LaneTerms("e", 5_000), unused, Lanes(Draining()), Standing(), unused)
    for revision, state in ((1, ACTIVE), (2, HALTED), (1, ACTIVE), (1, REDUCING)):
        lane.tell_state(db.Account(revision=revision, trading_state=state))
    responses = aiter(lane.responses())
    told = [(await anext(responses)).trading_state.trading_state for _ in range(3)]
    assert told == [ACTIVE, HALTED, REDUCING]


class Database:
    """Grants every lease; takes it back if not `refused`."""

    def __init__(self, refused: MeshError | None = None) -> None:
        self.released = False
        self._refused = refused

    async def upsert_account(self, *_: object) -> db.Account:
        return db.Account(epoch=1, trading_state=ACTIVE)

    async def acquire_lease(self, *_: object) -> db.Account:
        return db.Account(epoch=1, trading_state=ACTIVE)

    async def release_lease(self, *_: object) -> None:
        if self._refused:
            raise self._refused
        self.released = True

    async def outbox(self, *_: object) -> AsyncIterator[list[db.OutboxEntry]]:
        await asyncio.Event().wait()
        yield []


class Call:
    """A stream's context."""

    over: Callable[[object], None]

    def add_done_callback(self, callback: Callable[[object], None]) -> None:
        self.over = callback


REFUSED = MeshError(Reason.INVALID_ARGUMENT, "as a database of another version says")


@pytest.mark.parametrize(("farewell", "refused"), [(True, None), (False, None), (True, REFUSED)])
async def test_only_a_farewell_gives_the_lease_up(farewell: bool, refused: MeshError | None) -> None:
    """A stream that is cut may show as one that ends, while its agent may execute for as long as it was granted. A
    lease that can not be given up lapses, and ends no other lane."""

    async def requests() -> AsyncIterator[link.StreamSignalsRequest]:
        yield link.StreamSignalsRequest(clock=link.ClockProbe())
        if farewell:
            yield link.StreamSignalsRequest(farewell=link.AgentFarewell())

    database, said, unused = Database(refused), AgentSaid({}, False, link.AgentSafety()), cast(Any, None)
    stored: Any = database
    lane = AgentLane(HELLO, said, LaneTerms("e", 5_000), stored, Lanes(Draining()), Standing(), unused)
    await lane.run(requests())
    assert database.released is (farewell and not refused)
    assert [response.WhichOneof("kind") async for response in lane.responses()][:2] == ["joined", "trading_state"]


async def test_a_drain_does_not_wait_for_an_agent_whose_stream_is_over() -> None:
    """It had not taken what was said to it, so that the lane was full: later drains would be told to nobody."""
    probes, lanes, call = 0, Lanes(Draining()), cast(Any, Call())
    database, unused = cast(Any, Database()), cast(Any, None)

    async def requests() -> AsyncIterator[link.StreamSignalsRequest]:
        nonlocal probes
        yield link.StreamSignalsRequest(hello=GREETING)
        while True:
            probes += 1
            yield link.StreamSignalsRequest(clock=link.ClockProbe())

    async with asyncio.TaskGroup() as tasks:
        servicer = AgentLinkServicer(LaneTerms("e", 5_000), database, lanes, Standings(), unused, tasks)
        responses = servicer.StreamSignals(requests(), call)
        assert (await anext(responses)).HasField("joined")
        await eventually(lambda: lanes.executing(HELLO.account))
        await eventually(lambda: probes > 10)
        draining = tasks.create_task(lanes.drain())
        await asyncio.sleep(0)
        assert not draining.done()
        call.over(call)
        await asyncio.wait([draining], timeout=10)
        ended = draining.done()
        draining.cancel()
    assert ended
