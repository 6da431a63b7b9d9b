"""Reference records on real engines, with the agent's own stores as the PCs; each test has PCs of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

import grpc
import pytest
import pytest_asyncio
from redis.asyncio import Redis
from suho.common.v1 import record_pb2
from suho.database.v1 import reference_service_pb2 as pb
from suho.database.v1 import reference_service_pb2_grpc

from compose.embedded.clickhouse import ClickHouse as ClickHouseEngine
from compose.embedded.postgres import Postgres as PostgresEngine
from compose.embedded.valkey import Valkey
from mesh.channel import direct_channel
from mesh.config import ServerSettings
from mesh.errors import MeshError, Reason
from mesh.server import open_server, service
from pc_agent.domain import reference as pc
from pc_agent.domain.observation import TerminalLook, seen
from pc_agent.store.journal import State
from pc_agent.store.preferences import LivePreferences
from pc_agent.store.record_messages import record_message
from pc_agent.store.store import Store, open_store
from pc_agent.store.sync import RecordSync
from services.database.cached_preferences import CachedPreferences
from services.database.clickhouse import client as clickhouse_client
from services.database.clickhouse.client import open_clickhouse
from services.database.clickhouse.reference_history import ReferenceHistory
from services.database.domain.reference import Kind
from services.database.migrations import migrations
from services.database.postgres import pool
from services.database.postgres.pool import Postgres, open_postgres
from services.database.postgres.reference import ReferenceRecords
from services.database.reference_rows import record_from
from services.database.servicers.reference import ReferenceServicer
from services.database.valkey import open_valkey
from tests.integration.services.database.conftest import ensure_database
from tests.support import eventually

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

DATABASE = "suho_reference"
SERVICE = "suho.database.v1.ReferenceService"
_numbers = count(1)


@dataclass(frozen=True)
class Database:
    channel: grpc.aio.Channel
    stub: "reference_service_pb2_grpc.ReferenceServiceAsyncStub"
    postgres: Postgres
    cache: Redis
    history: ReferenceHistory


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def database(
    postgres_engine: PostgresEngine, clickhouse_engine: ClickHouseEngine, valkey_engine: Valkey
) -> AsyncIterator[Database]:
    await ensure_database(postgres_engine.dsn, DATABASE)
    dsn = urlunsplit(urlsplit(postgres_engine.dsn)._replace(path=f"/{DATABASE}"))
    url = f"{clickhouse_engine.url}/{DATABASE}"
    async with (
        open_postgres(dsn, 4) as postgres,
        open_clickhouse(url, clickhouse_engine.user, clickhouse_engine.password) as clickhouse,
        open_valkey(valkey_engine.url.removesuffix("0") + "6") as cache,
    ):
        async with postgres.connection() as connection:
            await pool.migrate(connection, migrations("postgres"))
        await clickhouse_client.migrate(clickhouse, migrations("clickhouse"))
        records, history = ReferenceRecords(postgres), ReferenceHistory(postgres, clickhouse)
        servicer = ReferenceServicer(records, CachedPreferences(cache, records, 600), history)
        served = service(reference_service_pb2_grpc.add_ReferenceServiceServicer_to_server, servicer, SERVICE)
        async with (
            open_server(ServerSettings(instance="database-1", port=0), [served]) as server,
            direct_channel([f"127.0.0.1:{server.port}"]) as channel,
        ):
            stub = reference_service_pb2_grpc.ReferenceServiceStub(channel)
            yield Database(channel, stub, postgres, cache, history)


@dataclass(frozen=True)
class Pc:
    """An agent's store, in step with the database whenever a test says so."""

    name: str
    store: Store
    preferences: LivePreferences
    sync: RecordSync

    async def look(self, look: TerminalLook, now_ms: int = 1_000) -> None:
        await self.store.observe(seen(self.name, look), now_ms, self.name)

    async def states(self) -> list[State]:
        return [change.state for change in await self.store.changes(10)]


