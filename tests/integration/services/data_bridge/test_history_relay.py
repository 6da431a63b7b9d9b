"""Questions and answers on a real NATS, with a lane that a test plays."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from nats.aio.client import Client
from suho.market.v1 import bridge_pb2 as pb
from suho.market.v1 import tick_pb2

import services.data_bridge.history
from mesh.errors import MeshError, Reason
from mesh.market.subjects import history_subject
from services.data_bridge import wire
from services.data_bridge.domain import judgement
from services.data_bridge.domain.audit import Span
from services.data_bridge.domain.progress import Arrival, SymbolKey
from services.data_bridge.domain.terminal import Resent
from services.data_bridge.history import HistoryRelay
from services.data_bridge.lane import Lane
from services.data_bridge.terminals import AgentTerminals
from tests.integration.services.data_bridge.ticks import SERVER, START_MSC, history
from tests.support import eventually

pytestmark = pytest.mark.integration

KEY = SymbolKey(SERVER, "XAU.USD #1")
# Nobody is to be taken for silent because the machine is slow.
SILENCE_S = 30.0


class AskedLane:
    """A lane: what was asked on it, and what it does then."""

    def __init__(self, agent: str = "pc-1") -> None:
        self.agent = agent
        self.asked: list[pb.HistoryRequest] = []
        self.on_ask: Callable[[pb.HistoryRequest], None] = lambda _: None

    def ask(self, request: pb.HistoryRequest) -> None:
        self.asked.append(request)
        self.on_ask(request)


class _Unchanged:
    def changed(self, agent: str, change: Any) -> None: ...


@asynccontextmanager
async def relaying(
    bus: Client, lane: AskedLane | None, bridge: str = "bridge-1", silence_s: float = SILENCE_S
) -> AsyncIterator[HistoryRelay]:
    """A relay of a bridge that holds the lane, or none."""
    held = cast("Lane | None", lane)
    relay = HistoryRelay(bus, bridge, lambda key: held if key == KEY else None, _Unchanged(), silence_s)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(relay.run())
        await asyncio.sleep(0)
        await bus.flush()
        yield relay
        running.cancel()


def resent(batch: Any, number: int) -> Resent:
    return Resent(number, Arrival(batch, wire.payload(batch), judgement.flaw(batch)))


def terminals(bus: Client, streamed: bool = True) -> AgentTerminals:
    return AgentTerminals(bus, lambda _: streamed, SILENCE_S)


async def test_ticks_that_are_sent_again_arrive_whole(bus: Client) -> None:
    """In order, however many messages they took; bridges that do not hold the lane stay silent."""
    lane, ticks = AskedLane(), history(500, KEY.symbol)
    async with relaying(bus, None, "bridge-2"), relaying(bus, lane) as relay:

        def answer(request: pb.HistoryRequest) -> None:
            for piece in ticks.chunks(70):
                relay.answered(cast(Lane, lane), [resent(piece, request.request)], [])
            relay.answered(cast(Lane, lane), [], [pb.HistoryAnswer(request=request.request)])

        lane.on_ask = answer
        found = await terminals(bus).ticks(KEY, START_MSC, START_MSC + 1000)
    assert found is not None
    assert wire.payload(found) == wire.payload(ticks)
    asked = lane.asked[0]
    assert (asked.question, asked.from_msc, asked.to_msc) == (
        pb.HISTORY_QUESTION_RESEND,
        START_MSC,
        START_MSC + 1000,
    )


async def test_what_an_agent_refuses_is_passed_on(bus: Client) -> None:
    """Its own sentence, as HISTORY_UNAVAILABLE; answers to questions that nobody asked change nothing."""
    lane = AskedLane()
    async with relaying(bus, lane) as relay:
        lane.on_ask = lambda request: relay.answered(
            cast(Lane, lane),
            [resent(history(3), 77)],
            [pb.HistoryAnswer(request=78), pb.HistoryAnswer(request=request.request, error="no such symbol")],
        )
        with pytest.raises(MeshError, match="pc-1 says: no such symbol") as refused:
            await terminals(bus).position(KEY)
    assert refused.value.reason is Reason.HISTORY_UNAVAILABLE


async def test_what_was_not_asked_for_is_no_answer(bus: Client) -> None:
    """Ticks of another symbol or time, and digests of other stretches, would be written where they do not belong."""
    lane, span = AskedLane(), Span(START_MSC, START_MSC + 1000, 1000)
    async with relaying(bus, lane) as relay:
        for wrong in (history(3, "EURUSD"), history(3, KEY.symbol, start_msc=START_MSC + 1000)):
            lane.on_ask = lambda request, batch=wrong: relay.answered(  # type: ignore[misc]
                cast(Lane, lane), [resent(batch, request.request)], [pb.HistoryAnswer(request=request.request)]
            )
            with pytest.raises(MeshError, match="other ticks than it was asked for"):
                await terminals(bus).ticks(KEY, span.from_msc, span.to_msc)
        other = tick_pb2.TickDigest(from_msc=START_MSC - 1000, to_msc=START_MSC, count=1)
        lane.on_ask = lambda request: relay.answered(
            cast(Lane, lane), [], [pb.HistoryAnswer(request=request.request, digests=[other])]
        )
        with pytest.raises(MeshError, match="other stretches"):
            await terminals(bus).digests(KEY, span)


async def test_a_flood_is_refused(bus: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast it is passed on: whoever asked holds it all."""
    monkeypatch.setattr(services.data_bridge.history, "_MOST_BYTES", 20_000)
    lane, ticks = AskedLane(), history(50, KEY.symbol)
    async with relaying(bus, lane) as relay, asyncio.TaskGroup() as tasks:

        async def flood(number: int) -> None:
            for _ in range(100):
                relay.answered(cast(Lane, lane), [resent(ticks, number)], [])
                await asyncio.sleep(0.001)

        lane.on_ask = lambda request: tasks.create_task(flood(request.request))  # type: ignore[assignment]
        with pytest.raises(MeshError, match="more ticks than are sent at once"):
            await terminals(bus).ticks(KEY, START_MSC, START_MSC + 1000)


