"""OrderService."""

from collections.abc import AsyncIterator
from typing import Any

from suho.common.v1 import page_pb2
from suho.database.v1 import order_service_pb2 as pb
from suho.database.v1 import order_service_pb2_grpc

from services.database.postgres.accounts import Accounts
from services.database.postgres.agent_leases import AgentLeases, Holder
from services.database.postgres.deals import Deals
from services.database.postgres.epochs import Epochs
from services.database.postgres.orders import Orders
from services.database.postgres.outbox import Outbox
from services.database.postgres.pool import Postgres
from services.database.postgres.reports import Reports
from services.database.servicers import order_messages as edge
from services.database.servicers.deal_messages import deal, deal_message
from services.database.servicers.edge import account_ref, invalid, number, page, phrase, word

_MOST_REPORTS = 1000


class OrderServicer(order_service_pb2_grpc.OrderServiceServicer):
    def __init__(self, postgres: Postgres, outbox: Outbox) -> None:
        self._accounts = Accounts(postgres)
        self._orders = Orders(postgres)
        self._reports = Reports(postgres)
        self._deals = Deals(postgres)
        self._leases = AgentLeases(postgres)
        self._epochs = Epochs(postgres)
        self._outbox = outbox

    async def UpsertAccount(self, request: pb.UpsertAccountRequest, context: Any) -> pb.UpsertAccountResponse:
        account = await self._accounts.upsert(
            account_ref(request.account), edge.trade_mode(request.trade_mode), edge.margin_mode(request.margin_mode)
        )
        return pb.UpsertAccountResponse(account=edge.account_message(account))

    async def ListAccounts(self, request: pb.ListAccountsRequest, context: Any) -> pb.ListAccountsResponse:
        if request.HasField("account"):
            found = [await self._accounts.get(account_ref(request.account))]
        else:
            found = await self._accounts.list()
        return pb.ListAccountsResponse(accounts=[edge.account_message(account) for account in found])

    async def SetTradingState(self, request: pb.SetTradingStateRequest, context: Any) -> pb.SetTradingStateResponse:
        account = await self._accounts.set_trading_state(
            account_ref(request.account),
            edge.trading_state(request.trading_state),
            phrase("reason", request.reason),
            request.allowed_on_pc,
        )
        return pb.SetTradingStateResponse(account=edge.account_message(account))

    async def BeginEpoch(self, request: pb.BeginEpochRequest, context: Any) -> pb.BeginEpochResponse:
        left = number("left_epoch", request.left_epoch, least=1)
        account = await self._epochs.begin(account_ref(request.account), left)
        return pb.BeginEpochResponse(account=edge.account_message(account))

    async def CommitIntent(self, request: pb.CommitIntentRequest, context: Any) -> pb.CommitIntentResponse:
        revision = number("account_revision", request.account_revision)
        ledger = phrase("ledger", request.ledger)
        order, duplicate = await self._orders.commit_intent(edge.intent(request.order), revision, ledger)
        return pb.CommitIntentResponse(order=edge.order_message(order), duplicate=duplicate)

    async def WatchOutbox(self, request: pb.WatchOutboxRequest, context: Any) -> AsyncIterator[pb.WatchOutboxResponse]:
        watch = self._outbox.watch(
            account_ref(request.account),
            number("epoch", request.epoch),
            number("after_seq", request.after_seq),
            number("to_seq", request.to_seq),
            word("ledger", request.ledger),
        )
        async for entries in watch:
            yield pb.WatchOutboxResponse(
                entries=[
                    pb.OutboxEntry(order=edge.order_message(entry.order), redelivered=entry.redelivered)
                    for entry in entries
                ]
            )

    async def RecordReports(self, request: pb.RecordReportsRequest, context: Any) -> pb.RecordReportsResponse:
        if len(request.reports) > _MOST_REPORTS:
            raise invalid(f"{len(request.reports)} reports are too many for one call; send at most {_MOST_REPORTS}")
        orders, accounts = await self._reports.record([edge.report(report) for report in request.reports])
        return pb.RecordReportsResponse(
            orders=[edge.order_message(order) for order in orders],
            accounts=[edge.account_message(account) for account in accounts],
        )

    async def RecordDeals(self, request: pb.RecordDealsRequest, context: Any) -> pb.RecordDealsResponse:
        if len(request.deals) > _MOST_REPORTS:
            raise invalid(f"{len(request.deals)} deals are too many for one call; send at most {_MOST_REPORTS}")
        found = [deal(message) for message in request.deals]
        account = await self._deals.record(account_ref(request.account), found)
        return pb.RecordDealsResponse(account=edge.account_message(account))

    async def ListDeals(self, request: pb.ListDealsRequest, context: Any) -> pb.ListDealsResponse:
        account = account_ref(request.account) if request.HasField("account") else None
        before, size = page(request.page)
        found = await self._deals.page(account, before, size + 1)
        return pb.ListDealsResponse(
            deals=[deal_message(ref, one) for ref, one in found[:size]],
            page=page_pb2.PageInfo(next_token=str(found[size - 1][1].id) if len(found) > size else ""),
        )

    async def AcquireLease(self, request: pb.AcquireLeaseRequest, context: Any) -> pb.AcquireLeaseResponse:
        ref, holder = account_ref(request.account), _holder(request)
        valid_for_ms = number("valid_for_ms", request.valid_for_ms, least=1)
        if request.renew:
            account = await self._leases.renew(ref, holder, valid_for_ms)
        else:
            account = await self._leases.acquire(ref, holder, word("grant_id", request.grant_id), valid_for_ms)
        return pb.AcquireLeaseResponse(account=edge.account_message(account))

    async def ReleaseLease(self, request: pb.ReleaseLeaseRequest, context: Any) -> pb.ReleaseLeaseResponse:
        await self._leases.release(account_ref(request.account), word("grant_id", request.grant_id))
        return pb.ReleaseLeaseResponse()

    async def GetOrder(self, request: pb.GetOrderRequest, context: Any) -> pb.GetOrderResponse:
        order = await self._orders.get(word("signal_id", request.signal_id))
        events = await self._orders.events(order.signal_id)
        return pb.GetOrderResponse(
            order=edge.order_message(order), events=[edge.event_message(event) for event in events]
        )

    async def ListOrders(self, request: pb.ListOrdersRequest, context: Any) -> pb.ListOrdersResponse:
        account = account_ref(request.account) if request.HasField("account") else None
        before, size = page(request.page)
        found = await self._orders.page(account, [edge.state(state) for state in request.states], before, size + 1)
        more = len(found) > size
        return pb.ListOrdersResponse(
            orders=[edge.order_message(order) for order in found[:size]],
            page=page_pb2.PageInfo(next_token=str(found[size - 1].id) if more else ""),
        )

    async def GetOrderStats(self, request: pb.GetOrderStatsRequest, context: Any) -> pb.GetOrderStatsResponse:
        counts, latency = await self._orders.stats()
        return pb.GetOrderStatsResponse(
            orders=[pb.OrderStateCount(state=edge.state_number(state), count=count) for state, count in counts.items()],
            signal_executed_p50_ms=latency.p50_ms,
            signal_executed_p99_ms=latency.p99_ms,
        )


def _holder(request: pb.AcquireLeaseRequest) -> Holder:
    return Holder(word("agent", request.agent), request.ledger, word("engine", request.engine))
