"""OrderService against PostgreSQL, over gRPC."""

import asyncio
from typing import Any

import grpc
import pytest
from suho.common.v1 import account_pb2, page_pb2
from suho.database.v1 import order_service_pb2 as pb
from suho.trading.v1 import order_pb2

from mesh.errors import MeshError, Reason
from services.database.app import Engines
from tests.integration.services.database.conftest import ACCOUNT, Stubs
from tests.integration.services.database.orders import commit, current, order, record, refusal, report
from tests.support import eventually

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("mode", "state"),
    [
        (order_pb2.TRADE_MODE_DEMO, order_pb2.TRADING_STATE_ACTIVE),
        (order_pb2.TRADE_MODE_CONTEST, order_pb2.TRADING_STATE_HALTED),
        (order_pb2.TRADE_MODE_REAL, order_pb2.TRADING_STATE_HALTED),
    ],
)
async def test_a_new_account_that_is_not_a_demo_starts_halted(service: Stubs, mode: Any, state: int) -> None:
    """Live money is opt-in, and not switched on from afar unless the PC allows it; made known again
    the account is as it was."""
    request = pb.UpsertAccountRequest(account=ACCOUNT, trade_mode=mode)
    made = (await service.orders.UpsertAccount(request)).account
    assert made.trading_state == state
    assert (await service.orders.UpsertAccount(request)).account == made
    allow = pb.SetTradingStateRequest(account=ACCOUNT, trading_state=order_pb2.TRADING_STATE_ACTIVE, reason="allowed")
    if mode == order_pb2.TRADE_MODE_DEMO:
        allowed = (await service.orders.SetTradingState(allow)).account
        assert (allowed.trading_state, allowed.revision) == (order_pb2.TRADING_STATE_ACTIVE, made.revision + 1)
        assert (await service.orders.UpsertAccount(request)).account == allowed
    else:
        assert (await refusal(service.orders.SetTradingState(allow))).reason is Reason.LIVE_MONEY_NOT_ALLOWED
        allow.allowed_on_pc = True
        allowed = (await service.orders.SetTradingState(allow)).account
        assert (await service.orders.UpsertAccount(request)).account == allowed


async def test_an_account_that_turns_to_live_money_is_halted(service: Stubs, account: pb.Account) -> None:
    """A demo's permission does not carry over."""
    request = pb.UpsertAccountRequest(account=ACCOUNT, trade_mode=order_pb2.TRADE_MODE_REAL)
    turned = (await service.orders.UpsertAccount(request)).account
    assert turned.trading_state == order_pb2.TRADING_STATE_HALTED


async def test_an_account_that_turns_to_live_money_meanwhile_is_not_set_active(
    service: Stubs, account: pb.Account, engines: Engines
) -> None:
    """Whoever says ACTIVE at the moment in which the account becomes a real one is refused."""
    wanted = pb.SetTradingStateRequest(account=ACCOUNT, trading_state=order_pb2.TRADING_STATE_ACTIVE)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"

    async def waits() -> bool:
        async with engines.postgres.connection() as connection:
            return bool(await connection.fetchval(waiting))

    async with asyncio.TaskGroup() as tasks:
        async with engines.postgres.transaction() as turning:
            await turning.execute("UPDATE accounts SET trade_mode = 'REAL', trading_state = 'HALTED'")
            refused = tasks.create_task(refusal(service.orders.SetTradingState(wanted)))
            await eventually(waits)
        assert (await refused).reason is Reason.LIVE_MONEY_NOT_ALLOWED
    assert (await current(service)).trading_state == order_pb2.TRADING_STATE_HALTED


