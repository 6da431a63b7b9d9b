"""Engines that go away, and instances that share."""

import asyncio
import secrets
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import grpc
import pytest
from pydantic import SecretStr
from suho.database.v1 import order_service_pb2 as pb

from compose.embedded.alone import running
from compose.embedded.clickhouse import ClickHouse
from compose.embedded.nats import Nats
from mesh.bus import open_bus
from mesh.errors import MeshError, Reason
from services.database.app import Engines, follow, open_engines
from services.database.clickhouse.incidents import Incidents
from services.database.clickhouse.ticks import StoredTicks
from services.database.config import DatabaseSettings
from services.database.postgres.lease import holder
from services.database.sink import Sink
from tests.integration.services.database.conftest import Stubs
from tests.integration.services.database.lease_holders import LeaseHolders
from tests.integration.services.database.ticks import batch, publish, publish_many
from tests.support import eventually, free_port

pytestmark = pytest.mark.integration


async def test_the_sink_goes_on_after_the_log_was_killed(settings: DatabaseSettings, tmp_path: Path) -> None:
    """NATS dies by SIGKILL and comes back with its files: what is published then is stored too, once."""
    nats = Nats(tmp_path / "nats", free_port(), secrets.token_hex(8))
    own = settings.model_copy(
        update={"nats_url": SecretStr(nats.url), "clickhouse_url": f"{settings.clickhouse_url}_interrupted"}
    )
    log = tmp_path / "nats.log"
    first, second = batch(600).chunks(300)
    async with AsyncExitStack() as stack:
        async with running(nats.program(), log) as process:
            engines = await stack.enter_async_context(open_engines(own))
            sink = follow(own, engines, Incidents(engines.clickhouse))[0].sink
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            following = tasks.create_task(sink.run())
            async with open_bus(nats.url, "test") as bus:
                await publish(bus, first)
            await eventually(lambda: sink.stored_rows == 300)
            await process.stop(signal.SIGKILL, 5)
        async with running(nats.program(), log):
            async with open_bus(nats.url, "test") as bus:
                await publish(bus, second)
            await eventually(lambda: sink.stored_rows == 600, timeout_s=60)
            following.cancel()
        assert await engines.clickhouse.rows("SELECT count() AS n FROM ticks") == [{"n": 600}]


async def test_a_clickhouse_that_hangs_and_dies_costs_neither_memory_nor_ticks(
    settings: DatabaseSettings, tmp_path: Path
) -> None:
    """While it stands still ticks pour in, of which little is fetched ahead; when it is back, everything is exact."""
    engine = ClickHouse(tmp_path / "clickhouse", free_port(), secrets.token_hex(8))
    own = settings.model_copy(
        update={
            "clickhouse_url": f"{engine.url}/suho",
            "clickhouse_password": SecretStr(engine.password),
            "sink_max_bytes": 2 << 20,
        }
    )
    first, *others = batch(90_000, start_msc=1_401_000_000_000).chunks(6)
    async with AsyncExitStack() as stack:
        async with running(engine.program(), tmp_path / "clickhouse.log") as process:
            engines = await stack.enter_async_context(open_engines(own))
            incidents = Incidents(engines.clickhouse)
            sink = follow(own, engines, incidents)[0].sink
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            runs = (sink.run, engines.bars.run, engines.recent.run, incidents.run)
            running_tasks = [tasks.create_task(run()) for run in runs]
            await publish(engines.bus, first)
            await eventually(lambda: sink.stored_rows == len(first))
            process.send(signal.SIGSTOP)
            await publish_many(engines.bus, others)
            assert await fetched_ahead(engines, sink) < 8_000
            assert (sink.stored_rows, len(others)) == (len(first), 14_999)
            await process.stop(signal.SIGKILL, 5)
        async with running(engine.program(), tmp_path / "clickhouse.log"):
            await eventually(lambda: sink.stored_rows == 90_000, timeout_s=60)
            stored = (await StoredTicks(engines.clickhouse).audit("", ""))[0]
            assert (stored.distinct, stored.conflicting) == (90_000, 0)
            await eventually(lambda: _barred(engines, 90_000), timeout_s=30)
            recent = await engines.recent.get("twin-1", "EURUSD", 10)
            assert recent is not None
            assert recent.last_id == others[-1].last_id
            for task in running_tasks:
                task.cancel()


