"""The outbox, watched over gRPC while orders are committed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from suho.database.v1 import order_service_pb2 as pb
from suho.trading.v1 import order_pb2

from mesh.errors import Reason
from services.database.app import Engines
from services.database.postgres import outbox
from tests.integration.services.database.conftest import ACCOUNT, Stubs
from tests.integration.services.database.orders import commit, order, record, refusal, report
from tests.support import eventually

pytestmark = pytest.mark.integration


async def entries(call: Any) -> AsyncIterator[pb.OutboxEntry]:
    async for response in call:
        for entry in response.entries:
            yield entry


def watch(account: pb.Account, after_seq: int = 0, to_seq: int = 0, ledger: str = "ledger-1") -> pb.WatchOutboxRequest:
    return pb.WatchOutboxRequest(
        account=ACCOUNT, epoch=account.epoch, after_seq=after_seq, to_seq=to_seq, ledger=ledger
    )


@pytest.fixture
def only_when_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch does not look again by itself."""
    monkeypatch.setattr(outbox, "_LOOK_AGAIN_S", 600.0)


@pytest.mark.usefixtures("only_when_woken")
async def test_the_outbox_gives_what_is_there_then_what_comes(service: Stubs, account: pb.Account) -> None:
    """Places come in order, without a hole, the later ones at once after their commit; denied orders never."""
    for n in range(3):
        await commit(service, order(f"s{n}"))
    call = service.orders.WatchOutbox(watch(account, after_seq=1))
    arriving = entries(call)
    assert [(await anext(arriving)).order.seq for _ in range(2)] == [2, 3]
    await commit(service, order("denied", state=order_pb2.ORDER_STATE_DENIED, reason="NO"))
    await commit(service, order("s3"))
    async with asyncio.timeout(30):
        live = await anext(arriving)
    assert (live.order.seq, live.order.signal_id, live.redelivered) == (4, "s3", False)
    call.cancel()


async def test_the_outbox_says_what_it_gave_to_another_ledger(service: Stubs, account: pb.Account) -> None:
    """Only another one is told that they may have been executed: the same one costs nothing. A bounded watch ends."""
    for n in range(3):
        await commit(service, order(f"s{n}"))
    first = [entry async for entry in entries(service.orders.WatchOutbox(watch(account, to_seq=2)))]
    assert [(entry.order.seq, entry.redelivered) for entry in first] == [(1, False), (2, False)]
    again = [entry async for entry in entries(service.orders.WatchOutbox(watch(account, to_seq=2)))]
    assert [(entry.order.seq, entry.redelivered) for entry in again] == [(1, False), (2, False)]
    other = [entry async for entry in entries(service.orders.WatchOutbox(watch(account, 1, 3, "ledger-2")))]
    assert [(entry.order.seq, entry.redelivered) for entry in other] == [(2, True), (3, False)]
    # Committed as handed down by whoever asked for it.
    await commit(service, order("direct"), ledger="ledger-2")
    own = [entry async for entry in entries(service.orders.WatchOutbox(watch(account, 3, 4, "ledger-2")))]
    foreign = [entry async for entry in entries(service.orders.WatchOutbox(watch(account, 3, 4, "ledger-3")))]
    assert [(entry.order.signal_id, entry.redelivered) for entry in (*own, *foreign)] == [
        ("direct", False),
        ("direct", True),
    ]


async def test_a_redelivery_that_is_cut_off_comes_again_as_one(service: Stubs, account: pb.Account) -> None:
    """Whoever is told that another may have executed it may not hear: it is no less so when the same ledger asks again,
    and the first one, which knows what it did, is not told so."""
    await commit(service, order("a"), ledger="ledger-1")
    told = [
        [entry.redelivered async for entry in entries(service.orders.WatchOutbox(watch(account, 0, 1, ledger)))]
        for ledger in ("ledger-2", "ledger-2", "ledger-1")
    ]
    assert told == [[True], [True], [False]]