async def test_a_commit_takes_the_next_place(service: Stubs, account: pb.Account) -> None:
    """The order gets seq 1 of the account's epoch and its commit time; the account shows it as open, and moved."""
    done = await commit(service, order("a", strategy="bollinger", stop_loss="1.29"))
    assert (done.order.seq, done.order.epoch, done.duplicate) == (1, account.epoch, False)
    assert done.order.times.committed_unix_ns > 0
    after = await current(service)
    assert (after.revision, after.last_seq, after.open_orders) == (account.revision + 1, 1, 1)
    assert [(e.symbol, e.strategy, e.open_orders) for e in after.exposures] == [("EURUSD", "bollinger", 1)]
    stored = await service.orders.GetOrder(pb.GetOrderRequest(signal_id="a"))
    assert stored.order == done.order


async def test_a_signal_id_gives_the_first_order_again(service: Stubs, account: pb.Account) -> None:
    """A repeated commit answers with the first order whatever the revision; another order under the id is refused."""
    first = await commit(service, order("a"))
    again = await commit(service, order("a", volume="0.100"), revision=0)
    assert (again.order, again.duplicate) == (first.order, True)
    assert (await refusal(commit(service, order("a", volume="0.20")))).reason is Reason.SIGNAL_ID_REUSED
    assert (await current(service)).last_seq == 1


async def test_a_decision_on_an_old_revision_is_refused(service: Stubs, account: pb.Account) -> None:
    """The account moved since the risk check: nothing is stored, and the answer says where it is now."""
    await commit(service, order("a"))
    refused = await refusal(commit(service, order("b"), revision=account.revision))
    assert (refused.reason, refused.code) == (Reason.ACCOUNT_MOVED, grpc.StatusCode.FAILED_PRECONDITION)
    assert refused.metadata["revision"] == str(account.revision + 1)
    missing = await refusal(service.orders.GetOrder(pb.GetOrderRequest(signal_id="b")))
    assert missing.reason is Reason.UNKNOWN_ORDER


async def test_two_committers_can_not_both_see_an_empty_account(service: Stubs, account: pb.Account) -> None:
    """Of eight decisions made on one revision exactly one commits; deciding again, all get contiguous places."""
    results = await asyncio.gather(
        *(commit(service, order(f"s{n}"), account.revision) for n in range(8)), return_exceptions=True
    )
    assert sum(isinstance(result, pb.CommitIntentResponse) for result in results) == 1

    async def decide_until_committed(n: int) -> int:
        while True:
            try:
                return (await commit(service, order(f"s{n}"))).order.seq
            except grpc.aio.AioRpcError as error:
                if MeshError.of(error).reason is not Reason.ACCOUNT_MOVED:
                    raise

    places = await asyncio.gather(*(decide_until_committed(n) for n in range(8)))
    assert sorted(places) == list(range(1, 9))


async def test_the_same_signal_committed_at_once_is_one_order(service: Stubs, account: pb.Account) -> None:
    """Two engines that decide the same bar make the same id: one commits, the others get its order."""
    results = await asyncio.gather(*(commit(service, order("a"), account.revision) for _ in range(5)))
    assert {result.order.seq for result in results} == {1}
    assert sorted(result.duplicate for result in results) == [False, True, True, True, True]


