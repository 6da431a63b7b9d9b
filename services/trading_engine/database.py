"""The database's OrderService, as the engine uses it."""

from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import grpc
from suho.database.v1 import order_service_pb2 as db
from suho.database.v1 import order_service_pb2_grpc
from suho.trading.v1 import agent_link_pb2 as link
from suho.trading.v1 import order_pb2

from mesh.errors import MeshError, Reason
from services.trading_engine.domain.order import AccountId
from services.trading_engine.lanes import Hello
from services.trading_engine.messages import account_ref

T = TypeVar("T")

_TIMEOUT_S = 5.0
# Every signal of the account is written anew.
_EPOCH_TIMEOUT_S = 600.0

# What the database means. Everything else is the way to it, or an accident of its own, and may pass.
_REFUSALS = frozenset(
    {
        Reason.INVALID_ARGUMENT,
        Reason.INVALID_PAGE,
        Reason.UNKNOWN_ACCOUNT,
        Reason.UNKNOWN_ORDER,
        Reason.ACCOUNT_MOVED,
        Reason.SIGNAL_ID_REUSED,
        Reason.EPOCH_SUPERSEDED,
        Reason.REPORT_CONFLICT,
        Reason.LEASE_HELD,
        Reason.LIVE_MONEY_NOT_ALLOWED,
    }
)


class DatabaseAwayError(MeshError):
    """It did not answer; whether it did what was asked is unknown. Every call here may be repeated."""


class Database:
    """Raises MeshError as the database refuses, DatabaseAwayError when it could not be asked."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._orders: order_service_pb2_grpc.OrderServiceAsyncStub = order_service_pb2_grpc.OrderServiceStub(channel)

    async def upsert_account(
        self,
        account: AccountId,
        trade_mode: "order_pb2.TradeMode.ValueType",
        margin_mode: "link.MarginMode.ValueType",
    ) -> db.Account:
        request = db.UpsertAccountRequest(account=account_ref(account), trade_mode=trade_mode, margin_mode=margin_mode)
        return (await _answer(self._orders.UpsertAccount(request, timeout=_TIMEOUT_S))).account

    async def account(self, account: AccountId) -> db.Account:
        """Raises MeshError UNKNOWN_ACCOUNT."""
        request = db.ListAccountsRequest(account=account_ref(account))
        found = (await _answer(self._orders.ListAccounts(request, timeout=_TIMEOUT_S))).accounts
        if not found:
            raise MeshError(
                Reason.UNKNOWN_ACCOUNT, f"account {account} is not known; it becomes known when its agent connects"
            )
        return found[0]

    async def accounts(self) -> list[db.Account]:
        return list((await _answer(self._orders.ListAccounts(db.ListAccountsRequest(), timeout=_TIMEOUT_S))).accounts)

    async def set_trading_state(self, request: db.SetTradingStateRequest) -> db.Account:
        return (await _answer(self._orders.SetTradingState(request, timeout=_TIMEOUT_S))).account

    async def begin_epoch(self, account: AccountId, left_epoch: int) -> db.Account:
        """Raises MeshError UNKNOWN_ACCOUNT."""
        request = db.BeginEpochRequest(account=account_ref(account), left_epoch=left_epoch)
        return (await _answer(self._orders.BeginEpoch(request, timeout=_EPOCH_TIMEOUT_S))).account

    async def commit(
        self, order: order_pb2.Order, account_revision: int, ledger: str = ""
    ) -> tuple[order_pb2.Order, bool]:
        """The order as it stands, and whether an earlier request had made it; `ledger`: to which it goes from here.

        Raises:
            MeshError: ACCOUNT_MOVED, SIGNAL_ID_REUSED.
        """
        request = db.CommitIntentRequest(order=order, account_revision=account_revision, ledger=ledger)
        response = await _answer(self._orders.CommitIntent(request, timeout=_TIMEOUT_S))
        return response.order, response.duplicate

    async def outbox(
        self, account: AccountId, epoch: int, after_seq: int, ledger: str, to_seq: int = 0
    ) -> AsyncIterator[list[db.OutboxEntry]]:
        """What was committed after `after_seq`, up to `to_seq` (0: for ever), to be handed to `ledger`.

        Raises:
            MeshError: EPOCH_SUPERSEDED.
        """
        request = db.WatchOutboxRequest(
            account=account_ref(account), epoch=epoch, after_seq=after_seq, to_seq=to_seq, ledger=ledger
        )
        call = self._orders.WatchOutbox(request)
        try:
            with _refusals():
                async for response in call:
                    yield list(response.entries)
        finally:
            call.cancel()

    async def record(self, reports: Iterable[order_pb2.ExecutionReport]) -> tuple[list[order_pb2.Order], db.Account]:
        """The orders and their account as they stand, after the reports, which are of one account, are stored.

        Raises:
            MeshError: UNKNOWN_ORDER, REPORT_CONFLICT.
        """
        request = db.RecordReportsRequest(reports=reports)
        response = await _answer(self._orders.RecordReports(request, timeout=_TIMEOUT_S))
        (account,) = response.accounts
        return list(response.orders), account

    async def record_deals(self, account: AccountId, deals: Iterable[order_pb2.ExternalDeal]) -> db.Account:
        """The account as it stands, after the deals are stored."""
        request = db.RecordDealsRequest(account=account_ref(account), deals=deals)
        return (await _answer(self._orders.RecordDeals(request, timeout=_TIMEOUT_S))).account

    async def deals(self, request: db.ListDealsRequest) -> db.ListDealsResponse:
        return await _answer(self._orders.ListDeals(request, timeout=_TIMEOUT_S))

    async def acquire_lease(
        self, hello: Hello, engine: str, grant_id: str, valid_for_ms: int, renew: bool
    ) -> db.Account:
        """Raises MeshError LEASE_HELD."""
        request = db.AcquireLeaseRequest(
            account=account_ref(hello.account),
            agent=hello.agent,
            ledger=hello.ledger,
            engine=engine,
            grant_id=grant_id,
            valid_for_ms=valid_for_ms,
            renew=renew,
        )
        return (await _answer(self._orders.AcquireLease(request, timeout=_TIMEOUT_S))).account

    async def release_lease(self, account: AccountId, grant_id: str) -> None:
        request = db.ReleaseLeaseRequest(account=account_ref(account), grant_id=grant_id)
        await _answer(self._orders.ReleaseLease(request, timeout=_TIMEOUT_S))

    async def order(self, signal_id: str) -> order_pb2.Order:
        """Raises MeshError UNKNOWN_ORDER."""
        return (await self.order_with_events(signal_id)).order

    async def order_with_events(self, signal_id: str) -> db.GetOrderResponse:
        """Raises MeshError UNKNOWN_ORDER."""
        return await _answer(self._orders.GetOrder(db.GetOrderRequest(signal_id=signal_id), timeout=_TIMEOUT_S))

    async def orders(self, request: db.ListOrdersRequest) -> db.ListOrdersResponse:
        return await _answer(self._orders.ListOrders(request, timeout=_TIMEOUT_S))

    async def stats(self) -> db.GetOrderStatsResponse:
        return await _answer(self._orders.GetOrderStats(db.GetOrderStatsRequest(), timeout=_TIMEOUT_S))


async def _answer(call: Awaitable[T]) -> T:
    with _refusals():
        return await call


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except grpc.aio.AioRpcError as error:
        refusal = MeshError.of(error)
        if refusal.reason in _REFUSALS:
            raise refusal from None
        raise DatabaseAwayError(refusal.reason, f"the database did not answer: {refusal.message}") from None
