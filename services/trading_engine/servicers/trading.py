"""TradingService: what people ask of the engine."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from suho.database.v1 import order_service_pb2 as db
from suho.trading.v1 import order_pb2, trading_pb2_grpc
from suho.trading.v1 import trading_pb2 as pb

from mesh.clock import unix_ns
from mesh.errors import MeshError, Reason
from services.trading_engine import peers
from services.trading_engine.accounts_everywhere import AccountsEverywhere
from services.trading_engine.config import EngineSettings
from services.trading_engine.database import Database
from services.trading_engine.desk import Desk
from services.trading_engine.domain.order import Intent
from services.trading_engine.messages import account_id, account_ref, intent_of, invalid, name
from services.trading_engine.order_board import OrderBoard
from services.trading_engine.peers import Answer, Peers
from services.trading_engine.trading_control import TradingControl, checked

Context = grpc.aio.ServicerContext[Any, Any]


class TradingServicer(trading_pb2_grpc.TradingServiceServicer):
    """Checks what is asked and passes it on."""

    def __init__(
        self,
        settings: EngineSettings,
        desk: Desk,
        control: TradingControl,
        accounts: AccountsEverywhere,
        database: Database,
        board: OrderBoard,
        others: Peers,
    ) -> None:
        self._settings = settings
        self._desk = desk
        self._control = control
        self._accounts = accounts
        self._database = database
        self._board = board
        self._others = others

    async def SubmitSignal(self, request: pb.SubmitSignalRequest, context: Context) -> pb.SubmitSignalResponse:
        order, duplicate = await self._desk.submit(self._intent(request))
        return pb.SubmitSignalResponse(order=order, duplicate=duplicate)

    async def WatchOrder(self, request: pb.WatchOrderRequest, context: Context) -> AsyncIterator[pb.WatchOrderResponse]:
        async for order in self._board.follow(name("signal_id", request.signal_id)):
            yield pb.WatchOrderResponse(order=order)

    async def GetOrder(self, request: pb.GetOrderRequest, context: Context) -> pb.GetOrderResponse:
        found = await self._database.order_with_events(name("signal_id", request.signal_id))
        return pb.GetOrderResponse(order=found.order, events=found.events)

    async def ListOrders(self, request: pb.ListOrdersRequest, context: Context) -> pb.ListOrdersResponse:
        asked = db.ListOrdersRequest(states=request.states, page=request.page)
        if request.HasField("account"):
            asked.account.CopyFrom(account_ref(account_id(request.account)))
        found = await self._database.orders(asked)
        return pb.ListOrdersResponse(orders=found.orders, page=found.page)

    async def ListAccounts(self, request: pb.ListAccountsRequest, context: Context) -> pb.ListAccountsResponse:
        return await self._accounts.statuses()

    async def ListPositions(self, request: pb.ListPositionsRequest, context: Context) -> pb.ListPositionsResponse:
        return await self._accounts.positions(request)

    async def ListMarketConditions(
        self, request: pb.ListMarketConditionsRequest, context: Context
    ) -> pb.ListMarketConditionsResponse:
        return await self._accounts.market(request)

    async def ListExternalDeals(
        self, request: pb.ListExternalDealsRequest, context: Context
    ) -> pb.ListExternalDealsResponse:
        asked = db.ListDealsRequest(page=request.page)
        if request.HasField("account"):
            asked.account.CopyFrom(account_ref(account_id(request.account)))
        found = await self._database.deals(asked)
        return pb.ListExternalDealsResponse(deals=found.deals, page=found.page)

    async def SetTradingState(self, request: pb.SetTradingStateRequest, context: Context) -> pb.SetTradingStateResponse:
        engine = await self._accounts.engine_of(account_id(checked(request).account))
        if not engine:
            return await self._control.set_state(request)
        try:
            return await self._others.ask(engine, peers.SET_STATE, request, pb.SetTradingStateResponse)
        except MeshError as error:
            if error.reason is not Reason.ENGINE_AWAY:
                raise
            return await self._set_without(request, error)

    async def _set_without(self, request: pb.SetTradingStateRequest, away: MeshError) -> pb.SetTradingStateResponse:
        """While the agent's engine is away: the database has the say, and every agent asks it by its lease."""
        flatten, request.flatten = request.flatten, False
        answer = await self._control.set_state(request)
        if flatten:
            raise MeshError(away.reason, f"it is HALTED, but nobody knows whether anything was closed: {away.message}")
        return answer

    async def BeginEpoch(self, request: pb.BeginEpochRequest, context: Context) -> pb.BeginEpochResponse:
        begun = await self._database.begin_epoch(account_id(request.account), request.left_epoch)
        return pb.BeginEpochResponse(epoch=begun.epoch)

    async def GetTradingStats(self, request: pb.GetTradingStatsRequest, context: Context) -> pb.GetTradingStatsResponse:
        stats = await self._database.stats()
        return pb.GetTradingStatsResponse(
            orders=[pb.OrderStateCount(state=item.state, count=item.count) for item in stats.orders],
            signal_executed_p50_ms=stats.signal_executed_p50_ms,
            signal_executed_p99_ms=stats.signal_executed_p99_ms,
        )

    def _intent(self, request: pb.SubmitSignalRequest) -> Intent:
        longest = self._settings.signal_valid_max_ms
        if request.valid_for_ms > longest:
            raise invalid(f"valid_for_ms is {request.valid_for_ms}; at most {longest}, or 0 for the default")
        now_ns = unix_ns()
        not_after = now_ns // 1_000_000 + (request.valid_for_ms or self._settings.signal_valid_ms)
        return intent_of(request, "", now_ns, not_after)


def answers(desk: Desk, control: TradingControl, accounts: AccountsEverywhere) -> dict[str, Answer]:
    """What other engines may ask of this one, about accounts whose agents are here."""

    async def submit(order: order_pb2.Order) -> pb.SubmitSignalResponse:
        committed = await desk.submit_here(order)
        return pb.SubmitSignalResponse(order=committed.order, duplicate=committed.duplicate)

    return {
        peers.SUBMIT: (order_pb2.Order, submit),
        peers.SET_STATE: (pb.SetTradingStateRequest, control.set_state),
        peers.POSITIONS: (pb.ListPositionsRequest, accounts.positions_here),
        peers.MARKET: (pb.ListMarketConditionsRequest, accounts.market_here),
        peers.ACCOUNTS: (pb.ListAccountsRequest, accounts.statuses_here),
    }