async def test_a_denied_order_is_stored_without_a_place(service: Stubs, account: pb.Account) -> None:
    """Its reason stays; it is not relayed, and the account does not move."""
    denied = order("a", state=order_pb2.ORDER_STATE_DENIED, reason="VOLUME_TOO_LARGE")
    done = await commit(service, denied)
    assert (done.order.seq, done.order.reason) == (0, "VOLUME_TOO_LARGE")
    assert await current(service) == account
    assert (await commit(service, order("b"))).order.seq == 1


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"volume": "0"}, "volume"),
        ({"volume": "NaN"}, "volume"),
        ({"volume": "-1"}, "volume"),
        ({"volume": "99999999"}, "volume"),
        ({"side": order_pb2.ORDER_SIDE_UNSPECIFIED}, "side is missing"),
        ({"side": 9}, "side is 9"),
        ({"symbol": ""}, "symbol"),
        ({"signal_id": ""}, "signal_id"),
        ({"signal_id": "x" * 201}, "signal_id"),
        ({"strategy": "a\x00b"}, "strategy"),
        ({"stop_loss": "inf"}, "stop_loss"),
        ({"state": order_pb2.ORDER_STATE_FILLED}, "state is FILLED"),
        ({"state": order_pb2.ORDER_STATE_DENIED}, "reason"),
        ({"account": account_pb2.AccountRef(server="twin-1")}, "account.login"),
        ({"account": account_pb2.AccountRef(server="twin-1", login=2**64 - 1)}, "account.login"),
        ({"not_after_unix_ms": -1}, "not_after_unix_ms"),
    ],
)
async def test_a_bad_order_is_refused(service: Stubs, account: pb.Account, fields: dict[str, Any], named: str) -> None:
    """The sentence names the field; nothing is stored."""
    refused = await refusal(commit(service, order(**({"signal_id": "bad"} | fields))))
    assert (refused.reason, refused.message.startswith(named)) == (Reason.INVALID_ARGUMENT, True), refused.message
    assert not (await service.orders.ListOrders(pb.ListOrdersRequest())).orders


async def test_an_unknown_account_is_refused(service: Stubs) -> None:
    """A signal for an account that no agent brought can not be stored."""
    refused = await refusal(commit(service, order("a"), revision=1))
    assert refused.reason is Reason.UNKNOWN_ACCOUNT


async def test_reports_move_the_order_and_the_account(service: Stubs, account: pb.Account) -> None:
    """Accepted, then filled: ticket, price, volume and times are there, exposure is what was filled."""
    await commit(service, order("a", side=order_pb2.ORDER_SIDE_SELL))
    revision = (await current(service)).revision
    await record(service, report("a", "r1", order_pb2.ORDER_STATE_ACCEPTED, received_unix_ns=5, intent_unix_ns=6))
    (filled,) = await record(
        service, report("a", "r2", order_pb2.ORDER_STATE_FILLED, called_unix_ns=7, answered_unix_ns=9)
    )
    assert (filled.state, filled.ticket, filled.deal) == (order_pb2.ORDER_STATE_FILLED, 7, 8)
    assert (filled.filled_volume, filled.filled_price, filled.retcode) == ("0.10", "1.30002", 10009)
    times = filled.times
    assert (times.received_unix_ns, times.intent_unix_ns, times.called_unix_ns, times.answered_unix_ns) == (5, 6, 7, 9)
    after = await current(service)
    assert after.revision == revision + 2
    assert [(e.net_volume, e.open_orders) for e in after.exposures] == [("-0.10", 0)]


async def test_a_repeated_report_changes_nothing(service: Stubs, account: pb.Account, engines: Engines) -> None:
    """Agents repeat until acknowledged: one event, one move; the answer is the order as it stands."""
    await commit(service, order("a"))
    fill = report("a", "r1", order_pb2.ORDER_STATE_FILLED)
    first = await record(service, fill, fill)
    before = await current(service)
    assert await record(service, fill) == first
    assert await current(service) == before
    async with engines.postgres.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM order_events WHERE report_id = 'r1'") == 1


async def test_a_late_report_is_kept_but_moves_nothing_back(
    service: Stubs, account: pb.Account, engines: Engines
) -> None:
    """EXPIRED after FILLED: the order stays filled, the report and its event are stored."""
    await commit(service, order("a"))
    await record(service, report("a", "r1", order_pb2.ORDER_STATE_FILLED))
    (after,) = await record(service, report("a", "r2", order_pb2.ORDER_STATE_EXPIRED))
    assert after.state == order_pb2.ORDER_STATE_FILLED
    async with engines.postgres.connection() as connection:
        event = await connection.fetchrow("SELECT state_before, state_after FROM order_events WHERE report_id = 'r2'")
    assert tuple(event) == ("FILLED", "FILLED")


