"""An account and its orders, for tests that commit and report."""

from typing import Any

import grpc
import pytest
from suho.database.v1 import order_service_pb2 as pb
from suho.trading.v1 import order_pb2

from mesh.errors import MeshError
from tests.integration.services.database.conftest import ACCOUNT, Stubs


def order(signal_id: str, **fields: Any) -> order_pb2.Order:
    wanted: dict[str, Any] = {
        "signal_id": signal_id,
        "account": ACCOUNT,
        "kind": order_pb2.ORDER_KIND_MARKET,
        "symbol": "EURUSD",
        "side": order_pb2.ORDER_SIDE_BUY,
        "volume": "0.10",
        "state": order_pb2.ORDER_STATE_PENDING,
        "not_after_unix_ms": 2_000_000_000_000,
    }
    return order_pb2.Order(**(wanted | fields))


def report(signal_id: str, report_id: str, state: int, **fields: Any) -> order_pb2.ExecutionReport:
    wanted: dict[str, Any] = {"report_id": report_id, "signal_id": signal_id, "account": ACCOUNT, "state": state}
    if state == order_pb2.ORDER_STATE_FILLED:
        wanted |= {"filled_volume": "0.10", "filled_price": "1.30002", "ticket": 7, "deal": 8, "retcode": 10009}
    return order_pb2.ExecutionReport(**(wanted | fields))


async def current(service: Stubs) -> pb.Account:
    return (await service.orders.ListAccounts(pb.ListAccountsRequest(account=ACCOUNT))).accounts[0]


async def commit(
    service: Stubs, wanted: order_pb2.Order, revision: int | None = None, ledger: str = ""
) -> pb.CommitIntentResponse:
    at = (await current(service)).revision if revision is None else revision
    return await service.orders.CommitIntent(pb.CommitIntentRequest(order=wanted, account_revision=at, ledger=ledger))


async def record(service: Stubs, *reports: order_pb2.ExecutionReport) -> list[order_pb2.Order]:
    return list((await service.orders.RecordReports(pb.RecordReportsRequest(reports=reports))).orders)


async def refusal(call: Any) -> MeshError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return MeshError.of(caught.value)
