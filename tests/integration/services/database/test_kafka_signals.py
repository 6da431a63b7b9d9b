"""Committed signals in Kafka, against real engines."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal

import pytest
from suho.trading.v1 import order_pb2

from mesh.draining import Draining
from services.database.app import TRANSIENT, Engines
from services.database.domain.order import AccountRef, Order, Side, State, TradeMode
from services.database.kafka.positions import SIGNALS_WRITER
from services.database.kafka.signals import SignalsLostError, SignalTopic, as_committed
from services.database.kafka.topics import INTERRUPTED, SIGNALS, Cluster
from services.database.kafka.writer import open_writer
from services.database.postgres import orders as orders_table
from services.database.postgres.accounts import Accounts
from services.database.postgres.orders import Orders
from services.database.postgres.outbox import Outbox
from services.database.postgres.signals import Signals
from tests.support import eventually
from tests.support.kafka import Kafka, committed

pytestmark = pytest.mark.integration

SLOW, QUICK = AccountRef("twin-1", 1), AccountRef("twin-1", 2)


def wanted(account: AccountRef, signal_id: str) -> Order:
    return Order(
        signal_id,
        account,
        "EURUSD",
        Side.BUY,
        Decimal("0.1"),
        None,
        Decimal("1.5"),
        "",
        State.PENDING,
        2_000_000_000_000,
    )


async def commit(engines: Engines, account: AccountRef, signal_id: str) -> Order:
    revision = (await Accounts(engines.postgres).get(account)).revision
    return (await Orders(engines.postgres).commit_intent(wanted(account, signal_id), revision))[0]


@pytest.fixture
async def accounts(engines: Engines) -> Accounts:
    """Two demo accounts."""
    accounts = Accounts(engines.postgres)
    for account in (SLOW, QUICK):
        await accounts.upsert(account, TradeMode.DEMO)
    return accounts


@asynccontextmanager
async def running(engines: Engines, kafka: Kafka) -> AsyncIterator[SignalTopic]:
    outbox, cluster = Outbox(engines.postgres, Draining()), Cluster(kafka.bootstrap, 0)
    async with open_writer(cluster, SIGNALS_WRITER, "zstd") as writer, asyncio.TaskGroup() as tasks:
        topic = SignalTopic(Signals(engines.postgres), cluster, writer, outbox.commits, (*TRANSIENT, *INTERRUPTED))
        running = [tasks.create_task(outbox.listen()), tasks.create_task(topic.run())]
        yield topic
        for task in running:
            task.cancel()


def sent(kafka: Kafka, account: AccountRef) -> list[str]:
    key = f"{account.server}/{account.login}".encode()
    found = [message for message in committed(kafka, SIGNALS.name) if message.key() == key]
    return [order_pb2.Order.FromString(message.value() or b"").signal_id for message in found]


async def test_a_transaction_that_commits_late_is_not_skipped(
    engines: Engines, accounts: Accounts, kafka: Kafka
) -> None:
    """While one account's commit is held up another's goes out; the late one follows, before its account's next."""
    async with running(engines, kafka) as topic:
        async with engines.postgres.transaction() as held_up:
            revision = (await accounts.get(SLOW)).revision
            await orders_table._commit(held_up, wanted(SLOW, "late"), revision)
            await commit(engines, QUICK, "early")
            await eventually(lambda: topic.written == 1, 30)
            following = asyncio.ensure_future(
                Orders(engines.postgres).commit_intent(wanted(SLOW, "after"), revision + 1)
            )
            await commit(engines, QUICK, "at-once")
            await eventually(lambda: topic.written == 2, 30)
            assert sent(kafka, SLOW) == []
        await following
        await eventually(lambda: topic.written == 4, 30)
    assert (sent(kafka, SLOW), sent(kafka, QUICK)) == (["late", "after"], ["early", "at-once"])


async def test_signals_are_sent_once_across_restarts(engines: Engines, accounts: Accounts, kafka: Kafka) -> None:
    """A publisher that starts goes on behind each account's place; the value is the order as it was committed."""
    for number in range(3):
        await commit(engines, SLOW, f"s{number}")
    async with running(engines, kafka) as topic:
        await eventually(lambda: topic.written == 3, 30)
    await commit(engines, SLOW, "s3")
    last = await commit(engines, QUICK, "q0")
    async with engines.postgres.connection() as connection:
        await connection.execute("UPDATE orders SET state = 'FILLED', ticket = 7, recorded_unix_ns = 1")
    async with running(engines, kafka) as again:
        await eventually(lambda: again.written == 2, 30)
    assert (sent(kafka, SLOW), sent(kafka, QUICK)) == (["s0", "s1", "s2", "s3"], ["q0"])
    message = next(m for m in committed(kafka, SIGNALS.name) if m.key() == b"twin-1/2")
    order = order_pb2.Order.FromString(message.value() or b"")
    assert (order.volume, order.take_profit, order.stop_loss, order.seq) == ("0.1", "1.5", "", 1)
    assert (order.state, order.ticket) == (order_pb2.ORDER_STATE_PENDING, 0)
    assert (order.times.committed_unix_ns, order.times.recorded_unix_ns) == (last.times.committed, 0)
    assert dict(message.headers() or [])["signal-id"] == b"q0"


async def test_a_database_restored_from_an_older_copy_is_noticed(
    engines: Engines, accounts: Accounts, kafka: Kafka
) -> None:
    """Other signals under places that were sent: nothing more is sent, and the account is named."""
    await commit(engines, SLOW, "sent")
    async with running(engines, kafka) as topic:
        await eventually(lambda: topic.written == 1, 30)
    async with engines.postgres.connection() as connection:
        await connection.execute("DELETE FROM outbox")
    with pytest.raises(ExceptionGroup) as caught:
        async with running(engines, kafka):
            await asyncio.sleep(60)
    assert caught.group_contains(SignalsLostError, match="account 1 on twin-1 has other signals")


def test_what_was_reported_since_does_not_change_what_is_sent() -> None:
    """The same bytes whenever a signal is sent: as it was committed."""
    order = replace(wanted(SLOW, "s"), seq=4, epoch=9)
    reported = replace(
        order,
        state=State.FILLED,
        reason="R",
        message="m",
        ticket=1,
        deal=2,
        filled_volume=Decimal("0.1"),
        retcode=10009,
    )
    assert as_committed(reported) == as_committed(order) == order