async def test_unknown_orders_are_shown_and_resolved(service: Stubs, account: pb.Account) -> None:
    """An order in doubt stays open and counted until it is found."""
    await commit(service, order("a"))
    await record(service, report("a", "r1", order_pb2.ORDER_STATE_UNKNOWN))
    assert [(e.open_orders, e.unknown_orders) for e in (await current(service)).exposures] == [(1, 1)]
    await record(service, report("a", "r2", order_pb2.ORDER_STATE_FILLED))
    assert [(e.net_volume, e.open_orders, e.unknown_orders) for e in (await current(service)).exposures] == [
        ("0.10", 0, 0)
    ]


async def test_reports_are_stored_all_or_none(service: Stubs, account: pb.Account) -> None:
    """One report of an unknown signal refuses its batch and says which; a foreign account's is a conflict."""
    await commit(service, order("a"))
    accepted = report("a", "r1", order_pb2.ORDER_STATE_ACCEPTED)
    refused = await refusal(record(service, accepted, report("x", "r2", order_pb2.ORDER_STATE_ACCEPTED)))
    assert (refused.reason, refused.metadata["signal_id"]) == (Reason.UNKNOWN_ORDER, "x")
    assert (
        await service.orders.GetOrder(pb.GetOrderRequest(signal_id="a"))
    ).order.state == order_pb2.ORDER_STATE_PENDING
    other = account_pb2.AccountRef(server="twin-1", login=2)
    foreign = await refusal(record(service, report("a", "r3", order_pb2.ORDER_STATE_ACCEPTED, account=other)))
    assert foreign.reason is Reason.REPORT_CONFLICT


async def test_a_fill_without_its_volume_is_refused(service: Stubs, account: pb.Account) -> None:
    """A fill of nothing, or at no price, says nothing that could be stored."""
    await commit(service, order("a"))
    refused = await refusal(record(service, report("a", "r1", order_pb2.ORDER_STATE_FILLED, filled_volume="")))
    assert refused.reason is Reason.INVALID_ARGUMENT


async def test_orders_are_listed_by_pages_newest_first(service: Stubs, account: pb.Account) -> None:
    """Pages follow on each other without hole or repetition; states and account filter."""
    for n in range(5):
        await commit(service, order(f"s{n}"))
    await record(service, report("s1", "r1", order_pb2.ORDER_STATE_FILLED))
    seen: list[str] = []
    token = ""
    while True:
        request = pb.ListOrdersRequest(account=ACCOUNT, page=page_pb2.PageRequest(size=2, token=token))
        page = await service.orders.ListOrders(request)
        seen += [found.signal_id for found in page.orders]
        token = page.page.next_token
        if not token:
            break
    assert seen == ["s4", "s3", "s2", "s1", "s0"]
    filled = await service.orders.ListOrders(pb.ListOrdersRequest(states=[order_pb2.ORDER_STATE_FILLED]))
    assert [found.signal_id for found in filled.orders] == ["s1"]
    refused = await refusal(service.orders.ListOrders(pb.ListOrdersRequest(page=page_pb2.PageRequest(token="x"))))
    assert refused.reason is Reason.INVALID_PAGE


async def test_order_stats_count_states_and_time(service: Stubs, account: pb.Account) -> None:
    """Latency runs from the commit to the return of `order_send`; there is none before an execution."""
    committed = (await commit(service, order("a"))).order.times.committed_unix_ns
    empty = await service.orders.GetOrderStats(pb.GetOrderStatsRequest())
    assert (empty.signal_executed_p50_ms, empty.signal_executed_p99_ms) == (0, 0)
    await record(service, report("a", "r1", order_pb2.ORDER_STATE_FILLED, answered_unix_ns=committed + 4_000_000))
    stats = await service.orders.GetOrderStats(pb.GetOrderStatsRequest())
    assert [(item.state, item.count) for item in stats.orders] == [(order_pb2.ORDER_STATE_FILLED, 1)]
    assert (stats.signal_executed_p50_ms, stats.signal_executed_p99_ms) == (4.0, 4.0)
