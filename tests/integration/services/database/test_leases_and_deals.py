"""Who may execute, trades that no signal stands for, whose exposure a close moves; on PostgreSQL, over gRPC."""

import asyncio
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from suho.database.v1 import order_service_pb2 as pb
from suho.trading.v1 import agent_link_pb2, order_pb2

from mesh.errors import MeshError, Reason
from services.database.app import Engines
from services.database.config import DatabaseSettings
from services.database.domain.migration import Migration
from services.database.migrations import migrations
from services.database.postgres.deals import Deals
from services.database.postgres.pool import migrate, migration_lock, open_postgres
from services.database.postgres.reports import Reports
from services.database.servicers import deal_messages, order_messages
from tests.integration.services.database.conftest import ACCOUNT, Stubs, ensure_database
from tests.integration.services.database.orders import commit, current, order, record, refusal, report
from tests.support import eventually

pytestmark = pytest.mark.integration

BUY, SELL = order_pb2.ORDER_SIDE_BUY, order_pb2.ORDER_SIDE_SELL
FILLED = order_pb2.ORDER_STATE_FILLED


def lease(
    agent: str,
    engine: str = "engine-1",
    valid_for_ms: int = 60_000,
    *,
    renew: bool = False,
    ledger: str = "l1",
    grant: str = "1",
) -> Any:
    return pb.AcquireLeaseRequest(
        account=ACCOUNT,
        agent=agent,
        ledger=ledger,
        engine=engine,
        valid_for_ms=valid_for_ms,
        renew=renew,
        grant_id=f"{agent}/{grant}",
    )


def given_up(agent: str, grant: str = "1") -> pb.ReleaseLeaseRequest:
    return pb.ReleaseLeaseRequest(account=ACCOUNT, grant_id=f"{agent}/{grant}")


def deal(
    number: int,
    side: int,
    volume: str,
    signal_id: str,
    cause: int = order_pb2.DEAL_CAUSE_STOP_LOSS,
    *,
    position: int = 7,
    made_by: int = 0,
) -> Any:
    return order_pb2.ExternalDeal(
        deal=number,
        order=made_by,
        position=position,
        symbol="EURUSD",
        side=side,
        volume=volume,
        signal_id=signal_id,
        cause=cause,  # type: ignore[arg-type]
    )


async def told(service: Stubs, *deals: order_pb2.ExternalDeal) -> dict[str, str]:
    """Net volumes by strategy, after the deals are recorded."""
    answer = await service.orders.RecordDeals(pb.RecordDealsRequest(account=ACCOUNT, deals=deals))
    return {exposure.strategy: exposure.net_volume for exposure in answer.account.exposures}


async def opened(service: Stubs, signal_id: str, strategy: str, volume: str, ticket: int, side: int = BUY) -> None:
    await commit(service, order(signal_id, strategy=strategy, volume=volume, side=side))
    await record(service, report(signal_id, f"{signal_id}/f", FILLED, filled_volume=volume, ticket=ticket, deal=ticket))


async def test_one_agent_has_the_lease(service: Stubs, account: pb.Account) -> None:
    """Another one is told who and for how long still; the same one takes it along to another engine, where it is then
    renewed, and no more at the old one."""
    held = (await service.orders.AcquireLease(lease("pc-1"))).account
    assert (held.agent, held.engine, held.revision) == ("pc-1", "engine-1", account.revision)
    refused = await refusal(service.orders.AcquireLease(lease("pc-2")))
    assert (refused.reason, refused.metadata["agent"], refused.metadata["engine"]) == (
        Reason.LEASE_HELD,
        "pc-1",
        "engine-1",
    )
    assert 30_000 < int(refused.metadata["ms"]) <= 60_000
    await service.orders.AcquireLease(lease("pc-1", "engine-2"))
    assert (await refusal(service.orders.AcquireLease(lease("pc-1", renew=True)))).reason is Reason.LEASE_HELD
    assert (await service.orders.AcquireLease(lease("pc-1", "engine-2", renew=True))).account.engine == "engine-2"


async def test_two_pcs_of_one_name_stand_by_for_each_other(service: Stubs, account: pb.Account) -> None:
    """The ledger tells them apart: the second one is told what to do."""
    await service.orders.AcquireLease(lease("pc-1"))
    for renew in (False, True):
        refused = await refusal(service.orders.AcquireLease(lease("pc-1", ledger="l2", renew=renew)))
        assert refused.reason is Reason.LEASE_HELD
        assert "Give each an instance name of its own" in refused.message