class Pcs:
    """Makes PCs; `look` is what their terminals show, of a broker that only this test knows."""

    def __init__(self, database: Database, folder: Path, stack: AsyncExitStack) -> None:
        self.user = uuid4()
        self._database = database
        self._folder = folder
        self._stack = stack
        server = f"broker-{next(_numbers)}"
        self.look = TerminalLook(
            "C:/MT5/terminal64.exe", True, server, "Broker Ltd", 42, 0, "USD", 100, 1000.1, 999.9, 50, 512,
            ("EURUSD", "USDJPY"), True,
        )  # fmt: skip

    async def pc(self, name: str) -> Pc:
        store = await self._stack.enter_async_context(open_store(self._folder / name))
        preferences = LivePreferences(store, self.user, name, shared=True)
        await preferences.begin()
        return Pc(name, store, preferences, RecordSync(self._database.channel, store, preferences, self.user, 60))


@pytest_asyncio.fixture(loop_scope="session")
async def pcs(database: Database, tmp_path: Path) -> AsyncIterator[Pcs]:
    async with AsyncExitStack() as stack:
        yield Pcs(database, tmp_path, stack)


async def get(database: Database, kind: int, record_id: UUID) -> record_pb2.Record:
    return (await database.stub.GetRecord(pb.GetRecordRequest(kind=kind, id=str(record_id)))).record  # type: ignore[arg-type]


async def test_what_a_pc_sees_is_at_the_database_and_its_history(database: Database, pcs: Pcs) -> None:
    """Broker, instance and account go up with exact money; each version is in ClickHouse once, copied twice or not."""
    pc_1 = await pcs.pc("pc-1")
    await pc_1.look(pcs.look)
    await pc_1.sync.exchange()
    await pc_1.look(replace(pcs.look, equity=1000.3), 2_000)
    await pc_1.sync.exchange()
    account = pc.account_id(pcs.look.server, 42)
    stored = await get(database, record_pb2.RECORD_KIND_ACCOUNT, account)
    assert (stored.version, stored.account.balance, stored.account.equity) == (2, "1000.1", "1000.3")
    assert {one.record.version for one in await pc_1.store.records()} == {1, 2}
    async with database.postgres.connection() as connection:
        waiting = await connection.fetch("SELECT kind, record FROM reference.version")
        while await database.history.copy():
            pass
        await connection.executemany(
            "INSERT INTO reference.version (kind, record) VALUES ($1, $2)", [tuple(row) for row in waiting]
        )
    while await database.history.copy():
        pass
    asked = pb.ListRecordVersionsRequest(kind=record_pb2.RECORD_KIND_ACCOUNT, id=str(account))
    versions = (await database.stub.ListRecordVersions(asked)).records
    assert [(one.version, one.account.equity, one.updated_unix_ms) for one in versions] == [
        (2, "1000.3", 2_000),
        (1, "999.9", 1_000),
    ]
    assert versions[0] == stored


async def test_two_pcs_with_the_same_account_agree(database: Database, pcs: Pcs) -> None:
    """The second adopts the first one's record and its instance, and neither writes over the other at each look."""
    pc_1, pc_2 = await pcs.pc("pc-1"), await pcs.pc("pc-2")
    await pc_1.look(pcs.look)
    await pc_1.sync.exchange()
    await pc_2.look(pcs.look, 2_000)
    for _ in range(3):
        await pc_2.sync.exchange()
    assert not any(one.waiting for one in await pc_2.store.records())
    first = pc.instance_id("pc-1", pcs.look.path, pcs.look.server)
    account = pc.account_id(pcs.look.server, 42)
    before = (await get(database, record_pb2.RECORD_KIND_ACCOUNT, account)).version
    for now_ms in (3_000, 4_000):
        for one in (pc_1, pc_2):
            await one.sync.exchange()
            await one.look(pcs.look, now_ms)
            await one.sync.exchange()
    after = await get(database, record_pb2.RECORD_KIND_ACCOUNT, account)
    assert (after.version, after.account.instance_id) == (before, str(first))
    assert len(await pc_2.store.records((pc.Kind.INSTANCE,))) == 2


