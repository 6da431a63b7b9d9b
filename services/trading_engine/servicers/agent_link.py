"""AgentLinkService: where agents' lanes come in."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import grpc
from suho.trading.v1 import agent_link_pb2 as link
from suho.trading.v1 import agent_link_pb2_grpc, order_pb2

from services.trading_engine.agent_lane import AgentLane, LaneTerms
from services.trading_engine.agent_said import AgentSaid
from services.trading_engine.database import Database
from services.trading_engine.lanes import Hello, Lanes
from services.trading_engine.messages import account_id, invalid, name, symbol_specs
from services.trading_engine.order_board import OrderBoard
from services.trading_engine.standings import Standings


class AgentLinkServicer(agent_link_pb2_grpc.AgentLinkServiceServicer):
    """Opens a lane for each stream."""

    def __init__(
        self,
        terms: LaneTerms,
        database: Database,
        lanes: Lanes,
        standings: Standings,
        board: OrderBoard,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._terms = terms
        self._database = database
        self._lanes = lanes
        self._standings = standings
        self._board = board
        self._tasks = tasks

    async def StreamSignals(
        self,
        request_iterator: AsyncIterator[link.StreamSignalsRequest],
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> AsyncIterator[link.StreamSignalsResponse]:
        requests = aiter(request_iterator)
        first = await anext(requests, None)
        if first is None or not first.HasField("hello"):
            raise invalid("the first message of a stream is its hello")
        hello, said = hello_of(first.hello), said_of(first.hello)
        standing = self._standings.of(hello.account)
        lane = AgentLane(hello, said, self._terms, self._database, self._lanes, standing, self._board)
        # Beside the call and not inside this generator: only so does it end with the call, however that ends.
        # (A generator that is left while it yields is closed some time later, by somebody else's task.)
        work = self._tasks.create_task(lane.run(requests), name=f"lane of {lane.hello.agent}")

        def over(_: object) -> None:
            work.cancel()
            lane.end(None)  # nobody reads it any more: who waits for room on it need not

        context.add_done_callback(over)  # type: ignore[arg-type]  # the stubs' type fits no callable
        try:
            async for response in lane.responses():
                yield response
        finally:
            work.cancel()


def hello_of(message: link.AgentHello) -> Hello:
    """Raises MeshError INVALID_ARGUMENT."""
    if message.trade_mode == order_pb2.TRADE_MODE_UNSPECIFIED or message.trade_mode not in order_pb2.TradeMode.values():
        raise invalid(f"hello.trade_mode is {message.trade_mode or 'not set'}; say DEMO, CONTEST or REAL")
    return Hello(
        agent=name("hello.agent", message.agent),
        account=account_id(message.account),
        trade_mode=message.trade_mode,
        margin_mode=message.margin_mode,
        epoch=message.epoch,
        last_seq=message.last_seq,
        # Who does not name its ledger might have another one on each stream.
        ledger=name("hello.ledger", message.ledger or f"(not named) {uuid.uuid4()}"),
    )


def said_of(message: link.AgentHello) -> AgentSaid:
    """Raises MeshError INVALID_ARGUMENT."""
    return AgentSaid(
        symbols=symbol_specs(message.symbols),
        hedging=message.margin_mode == link.MARGIN_MODE_HEDGING,
        safety=message.safety,
    )