async def test_a_release_that_comes_late_ends_nothing_newer(service: Stubs, account: pb.Account) -> None:
    """The same agent's next stream is granted it anew; renewals leave the grant as it is."""
    await service.orders.AcquireLease(lease("pc-1"))
    await service.orders.AcquireLease(lease("pc-1", grant="2"))
    await service.orders.AcquireLease(lease("pc-1", renew=True))
    await service.orders.ReleaseLease(given_up("pc-1"))
    assert (await current(service)).agent == "pc-1"
    await service.orders.ReleaseLease(given_up("pc-1", "2"))
    assert not (await current(service)).agent


async def test_a_lease_lapses_or_is_given_up(service: Stubs, account: pb.Account) -> None:
    """By the database's clock; who does not have it can not give it up."""
    await service.orders.AcquireLease(lease("pc-1", valid_for_ms=1))

    async def lapsed() -> bool:
        return not (await current(service)).agent

    await eventually(lapsed)
    await service.orders.AcquireLease(lease("pc-2"))
    await service.orders.ReleaseLease(given_up("pc-1"))
    assert (await current(service)).agent == "pc-2"
    await service.orders.ReleaseLease(given_up("pc-2"))
    assert (await service.orders.AcquireLease(lease("pc-1"))).account.agent == "pc-1"


async def test_an_order_knows_which_agent_has_it(service: Stubs, account: pb.Account) -> None:
    """Handed down by the engine, or by the outbox; who takes over later did not execute it."""
    await service.orders.AcquireLease(lease("pc-1"))
    assert (await commit(service, order("a"), ledger="l1")).order.agent == "pc-1"
    assert (await commit(service, order("b"))).order.agent == ""
    watch = pb.WatchOutboxRequest(account=ACCOUNT, epoch=account.epoch, to_seq=2, ledger="l1")
    async for _ in service.orders.WatchOutbox(watch):
        pass
    await service.orders.ReleaseLease(given_up("pc-1"))
    await service.orders.AcquireLease(lease("pc-2"))
    async for _ in service.orders.WatchOutbox(pb.WatchOutboxRequest(account=ACCOUNT, epoch=account.epoch, to_seq=2,
                                                                    ledger="l2")):  # fmt: skip
        pass
    for name in ("a", "b"):
        assert (await service.orders.GetOrder(pb.GetOrderRequest(signal_id=name))).order.agent == "pc-1"


async def test_a_deal_moves_what_opened_its_position_once(service: Stubs, account: pb.Account) -> None:
    """Said again, or reported by the order itself, it moves nothing more; one of a foreign position moves nothing."""
    await opened(service, "a", "bollinger", "0.10", ticket=7)
    stop = deal(100, SELL, "0.04", "a")
    assert await told(service, stop, stop, deal(101, SELL, "5", "", position=99)) == {"bollinger": "0.06"}
    assert await told(service, stop, deal(7, BUY, "0.10", "a")) == {"bollinger": "0.06"}
    adopted = deal(100, BUY, "2", "adopted-100", order_pb2.DEAL_CAUSE_ADOPTED, position=100)
    assert await told(service, adopted, adopted) == {"bollinger": "0.06", "": "2"}
    listed = (await service.orders.ListDeals(pb.ListDealsRequest(account=ACCOUNT))).deals
    assert [item.deal.deal for item in listed] == [100, 7, 101, 100]


async def test_a_deal_counts_once_whoever_tells_it_first(service: Stubs, account: pb.Account) -> None:
    """An order that reports later what was told as a trade from outside takes that over, by the deal or by the
    order's ticket; what it made beside its last deal counts with its report only."""
    await opened(service, "a", "bollinger", "0.10", ticket=7)
    await commit(service, order("b", volume="0.30"))
    assert await told(service, deal(20, BUY, "0.30", "a")) == {"bollinger": "0.40", "": "0"}
    await record(service, report("b", "b/f", FILLED, filled_volume="0.30", ticket=19, deal=20))
    assert await told(service, deal(20, BUY, "0.30", "a")) == {"bollinger": "0.10", "": "0.30"}
    await commit(service, order("c", side=SELL, kind=order_pb2.ORDER_KIND_CLOSE, position=7, volume="0.40"))
    parts = deal(31, SELL, "0.25", "", made_by=30), deal(32, SELL, "0.15", "", made_by=30)
    assert await told(service, parts[0]) == {"bollinger": "0.00", "": "0.15"}
    await record(service, report("c", "c/f", FILLED, filled_volume="0.40", ticket=30, deal=32))
    flat = await told(service, parts[1])
    assert [float(volume) for volume in flat.values()] == [0, 0]


async def test_what_an_agent_forgot_is_known_to_the_orders(service: Stubs, account: pb.Account) -> None:
    """One that lost its ledger takes our positions for foreign: their deals count all the same, their adoption does not
    count them again."""
    await opened(service, "a", "bollinger", "0.10", ticket=7)
    assert await told(service, deal(7, BUY, "0.10", "", made_by=7)) == {"bollinger": "0.10"}
    assert await told(service, deal(20, SELL, "0.04", "")) == {"bollinger": "0.06"}
    assert await told(service, deal(7, BUY, "0.06", "adopted-7", order_pb2.DEAL_CAUSE_ADOPTED)) == {"bollinger": "0.06"}
    assert await told(service, deal(21, SELL, "0.06", "adopted-7")) == {"bollinger": "0.00"}