async def test_a_silent_agent_is_given_up(bus: Client) -> None:
    """After the time that it may say nothing; the question is forgotten then."""
    lane = AskedLane()
    async with relaying(bus, lane, silence_s=0.3) as relay:
        with pytest.raises(MeshError, match=r"said nothing for 0\.3 s"):
            await terminals(bus).digests(KEY, Span(START_MSC, START_MSC + 1000, 1000))
        late = [pb.HistoryAnswer(request=lane.asked[0].request)]
        relay.answered(cast(Lane, lane), [], late)


async def test_an_agent_is_asked_only_so_much_at_once(bus: Client) -> None:
    """One question too many is refused at once, and does not reach the agent."""
    lane = AskedLane()
    async with relaying(bus, lane) as relay, asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(terminals(bus).position(KEY)) for _ in range(8)]
        await eventually(lambda: len(lane.asked) == 8)
        with pytest.raises(MeshError, match="8 questions"):
            await terminals(bus).position(KEY)
        answers = [pb.HistoryAnswer(request=request.request) for request in lane.asked]
        relay.answered(cast(Lane, lane), [], answers)
        await asyncio.gather(*waiting)
    assert len(lane.asked) == 8


async def test_nobody_streams_it(bus: Client) -> None:
    """NO_SOURCE: at once where no lease says so, or where no bridge is there to hear it."""
    for asking in (terminals(bus, streamed=False), terminals(bus)):
        with pytest.raises(MeshError, match="no agent streams") as refused:
            await asking.position(KEY)
        assert refused.value.reason is Reason.NO_SOURCE
    assert await terminals(bus).trace(KEY) == (None, None)


async def test_a_stray_message_ends_nothing(bus: Client) -> None:
    """What is no question is refused, and the next one is answered."""
    lane = AskedLane()
    async with relaying(bus, lane) as relay:
        await bus.publish(history_subject(*KEY), b"\xff\xff\xff", reply="nowhere")
        await bus.publish("history.=FF.x", b"", reply="nowhere")
        await bus.publish(history_subject(*KEY), b"")
        lane.on_ask = lambda request: relay.answered(
            cast(Lane, lane), [], [pb.HistoryAnswer(request=request.request, position=pb.AgentPosition(lane=3))]
        )
        assert (await terminals(bus).position(KEY)).lane == 3
