"""Who has an account here, as streams come and go."""

from typing import Any, cast

from suho.trading.v1 import agent_link_pb2 as link
from suho.trading.v1 import order_pb2

from mesh.draining import Draining
from services.trading_engine.agent_lane import AgentLane, LaneTerms
from services.trading_engine.agent_said import AgentSaid
from services.trading_engine.domain.order import AccountId
from services.trading_engine.lanes import Hello, Lanes
from services.trading_engine.standings import Standing

ACCOUNT = AccountId("broker", 42)
HELLO = Hello("pc-1", ACCOUNT, order_pb2.TRADE_MODE_DEMO, link.MARGIN_MODE_NETTING, 0, 0, "ledger-1")


def lane_of(lanes: Lanes) -> AgentLane:
    """One that stands by."""
    said, unused = AgentSaid({}, False, link.AgentSafety()), cast(Any, None)
    lane = AgentLane(HELLO, said, LaneTerms("e", 5_000), unused, lanes, Standing(), unused)
    lanes.stand_by(lane)
    return lane


async def test_a_stream_that_joins_late_leaves_the_newer_one_its_place() -> None:
    """The lease came to the older one when the same agent's next stream stood by already."""
    lanes = Lanes(Draining())
    older, newer = lane_of(lanes), lane_of(lanes)
    await lanes.join(older)
    assert lanes.standing_by(ACCOUNT) == ["pc-1"]
    assert lanes.leave(older)
    await lanes.join(newer)
    assert lanes.executing(ACCOUNT) is newer


async def test_a_stream_joins_though_the_newer_one_has_left_already() -> None:
    """It is about to end, and leaves as it came."""
    lanes = Lanes(Draining())
    older, newer = lane_of(lanes), lane_of(lanes)
    assert not lanes.leave(newer)
    await lanes.join(older)
    assert (lanes.executing(ACCOUNT), lanes.standing_by(ACCOUNT)) == (older, [])