async def test_a_signal_that_a_report_speaks_of_was_handed_out(service: Stubs, account: pb.Account) -> None:
    """Whatever the outbox remembers: an agent had it."""
    await commit(service, order("a"))
    await record(service, report("a", "r1", order_pb2.ORDER_STATE_ACCEPTED, received_unix_ns=5))
    (entry,) = [entry async for entry in entries(service.orders.WatchOutbox(watch(account, to_seq=1)))]
    assert entry.redelivered


async def test_commits_by_many_reach_a_watch_in_order(service: Stubs, account: pb.Account) -> None:
    """Concurrent commits are seen as 1, 2, 3 …: a later place never arrives before an earlier one."""

    async def commit_until_done(n: int) -> None:
        while True:
            try:
                await commit(service, order(f"s{n}"))
            except grpc.aio.AioRpcError:
                continue
            return

    call = service.orders.WatchOutbox(watch(account, to_seq=20))
    async with asyncio.TaskGroup() as tasks:
        for n in range(20):
            tasks.create_task(commit_until_done(n))
        seen = [entry.order.seq async for entry in entries(call)]
    assert seen == list(range(1, 21))


async def test_a_watch_survives_the_loss_of_its_notifications(
    service: Stubs, account: pb.Account, engines: Engines
) -> None:
    """The LISTEN connection is cut: it comes back, and what was committed meanwhile is seen."""
    call = service.orders.WatchOutbox(watch(account, to_seq=1))
    arriving = entries(call)
    async with engines.postgres.connection() as connection:

        async def listeners() -> bool:
            cut: int = await connection.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = $1",
                outbox.CHANNEL,
            )
            return cut > 0

        await eventually(listeners)
    await commit(service, order("a"))
    assert (await anext(arriving)).order.seq == 1
    call.cancel()


@pytest.mark.usefixtures("only_when_woken")
async def test_a_watch_ends_when_the_service_drains(service: Stubs, account: pb.Account) -> None:
    """Else a service that stops would wait for it in vain: watchers go elsewhere until it serves again."""
    await commit(service, order("a"))
    arriving = entries(service.orders.WatchOutbox(watch(account)))
    assert (await anext(arriving)).order.seq == 1
    service.draining.set()
    async with asyncio.timeout(30):
        refused = await refusal(anext(arriving))
    assert refused.reason is Reason.SHUTTING_DOWN
    assert (await refusal(anext(entries(service.orders.WatchOutbox(watch(account)))))).reason is Reason.SHUTTING_DOWN
    service.draining.clear()
    assert (await anext(entries(service.orders.WatchOutbox(watch(account))))).order.seq == 1


async def test_in_a_new_epoch_nothing_is_new_to_any_ledger(service: Stubs, account: pb.Account) -> None:
    """A copy of the database does not know what was handed out since; each signal keeps its place. Asked again, nothing
    happens, and whoever watches the old epoch hears that it is over."""
    for name, ledger in (("a", "ledger-1"), ("b", "")):
        await commit(service, order(name), ledger=ledger)
    old = entries(service.orders.WatchOutbox(watch(account, after_seq=2)))
    waiting = asyncio.ensure_future(refusal(anext(old)))
    leaving = pb.BeginEpochRequest(account=ACCOUNT, left_epoch=account.epoch)
    begun, again = [(await service.orders.BeginEpoch(leaving)).account for _ in range(2)]
    assert (again.epoch, begun.last_seq) == (begun.epoch, 2)
    assert begun.epoch > account.epoch
    assert (await waiting).reason is Reason.EPOCH_SUPERSEDED
    handed = [entry async for entry in entries(service.orders.WatchOutbox(watch(begun, to_seq=2)))]
    assert [(entry.order.signal_id, entry.order.epoch, entry.redelivered) for entry in handed] == [
        ("a", begun.epoch, False),
        ("b", begun.epoch, True),
    ]


async def test_a_watch_of_another_epoch_is_refused(service: Stubs, account: pb.Account) -> None:
    """Whoever counts in an old epoch must read the account again."""
    old = pb.WatchOutboxRequest(account=ACCOUNT, epoch=account.epoch - 1, ledger="ledger-1")
    refused = await refusal(anext(entries(service.orders.WatchOutbox(old))))
    assert (refused.reason, refused.metadata["epoch"]) == (Reason.EPOCH_SUPERSEDED, str(account.epoch))