async def test_positions_that_closed_each_other_are_gone(service: Stubs) -> None:
    """The order that did it reports one of its deals and moves nothing by itself."""
    mode = agent_link_pb2.MARGIN_MODE_HEDGING
    request = pb.UpsertAccountRequest(account=ACCOUNT, trade_mode=order_pb2.TRADE_MODE_DEMO, margin_mode=mode)
    await service.orders.UpsertAccount(request)
    await opened(service, "long", "a", "0.20", ticket=7)
    await opened(service, "short", "b", "0.10", ticket=8, side=SELL)
    kind = order_pb2.ORDER_KIND_CLOSE_BY
    await commit(service, order("c", kind=kind, side=0, volume="", position=7, opposite_position=8))
    await record(service, report("c", "c/d", order_pb2.ORDER_STATE_DONE, ticket=30, deal=31))
    pair = deal(31, SELL, "0.10", "long", made_by=30), deal(32, BUY, "0.10", "short", position=8, made_by=30)
    assert await told(service, *pair) == {"a": "0.10", "b": "0.00", "": "0"}


async def test_a_close_moves_the_exposure_of_who_opened_the_position(service: Stubs, account: pb.Account) -> None:
    """A person closes a strategy's position: the strategy is free. On a netting account the position may be several
    people's: it takes from all."""
    await opened(service, "a", "bollinger", "0.10", ticket=7)
    await opened(service, "b", "", "0.30", ticket=8)
    close = order("c", kind=order_pb2.ORDER_KIND_CLOSE, side=SELL, position=7, volume="0.25")
    await commit(service, close)
    assert {e.strategy: e.open_orders for e in (await current(service)).exposures} == {"bollinger": 1, "": 0}
    await record(service, report("c", "c/f", FILLED, filled_volume="0.25", ticket=9, deal=9))
    after = {e.strategy: (e.net_volume, e.open_orders) for e in (await current(service)).exposures}
    assert after == {"bollinger": ("0.00", 0), "": ("0.15", 0)}


async def test_a_close_that_was_told_as_a_trade_from_outside_takes_from_nobody_twice(
    service: Stubs, account: pb.Account
) -> None:
    """An agent that lost its ledger tells it so; the report that comes after all finds the exposure where it was."""
    await opened(service, "a", "bollinger", "0.10", ticket=7)
    await opened(service, "b", "", "0.10", ticket=8)
    await commit(service, order("c", kind=order_pb2.ORDER_KIND_CLOSE, side=SELL, position=7, volume="0.10"))
    assert await told(service, deal(30, SELL, "0.10", "a")) == {"bollinger": "0.00", "": "0.10"}
    await record(service, report("c", "c/f", FILLED, filled_volume="0.10", ticket=29, deal=30))
    assert await told(service) == {"bollinger": "0.00", "": "0.10"}


async def test_a_close_on_a_hedging_account_is_its_openers_alone(service: Stubs) -> None:
    """There each position is somebody's own."""
    mode = agent_link_pb2.MARGIN_MODE_HEDGING
    request = pb.UpsertAccountRequest(account=ACCOUNT, trade_mode=order_pb2.TRADE_MODE_DEMO, margin_mode=mode)
    await service.orders.UpsertAccount(request)
    await opened(service, "long", "a", "0.10", ticket=7)
    await opened(service, "short", "a", "0.10", ticket=8, side=SELL)
    await opened(service, "other", "b", "0.10", ticket=9)
    assert await told(service, deal(100, SELL, "0.10", "long")) == {"a": "-0.10", "b": "0.10"}


async def test_orders_of_every_kind_are_stored_as_asked(service: Stubs, account: pb.Account) -> None:
    """A change has neither side nor volume, and its kind's fields come back."""

    asked = [
        order(
            "l",
            kind=order_pb2.ORDER_KIND_STOP_LIMIT,
            price="1.2",
            limit_price="1.1",
            expires_unix_ms=5,
            take_profit="1.3",
        ),
        order("m", kind=order_pb2.ORDER_KIND_MODIFY_ORDER, side=0, volume="", order_ticket=9, price="1.15"),
        order("b", kind=order_pb2.ORDER_KIND_CLOSE_BY, side=0, volume="", position=1, opposite_position=2),
        order("d", deviation_points=20),
    ]
    for wanted in asked:
        stored = (await commit(service, wanted)).order
        for field in ("kind", "side", "volume", "price", "limit_price", "position", "opposite_position", "order_ticket",
                      "expires_unix_ms", "deviation_points", "take_profit"):  # fmt: skip
            assert getattr(stored, field) == getattr(wanted, field), field
        assert (await commit(service, wanted)).duplicate
    changed = order("l", kind=order_pb2.ORDER_KIND_STOP_LIMIT, price="1.2", limit_price="1.0", expires_unix_ms=5)
    assert (await refusal(commit(service, changed))).reason is Reason.SIGNAL_ID_REUSED
    foreign = await refusal(commit(service, order("x", price="1.1")))
    assert (foreign.reason, foreign.message.startswith("price is set")) == (Reason.INVALID_ARGUMENT, True)