async def test_a_change_made_while_the_mesh_is_away_is_merged(database: Database, pcs: Pcs) -> None:
    """The theme set on one PC and the confirmation set on the other, neither knowing, are both in force everywhere."""
    pc_1, pc_2 = await pcs.pc("pc-1"), await pcs.pc("pc-2")
    await pc_1.preferences.set({"theme": pc.Theme.LIGHT})
    await pc_2.preferences.set({"trade_confirmation": True})
    for one in (pc_1, pc_2, pc_2, pc_1):
        await one.sync.exchange()
    wanted = pc.Preferences(pcs.user, theme=pc.Theme.LIGHT, trade_confirmation=True)
    assert (pc_1.preferences.now, pc_2.preferences.now) == (wanted, wanted)
    assert await pc_2.states() == [State.APPLIED, State.MERGED]


async def test_an_answer_that_is_lost_counts_once(database: Database, pcs: Pcs) -> None:
    """A change whose answer never came is sent again under its id: one version, also when another came in between."""
    pc_1, pc_2 = await pcs.pc("pc-1"), await pcs.pc("pc-2")
    await pc_1.preferences.set({"trade_confirmation": True})
    lost = await pc_1.store.to_send(10)
    changes = [pb.RecordChange(change_id=str(one.change_id), record=record_message(one.record)) for one in lost]
    await database.stub.ExchangeRecords(pb.ExchangeRecordsRequest(changes=changes))
    await pc_2.sync.exchange()
    await pc_2.preferences.set({"trade_confirmation": False})
    await pc_2.sync.exchange()
    await pc_1.sync.exchange()
    stored = await get(database, record_pb2.RECORD_KIND_PREFERENCES, pcs.user)
    assert (stored.version, stored.preferences.trade_confirmation) == (2, False)
    assert not pc_1.preferences.trade_confirmation
    assert await pc_1.states() == [State.APPLIED]


async def test_a_restored_database_is_given_back_what_it_lost(database: Database, pcs: Pcs) -> None:
    """What the PC has seen in a higher version is sent again, and the higher version counts."""
    pc_1 = await pcs.pc("pc-1")
    await pc_1.look(pcs.look)
    await pc_1.preferences.set({"language": "pt-BR"})
    await pc_1.sync.exchange()
    async with database.postgres.connection() as connection:
        await connection.execute(
            "TRUNCATE reference.broker, reference.instance, reference.account, reference.user_preference"
        )
    await database.cache.flushdb()
    await pc_1.sync.exchange()
    await pc_1.sync.exchange()
    stored = await get(database, record_pb2.RECORD_KIND_PREFERENCES, pcs.user)
    assert (stored.version, stored.preferences.language) == (2, "pt-BR")
    account = await get(database, record_pb2.RECORD_KIND_ACCOUNT, pc.account_id(pcs.look.server, 42))
    assert account.account.balance == "1000.1"
    assert not any(one.waiting for one in await pc_1.store.records())


async def test_preferences_of_who_is_there_are_in_the_cache(database: Database, pcs: Pcs) -> None:
    """They are read from it, never older than PostgreSQL's, and leave it when nobody asks for them any more."""
    pc_1 = await pcs.pc("pc-1")
    await pc_1.preferences.set({"theme": pc.Theme.LIGHT})
    await pc_1.sync.exchange()
    key = f"preferences:{pcs.user}"
    assert 0 < await database.cache.ttl(key) <= 600
    old = await database.cache.hget(key, "record")  # type: ignore[misc]
    await pc_1.preferences.set({"theme": pc.Theme.DARK})
    await pc_1.sync.exchange()
    records = ReferenceRecords(database.postgres)
    cached = CachedPreferences(database.cache, records, 600)
    await cached.put(record_from(Kind.PREFERENCES, old))
    assert (
        await get(database, record_pb2.RECORD_KIND_PREFERENCES, pcs.user)
    ).preferences.theme == record_pb2.THEME_DARK
    await database.cache.delete(key)
    assert (await get(database, record_pb2.RECORD_KIND_PREFERENCES, pcs.user)).version == 2
    assert await database.cache.exists(key)