async def fetched_ahead(engines: Engines, sink: Sink) -> int:
    """Messages that the sink has taken out of the log beyond what it stored, once it takes no more."""
    before = -1
    while True:
        (consumer,) = await engines.bus.jetstream().consumers_info(engines.tick_log.name)
        taken = consumer.delivered.stream_seq if consumer.delivered else 0
        if taken == before:
            return taken - sink.position.seq
        before = taken
        await asyncio.sleep(0.3)


async def _barred(engines: Engines, ticks: int) -> bool:
    return await engines.clickhouse.rows("SELECT sum(ticks) AS n FROM bars_m1 FINAL") == [{"n": ticks}]


async def test_one_instance_at_a_time_holds_the_lease(engines: Engines) -> None:
    """The second waits, and works as soon as the first one's connection is gone; the first is cancelled, and waits."""
    dsn, lease = engines.postgres.dsn, 0x7E57
    async with asyncio.TaskGroup() as tasks, engines.postgres.connection() as connection:
        holders = LeaseHolders(tasks, lease)
        first = holders.start("first", dsn)
        await eventually(lambda: holders.working == ["first"])
        second = holders.start("second", dsn)
        there = "SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('first', 'second')"

        async def both_ask() -> bool:
            return await connection.fetchval(there) == 2

        await eventually(both_ask)
        assert holders.working == ["first"]
        assert await holder(engines.postgres, lease) == "first"
        end = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE objid = $1 AND granted"
        assert await connection.fetchval(end, lease)
        await eventually(lambda: holders.working == ["second"])
        assert await holder(engines.postgres, lease) == "second"
        await eventually(both_ask)
        first.cancel()
        second.cancel()


async def test_a_cut_connection_fails_no_later_call(service: Stubs, engines: Engines) -> None:
    """PostgreSQL drops every pooled connection: a call may meet one that nobody noticed yet; repeated it succeeds."""
    other = await asyncpg.connect(engines.postgres.dsn)
    theirs = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    cut = {row["pid"] for row in await other.fetch(f"SELECT pid, pg_terminate_backend(pid) {theirs}")}
    assert len(cut) >= 2

    async def gone() -> bool:
        """They end a moment after they were told."""
        return not cut & {row["pid"] for row in await other.fetch(f"SELECT pid {theirs}")}

    await eventually(gone)
    await other.close()

    async def refused() -> grpc.StatusCode | None:
        try:
            await service.orders.ListAccounts(pb.ListAccountsRequest())
        except grpc.aio.AioRpcError as error:
            return error.code()
        return None

    refusals = [await refused() for _ in range(6)]
    assert set(refusals) <= {None, grpc.StatusCode.UNAVAILABLE}
    assert refusals[-3:] == [None] * 3


@pytest.mark.parametrize(
    "statements",
    [
        ("SET TRANSACTION READ ONLY", "UPDATE accounts SET revision = revision"),
        ("SET LOCAL statement_timeout = 1", "SELECT pg_sleep(1)"),
    ],
)
async def test_what_postgresql_can_not_do_for_a_while_is_to_be_tried_again(
    engines: Engines, statements: tuple[str, ...]
) -> None:
    """A database that only reads, or is too slow, is away: no report is refused for good because of it."""

    async def together() -> None:
        async with engines.postgres.transaction() as connection:
            for statement in statements:
                await connection.execute(statement)

    with pytest.raises(MeshError) as caught:
        await together()
    assert caught.value.reason is Reason.ENGINE_UNAVAILABLE


async def test_what_a_statement_itself_did_wrong_is_not_called_an_absence(engines: Engines) -> None:
    """It would be tried again for ever."""
    async with engines.postgres.connection() as connection:
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await connection.execute("INSERT INTO accounts DEFAULT VALUES")
