"""What goes down a lane."""

from typing import Any, cast

from suho.database.v1 import order_service_pb2 as db
from suho.trading.v1 import agent_link_pb2 as link
from suho.trading.v1 import order_pb2

from mesh.draining import Draining
from services.trading_engine.agent_lane import AgentLane, LaneTerms
from services.trading_engine.agent_said import AgentSaid
from services.trading_engine.domain.order import AccountId
from services.trading_engine.lanes import Hello, Lanes
from services.trading_engine.standings import Standing

ACTIVE, HALTED = order_pb2.TRADING_STATE_ACTIVE, order_pb2.TRADING_STATE_HALTED
REDUCING = order_pb2.TRADING_STATE_REDUCING
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