async def test_a_removal_reaches_every_pc(database: Database, pcs: Pcs) -> None:
    """It leaves a tombstone; a terminal that is still logged in brings the account back."""
    pc_1, pc_2 = await pcs.pc("pc-1"), await pcs.pc("pc-2")
    await pc_1.look(pcs.look)
    for one in (pc_1, pc_2):
        await one.look(pcs.look)
        await one.sync.exchange()
        await one.sync.exchange()
    account = pc.Key(pc.Kind.ACCOUNT, pc.account_id(pcs.look.server, 42))
    await pc_1.store.remove(account, 5_000, "pc-1")
    await pc_1.sync.exchange()
    await pc_2.sync.exchange()
    assert not await pc_2.store.records((pc.Kind.ACCOUNT,))
    listed = pb.ListRecordsRequest(kind=record_pb2.RECORD_KIND_ACCOUNT)
    found = [one.account.account_id for one in (await database.stub.ListRecords(listed)).records]
    assert str(account.id) not in found
    await pc_2.look(pcs.look, 6_000)
    await pc_2.sync.exchange()
    await pc_1.sync.exchange()
    assert len(await pc_1.store.records((pc.Kind.ACCOUNT,))) == 1


async def test_changes_that_can_not_be_taken_are_refused_alone(database: Database, pcs: Pcs) -> None:
    """A bad field and an unknown broker are said for their change; what came with them is applied."""
    good = record_pb2.Record(
        preferences=record_pb2.Preferences(
            user_id=str(pcs.user), theme=record_pb2.THEME_DARK, chart_type=record_pb2.CHART_TYPE_BAR, language="en"
        ),
        updated_by="test",
    )
    bad, orphan = record_pb2.Record(), record_pb2.Record(updated_by="test")
    bad.CopyFrom(good)
    bad.preferences.language = "english"
    orphan.instance.CopyFrom(
        record_pb2.TerminalInstance(
            instance_id=str(uuid4()), status=record_pb2.RECORD_STATUS_ACTIVE, broker_id=str(uuid4())
        )
    )
    changes = [pb.RecordChange(change_id=str(uuid4()), record=record) for record in (bad, orphan, good)]
    outcomes = (await database.stub.ExchangeRecords(pb.ExchangeRecordsRequest(changes=changes))).outcomes
    assert [one.verdict for one in outcomes] == [
        pb.CHANGE_VERDICT_REFUSED,
        pb.CHANGE_VERDICT_REFUSED,
        pb.CHANGE_VERDICT_APPLIED,
    ]
    assert "language" in outcomes[0].message
    assert "not known" in outcomes[1].message
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await get(database, record_pb2.RECORD_KIND_ACCOUNT, uuid4())
    assert MeshError.of(unknown.value).reason is Reason.UNKNOWN_RECORD


async def test_a_change_that_meets_another_under_way_is_stale(database: Database, pcs: Pcs) -> None:
    """It waits for the other's end, and is judged by what that left: two of one version are never both applied."""
    pc_1 = await pcs.pc("pc-1")
    await pc_1.look(pcs.look)
    await pc_1.sync.exchange()
    account_id = pc.account_id(pcs.look.server, 42)
    record = await get(database, record_pb2.RECORD_KIND_ACCOUNT, account_id)
    record.account.balance = "2000"
    request = pb.ExchangeRecordsRequest(changes=[pb.RecordChange(change_id=str(uuid4()), record=record)])
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"

    async def send() -> pb.ExchangeRecordsResponse:
        return await database.stub.ExchangeRecords(request)

    async def waits() -> bool:
        async with database.postgres.connection() as connection:
            return bool(await connection.fetchval(waiting))

    async with asyncio.TaskGroup() as tasks, database.postgres.transaction() as other:
        await other.execute("SELECT pg_advisory_xact_lock($1)", account_id.int >> 65)
        await other.execute("UPDATE reference.account SET version = 2 WHERE account_id = $1", account_id)
        answer = tasks.create_task(send())
        await eventually(waits)
    outcome = answer.result().outcomes[0]
    assert (outcome.verdict, outcome.record.version) == (pb.CHANGE_VERDICT_STALE, 2)
    assert outcome.record.account.balance == "1000.1"