async def test_a_renewal_keeps_no_commit_waiting(service: Stubs, account: pb.Account, engines: Engines) -> None:
    """The lease is locked by itself."""
    await service.orders.AcquireLease(lease("pc-1"))
    async with engines.postgres.transaction() as renewing:
        await renewing.execute("UPDATE leases SET until = now() + interval '1 minute'")
        async with asyncio.timeout(30):
            assert (await commit(service, order("a"), ledger="l1")).order.seq == 1


async def test_a_database_of_before_is_taken_along(settings: DatabaseSettings) -> None:
    """Orders, reports and outbox rows of the first version become those of this one."""
    dsn = settings.postgres_dsn.get_secret_value().replace("/suho_test", "/suho_old")
    admin = settings.postgres_dsn.get_secret_value()
    connection = await asyncpg.connect(admin)
    await connection.execute("DROP DATABASE IF EXISTS suho_old")
    await connection.close()
    await ensure_database(admin, "suho_old")
    every = migrations("postgres")
    old = tuple(one for one in every if one.name < "0003")
    async with open_postgres(dsn, 2) as postgres:
        await _migrate(postgres, old)
        async with postgres.connection() as old_rows:
            await old_rows.execute(
                "INSERT INTO accounts (server, login, trade_mode, trading_state, epoch, last_seq)"
                " VALUES ('s', 1, 'DEMO', 'ACTIVE', 5, 1);"
                "INSERT INTO orders (signal_id, account_id, symbol, side, volume, strategy, state, seq, epoch,"
                " not_after_unix_ms, submitted_unix_ns, committed_unix_ns)"
                " VALUES ('a', 1, 'X', 'BUY', 1, 'bollinger', 'ACCEPTED', 1, 5, 9, 1, 2);"
                "INSERT INTO outbox (account_id, epoch, seq, signal_id, delivered) VALUES (1, 5, 1, 'a', 1)"
            )
        await _migrate(postgres, every)
        async with postgres.connection() as rows:
            found = await rows.fetchrow("SELECT kind, holder, q.ledger FROM orders JOIN outbox q USING (signal_id)")
    assert tuple(found) == ("MARKET", "bollinger", "(not known)")


async def _migrate(postgres: Any, available: tuple[Migration, ...]) -> None:
    async with migration_lock(postgres) as held:
        await migrate(held, available)


async def test_values_that_postgresql_refuses_are_the_fault_of_who_told_them(
    service: Stubs, account: pb.Account, engines: Engines
) -> None:
    """It would refuse them again, whenever: to be told so is better than to wait for ever."""
    await commit(service, order("a"))
    told = order_messages.report(report("a", "r1", order_pb2.ORDER_STATE_ACCEPTED))
    found = deal_messages.deal(deal(8, SELL, "0.1", "a"))
    for recording in (
        Reports(engines.postgres).record([replace(told, retcode=2**63)]),
        Deals(engines.postgres).record(told.account, [replace(found, time_unix_ms=2**63)]),
    ):
        with pytest.raises(MeshError) as caught:
            await recording
        assert caught.value.reason is Reason.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "broken",
    [
        "SELECT setval(pg_get_serial_sequence('order_events', 'id'), (SELECT min(id) FROM order_events), false)",
        "UPDATE exposures SET open_orders = 0",
        "ALTER TABLE reports RENAME COLUMN retcode TO of_another_version",
    ],
    ids=["a sequence of before", "exposures that drifted", "a column of another version"],
)
async def test_what_is_wrong_with_the_database_itself_refuses_no_report(
    service: Stubs, account: pb.Account, engines: Engines, broken: str
) -> None:
    """It is INTERNAL, which is logged with PostgreSQL's own words and tried again."""
    await commit(service, order("a"))
    try:
        async with engines.postgres.connection() as connection:
            await connection.execute(broken)
        assert (await refusal(record(service, report("a", "r1", FILLED)))).reason is Reason.INTERNAL
    finally:
        async with engines.postgres.connection() as connection:
            await connection.execute("SELECT setval(pg_get_serial_sequence('order_events', 'id'), 1_000_000)")
            if "RENAME" in broken:
                await connection.execute("ALTER TABLE reports RENAME COLUMN of_another_version TO retcode")
