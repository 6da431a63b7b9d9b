"""A halt that closes what is open."""

import asyncio
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from suho.database.v1 import order_service_pb2 as db
from suho.trading.v1 import agent_link_pb2 as link
from suho.trading.v1 import order_pb2
from suho.trading.v1 import trading_pb2 as pb

from mesh.errors import MeshError, Reason
from services.trading_engine import flattening
from services.trading_engine.agent_said import AgentSaid
from services.trading_engine.desk import Committed
from services.trading_engine.domain.order import AccountId, Books, HeldPosition, Intent, Side, WorkingOrder
from services.trading_engine.trading_control import TradingControl

HALT = pb.SetTradingStateRequest(trading_state=order_pb2.TRADING_STATE_HALTED, flatten=True, request_id="r")
HALT.account.server, HALT.account.login = "broker", 42
BOOKS = Books(
    {ticket: HeldPosition(ticket, "EURUSD", Side.BUY, Decimal("0.1"), "s") for ticket in range(10, 20)},
    {ticket: WorkingOrder(ticket, "EURUSD", "s") for ticket in (1, 2, 3)},
)


class Look(NamedTuple):
    """What there is: entries under way, what the engine counts, what the agent shows."""

    coming: int
    counted: str
    books: Books


class World:
    """An account that goes on by one look each time its orders are listed; its agent is here."""

    def __init__(self, *looks: Look) -> None:
        self.looks = list(looks or [Look(0, "1", BOOKS)])
        self.close_state = order_pb2.ORDER_STATE_PENDING

    async def set_trading_state(self, request: db.SetTradingStateRequest) -> db.Account:
        return db.Account(trading_state=request.trading_state)

    async def orders(self, request: db.ListOrdersRequest) -> db.ListOrdersResponse:
        if len(self.looks) > 1:
            self.looks.pop(0)
        coming = order_pb2.Order(kind=order_pb2.ORDER_KIND_MARKET, state=order_pb2.ORDER_STATE_ACCEPTED)
        return db.ListOrdersResponse(orders=[coming] * self.looks[0].coming)

    async def account(self, account: AccountId) -> db.Account:
        counted = db.Exposure(symbol="EURUSD", net_volume=self.looks[0].counted)
        return db.Account(trading_state=order_pb2.TRADING_STATE_HALTED, exposures=[counted])

    async def order(self, signal_id: str) -> order_pb2.Order:
        return order_pb2.Order(kind=order_pb2.ORDER_KIND_CLOSE, state=self.close_state)

    def executing(self, account: AccountId) -> Any:
        said = AgentSaid({}, False, link.AgentSafety(), books=self.looks[0].books)
        return SimpleNamespace(said=said, tell_state=lambda account: None)


class Desk:
    """Refuses or denies what `refused` says, by ticket."""

    def __init__(self, refused: dict[int, Exception | str]) -> None:
        self.refused = refused
        self.taken: list[int] = []
        self.open = asyncio.Event()
        self.open.set()

    async def submit(self, intent: Intent) -> Committed:
        await self.open.wait()
        ticket = intent.order_ticket or intent.position
        why = self.refused.get(ticket)
        if isinstance(why, Exception):
            raise why
        if why:
            return Committed(order_pb2.Order(state=order_pb2.ORDER_STATE_DENIED, message=why), False)
        self.taken.append(ticket)
        return Committed(order_pb2.Order(state=order_pb2.ORDER_STATE_PENDING), False)


def holding(*tickets: int) -> Books:
    return Books({ticket: BOOKS.positions[ticket] for ticket in tickets})


async def flattened(desk: Desk, world: World | None = None) -> pb.SetTradingStateResponse:
    world = world or World()
    error: MeshError | None = None
    async with asyncio.TaskGroup() as tasks:
        control = TradingControl(world, world, desk, tasks)  # type: ignore[arg-type]
        try:
            return await control.set_state(HALT)
        except MeshError as refused:  # not out of a group: it would be wrapped
            error = refused
    raise error


async def test_what_can_not_be_closed_keeps_nothing_else_open() -> None:
    """A removal that fails, a close that is denied, an accident: all others are asked for, the refusal tells what
    stays."""
    desk = Desk({2: MeshError(Reason.ACCOUNT_MOVED, "it moved"), 10: "EURUSD is frozen", 19: KeyError("a bug")})
    with pytest.raises(MeshError) as refused:
        await flattened(desk)
    assert desk.taken == [1, 3, *range(11, 19)]
    assert refused.value.reason is Reason.NOT_ALL_CLOSED
    for words in ("2 pending order(s)", "8 position(s)", "3 stay: order 2: it moved; position 10: EURUSD is frozen"):
        assert words in refused.value.message


async def test_whoever_asked_may_leave() -> None:
    """What was begun is asked for to its end: a command that is broken off leaves nothing half closed."""
    desk, world = Desk({}), World()
    desk.open.clear()
    async with asyncio.TaskGroup() as tasks:
        control = TradingControl(world, world, desk, tasks)  # type: ignore[arg-type]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await control.set_state(HALT)
        assert not desk.taken
        desk.open.set()
    assert desk.taken == [1, 2, 3, *range(10, 20)]


async def test_what_is_gone_meanwhile_is_no_failure() -> None:
    """Its stop was met, or somebody else closed it."""
    desk = Desk({11: MeshError(Reason.UNKNOWN_TICKET, "no position 11")})
    answer = await flattened(desk)
    assert (len(answer.removal_ids), len(answer.signal_ids)) == (3, 9)


async def test_a_refusal_stays_short_however_much_is_left() -> None:
    """It travels in a header."""
    desk = Desk(dict.fromkeys(range(1, 20), MeshError(Reason.ACCOUNT_MOVED, "it moved " * 10)))
    with pytest.raises(MeshError, match=r"13 stay: order 1: .*; and 8 more") as refused:
        await flattened(desk)
    assert len(refused.value.message) < 1000


async def test_what_an_entry_under_way_brings_is_closed_too() -> None:
    """It is filled, and a moment later it is shown."""
    desk, nothing = Desk({}), holding()
    world = World(Look(0, "0", nothing), Look(1, "0", nothing), Look(0, "0.1", nothing), Look(0, "0.1", holding(10)))
    assert len((await flattened(desk, world)).signal_ids) == 1
    assert desk.taken == [10]


async def test_a_position_that_grew_while_it_was_closed_is_closed_again() -> None:
    """On a netting account an entry is filled into it."""
    desk = Desk({})
    world = World(Look(0, "0", holding()), Look(1, "0", holding(10)), Look(0, "0.1", holding(10)))
    world.close_state = order_pb2.ORDER_STATE_FILLED
    answer = await flattened(desk, world)
    assert (desk.taken, len(answer.signal_ids)) == ([10, 10], 1)


async def test_what_stays_under_way_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """An order in doubt may be a position yet."""
    monkeypatch.setattr(flattening, "_LONGEST_S", 0.0)
    with pytest.raises(MeshError, match=r"1 position\(s\) closed, but 1 stay: 2 order\(s\) under way") as refused:
        await flattened(Desk({}), World(Look(2, "0.1", holding(10))))
    assert refused.value.reason is Reason.NOT_ALL_CLOSED
