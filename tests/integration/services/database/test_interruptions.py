"""Engines that go away, and instances that share."""

import asyncio
import secrets
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr
from suho.database.v1 import order_service_pb2 as pb

from compose.embedded.alone import running
from compose.embedded.nats import Nats
from mesh.bus import open_bus
from services.database.app import Engines, follow, open_engines
from services.database.clickhouse.incidents import Incidents
from services.database.config import DatabaseSettings
from services.database.postgres.lease import holder, while_leased
from tests.integration.services.database.conftest import Stubs
from tests.integration.services.database.ticks import batch, publish
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
            await eventually(lambda: sink.stored_rows == 600, timeout_s=15)
            following.cancel()
        assert await engines.clickhouse.rows("SELECT count() AS n FROM ticks") == [{"n": 600}]


async def test_one_instance_at_a_time_holds_the_lease(engines: Engines) -> None:
    """The second waits, and works as soon as the first one's connection is gone; the first is cancelled, and waits."""
    dsn, lease = engines.postgres.dsn, 0x7E57
    working: list[str] = []

    def work(name: str) -> "asyncio.Task[None]":
        async def hold() -> None:
            working.append(name)
            try:
                await asyncio.Event().wait()
            finally:
                working.remove(name)

        return tasks.create_task(while_leased(dsn, lease, name, hold))

    async with asyncio.TaskGroup() as tasks, engines.postgres.connection() as connection:
        first = work("first")
        await eventually(lambda: working == ["first"])
        second = work("second")
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = $1 AND NOT granted"

        async def stands_by() -> bool:
            return await connection.fetchval(waiting, lease) == 1

        await eventually(stands_by)
        assert working == ["first"]
        assert await holder(engines.postgres, lease) == "first"
        end = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE objid = $1 AND granted"
        assert await connection.fetchval(end, lease)
        await eventually(lambda: working == ["second"])
        assert await holder(engines.postgres, lease) == "second"
        await eventually(stands_by)
        first.cancel()
        second.cancel()


async def test_a_cut_connection_fails_no_later_call(service: Stubs, engines: Engines) -> None:
    """PostgreSQL drops every pooled connection: the next calls get new ones."""
    dsn = engines.postgres.dsn
    other = await asyncpg.connect(dsn)
    cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()"
    assert await other.fetchval(f"{cut} AND pid <> pg_backend_pid()") >= 2
    await other.close()

    async def answers() -> bool:
        return not (await service.orders.ListAccounts(pb.ListAccountsRequest())).accounts

    assert await eventually(answers)
