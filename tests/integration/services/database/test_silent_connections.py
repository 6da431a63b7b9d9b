"""Connections to PostgreSQL that die without a word: no end is heard, and nothing passes any more."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import pytest

from mesh.draining import Draining
from services.database.config import DatabaseSettings
from services.database.postgres import heartbeat
from services.database.postgres.outbox import Outbox
from services.database.postgres.pool import open_postgres
from tests.integration.services.database.lease_holders import LeaseHolders
from tests.support import eventually, free_port
from tests.support.proxy import CuttableProxy, cuttable_proxy

pytestmark = pytest.mark.integration


@pytest.fixture
async def way(settings: DatabaseSettings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[CuttableProxy, str]]:
    """A proxy before PostgreSQL, and the DSN through it; silence is noticed sooner than in life, yet not where the
    machine is slow."""
    monkeypatch.setattr(heartbeat, "_BEAT_S", 0.1)
    monkeypatch.setattr(heartbeat, "_SILENCE_S", 2.0)
    parts, port = urlsplit(settings.postgres_dsn.get_secret_value()), free_port()
    user, _, _ = parts.netloc.rpartition("@")
    async with cuttable_proxy(port, parts.port or 5432) as proxy:
        yield proxy, urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{port}"))


async def test_who_stands_by_on_a_dead_connection_gets_the_lease_all_the_same(
    settings: DatabaseSettings, way: tuple[CuttableProxy, str]
) -> None:
    """What PostgreSQL says to it is lost; once the way is there again, it holds the lease that became free."""
    proxy, dsn = way
    async with asyncio.TaskGroup() as tasks:
        holders = LeaseHolders(tasks, 0x7E58)
        first = holders.start("first", settings.postgres_dsn.get_secret_value())
        await eventually(lambda: holders.working == ["first"], 30)
        second = holders.start("second", dsn)
        await eventually(lambda: proxy.connections == 1)
        proxy.silent = True
        first.cancel()
        await eventually(lambda: proxy.lost_bytes > 0)
        proxy.silent = False
        await eventually(lambda: holders.working == ["second"], 30)
        second.cancel()


async def test_the_outbox_hears_again_after_its_connection_died(way: tuple[CuttableProxy, str]) -> None:
    """It finds that out by itself, listens anew, and lets every watch look for what it did not hear of."""
    proxy, dsn = way
    async with open_postgres(dsn, 2) as postgres, asyncio.TaskGroup() as tasks:
        outbox = Outbox(postgres, Draining())
        with outbox.commits() as woken:
            listening = tasks.create_task(outbox.listen())
            await eventually(woken.is_set, 30)
            woken.clear()
            proxy.silent, before = True, proxy.accepted
            await eventually(lambda: proxy.accepted > before, 30)
            proxy.silent = False
            await eventually(woken.is_set, 30)
            listening.cancel()
