"""A lane's room, answers and end."""

import asyncio

import pytest

from mesh.errors import MeshError
from mesh.market import TickId
from services.data_bridge.domain.progress import SymbolKey
from services.data_bridge.lane import Answers, Lane

KEY = SymbolKey("twin-1", "EURUSD")


async def answers_of(lane: Lane) -> list[Answers]:
    async with asyncio.timeout(30):
        return [answers async for answers in lane.answers()]


async def test_a_lane_has_room_for_so_many_messages() -> None:
    """Reading stops while as many are unacknowledged, and goes on when one is settled."""
    lane = Lane("pc-1", 1, 0, 2)
    await lane.room()
    await lane.room()
    parcel = lane.admit(3)
    async with asyncio.TaskGroup() as tasks:
        third = tasks.create_task(lane.room())
        parcel.settle_one()
        parcel.settle_one()
        assert not (await asyncio.wait([third], timeout=0.05))[0]
        parcel.settle_one()


async def test_answers_gather_until_they_are_sent() -> None:
    """Acknowledgements are cumulative: only the newest of a symbol is said."""
    lane = Lane("pc-1", 1, 0, 8)
    for time_msc in (1, 2, 3):
        lane.acknowledge(KEY, TickId(time_msc, 0))
    lane.end()
    assert [answers.acks for answers in await answers_of(lane)] == [{KEY: TickId(3, 0)}]


async def test_a_lane_ends_after_what_is_under_way() -> None:
    """A drained lane says so, then acknowledges the last message, then ends."""
    lane = Lane("pc-1", 1, 0, 8)
    await lane.room()
    parcel = lane.admit(1)
    lane.drain("stopping")
    said = lane.answers()
    assert (await anext(said)).drain == "stopping"
    lane.acknowledge(KEY, TickId(1, 0))
    parcel.settle_one()
    assert (await anext(said)).acks == {KEY: TickId(1, 0)}
    with pytest.raises(StopAsyncIteration):
        await anext(said)


async def test_a_failure_is_raised_after_what_was_answered() -> None:
    """What was acknowledged before the contract was broken is still said."""
    lane = Lane("pc-1", 1, 0, 8)
    lane.acknowledge(KEY, TickId(1, 0))
    with pytest.raises(MeshError, match="not open") as broken:
        lane.require_open(KEY)
    lane.end(broken.value)
    said = lane.answers()
    assert (await anext(said)).acks
    with pytest.raises(MeshError):
        await anext(said)


async def test_a_cursor_is_told_again_after_progress() -> None:
    """The same cursor is said once, until a batch was taken or the symbol opened again."""
    lane = Lane("pc-1", 1, 0, 8)
    said = lane.answers()
    lane.out_of_sync(KEY, TickId(1, 0))
    assert (await anext(said)).out_of_sync == {KEY: TickId(1, 0)}
    lane.out_of_sync(KEY, TickId(1, 0))
    lane.acknowledge(KEY, TickId(1, 0))
    assert not (await anext(said)).out_of_sync
    lane.out_of_sync(KEY, TickId(1, 0))
    assert (await anext(said)).out_of_sync == {KEY: TickId(1, 0)}
