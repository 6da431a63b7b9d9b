"""TradingService: what people ask of the engine."""

from collections.abc import AsyncIterator
from typing import Any, NoReturn

import grpc
from suho.database.v1 import order_service_pb2 as db
from suho.trading.v1 import order_pb2, trading_pb2_grpc
from suho.trading.v1 import trading_pb2 as pb

from mesh.clock import unix_ns
from services.trading_engine.config import EngineSettings
from services.trading_engine.database import Database
from services.trading_engine.desk import Desk
from services.trading_engine.domain import decimals
from services.trading_engine.domain.order import Intent
from services.trading_engine.lanes import Lanes
from services.trading_engine.messages import account_id, account_ref, decimal, invalid, name, side
from services.trading_engine.order_board import OrderBoard

Context = grpc.aio.ServicerContext[Any, Any]


class TradingServicer(trading_pb2_grpc.TradingServiceServicer):
    """Checks what is asked and passes it on."""

    def __init__(
        self, settings: EngineSettings, desk: Desk, database: Database, lanes: Lanes, board: OrderBoard
    ) -> None:
        self._settings = settings
        self._desk = desk
        self._database = database
        self._lanes = lanes
        self._board = board

    async def SubmitSignal(self, request: pb.SubmitSignalRequest, context: Context) -> pb.SubmitSignalResponse:
        order, duplicate = await self._desk.submit(self._intent(request))
        return pb.SubmitSignalResponse(order=order, duplicate=duplicate)

    async def WatchOrder(self, request: pb.WatchOrderRequest, context: Context) -> AsyncIterator[pb.WatchOrderResponse]:
        async for order in self._board.follow(name("signal_id", request.signal_id)):
            yield pb.WatchOrderResponse(order=order)

    async def ListOrders(self, request: pb.ListOrdersRequest, context: Context) -> pb.ListOrdersResponse:
        asked = db.ListOrdersRequest(states=request.states, page=request.page)
        if request.HasField("account"):
            asked.account.CopyFrom(account_ref(account_id(request.account)))
        found = await self._database.orders(asked)
        return pb.ListOrdersResponse(orders=found.orders, page=found.page)

    async def ListAccounts(self, request: pb.ListAccountsRequest, context: Context) -> pb.ListAccountsResponse:
        return pb.ListAccountsResponse(
            accounts=[
                pb.AccountStatus(
                    account=account.account,
                    trade_mode=account.trade_mode,
                    trading_state=account.trading_state,
                    agent=self._lanes.agent(account_id(account.account)),
                    open_orders=account.open_orders,
                )
                for account in await self._database.accounts()
            ]
        )

    async def SetTradingState(self, request: pb.SetTradingStateRequest, context: Context) -> pb.SetTradingStateResponse:
        if not request.trading_state or request.trading_state not in order_pb2.TradingState.values():
            raise invalid("trading_state is not set; say ACTIVE, REDUCING or HALTED")
        account = await self._database.set_trading_state(
            db.SetTradingStateRequest(
                account=account_ref(account_id(request.account)),
                trading_state=request.trading_state,
                reason=request.reason,
            )
        )
        return pb.SetTradingStateResponse(trading_state=account.trading_state)

    async def GetTradingStats(self, request: pb.GetTradingStatsRequest, context: Context) -> pb.GetTradingStatsResponse:
        stats = await self._database.stats()
        return pb.GetTradingStatsResponse(
            orders=[pb.OrderStateCount(state=item.state, count=item.count) for item in stats.orders],
            signal_executed_p50_ms=stats.signal_executed_p50_ms,
            signal_executed_p99_ms=stats.signal_executed_p99_ms,
        )

    async def GetOrder(self, request: pb.GetOrderRequest, context: Context) -> pb.GetOrderResponse:
        await _not_yet(context)

    async def ListPositions(self, request: pb.ListPositionsRequest, context: Context) -> pb.ListPositionsResponse:
        await _not_yet(context)

    async def ListExternalDeals(
        self, request: pb.ListExternalDealsRequest, context: Context
    ) -> pb.ListExternalDealsResponse:
        await _not_yet(context)

    async def ListMarketConditions(
        self, request: pb.ListMarketConditionsRequest, context: Context
    ) -> pb.ListMarketConditionsResponse:
        await _not_yet(context)

    def _intent(self, request: pb.SubmitSignalRequest) -> Intent:
        longest = self._settings.signal_valid_max_ms
        if request.valid_for_ms > longest:
            raise invalid(f"valid_for_ms is {request.valid_for_ms}; at most {longest}, or 0 for the default")
        now_ns = unix_ns()
        return Intent(
            signal_id=name("signal_id", request.signal_id),
            account=account_id(request.account),
            symbol=name("symbol", request.symbol),
            side=side(request.side),
            volume=decimal(decimals.positive, "volume", request.volume),
            stop_loss=decimal(decimals.price, "stop_loss", request.stop_loss),
            take_profit=decimal(decimals.price, "take_profit", request.take_profit),
            strategy="",
            submitted_unix_ns=now_ns,
            not_after_unix_ms=now_ns // 1_000_000 + (request.valid_for_ms or self._settings.signal_valid_ms),
        )


async def _not_yet(context: Context) -> NoReturn:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this method comes with the next change")
