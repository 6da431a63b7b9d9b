"""Audits, imports and traces: a bridge, an agent with a history of its own, and the real database service."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit, urlunsplit

import grpc
import numpy as np
import pytest
import pytest_asyncio
from pydantic import SecretStr
from suho.database.v1 import tick_service_pb2 as db
from suho.database.v1 import tick_service_pb2_grpc
from suho.market.v1 import bridge_pb2 as pb
from suho.market.v1 import bridge_pb2_grpc, tick_pb2

from compose.embedded.clickhouse import ClickHouse
from compose.embedded.nats import Nats
from compose.embedded.postgres import Postgres
from compose.embedded.valkey import Valkey
from mesh.bus import open_bus
from mesh.channel import direct_channel
from mesh.draining import Draining
from mesh.market import Batch, codec, subjects
from mesh.server import open_server
from services.data_bridge.app import open_bridge
from services.data_bridge.config import BridgeSettings
from services.data_bridge.domain.repair import select
from services.database.app import follow, open_engines, sinks_of
from services.database.app import services as database_services
from services.database.clickhouse.incidents import Incidents
from services.database.config import DatabaseSettings
from services.database.postgres.outbox import Outbox
from tests.integration.services.data_bridge.agent import lane
from tests.integration.services.data_bridge.conftest import PATIENT
from tests.integration.services.data_bridge.terminal import Terminal, refs
from tests.integration.services.data_bridge.ticks import SERVER, START_MSC, history
from tests.integration.services.database.conftest import DATABASE, ensure_database
from tests.support import eventually
from tests.support.streams import delete_stream

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

HOUR_MSC = 3_600_000
DAY_MSC = 24 * HOUR_MSC
HOURS = (0, 5, 6)


@dataclass(frozen=True)
class Platform:
    """Two bridges and a database service; the agent streams through the first."""

    port: int
    bridges: "Sequence[bridge_pb2_grpc.BridgeServiceAsyncStub]"
    ticks: "tick_service_pb2_grpc.TickServiceAsyncStub"
    terminal: Terminal

    async def audit(self, *symbols: str, heal: bool, bridge: int = 0) -> dict[str, pb.AuditTicksResponse]:
        request = pb.AuditTicksRequest(symbols=refs(symbols), from_msc=START_MSC, to_msc=START_MSC + 1, heal=heal)
        answers = [answer async for answer in self.bridges[bridge].AuditTicks(request, timeout=30)]
        return {answer.symbol.symbol: answer for answer in answers}

    async def stored(self, symbol: str) -> Batch:
        request = db.GetTicksRequest(symbol=refs([symbol])[0], from_msc=START_MSC)
        batches = [
            codec.decode(tick_pb2.TickBatchTwin.FromString(answer.batch.SerializeToString()))
            async for answer in self.ticks.GetTicks(request, timeout=30)
        ]
        return Batch.join(batches)

    async def incidents(self, kind: str) -> set[str]:
        answer = await self.ticks.ListTickIncidents(db.ListTickIncidentsRequest(kind=kind), timeout=30)
        return {incident.symbol.symbol for incident in answer.incidents}


def day(symbol: str, hours: Sequence[int] = HOURS) -> Batch:
    """300 ticks at the beginning of each hour, and some a day later, so that the day is over."""
    pieces = [history(300, symbol, START_MSC + hour * HOUR_MSC) for hour in hours]
    return Batch.join([*pieces, history(6, symbol, START_MSC + DAY_MSC + HOUR_MSC)])


def without(batch: Batch, *left_out: int) -> Batch:
    found = select(batch, ~np.isin(np.arange(len(batch)), left_out))
    assert found is not None
    return found


def changed(batch: Batch, index: int) -> Batch:
    return replace(batch, bid=np.where(np.arange(len(batch)) == index, 0.5, batch.bid))


STREAMED = {
    "EQUAL": day("EQUAL"),
    "EMPTY": day("EMPTY", ()),
    "MISSING": without(day("MISSING"), 0, 400, 401, 402),
    "CHANGED": day("CHANGED"),
    "REMOVED": day("REMOVED"),
    "EMPTIED": day("EMPTIED"),
    "EXTENDED": day("EXTENDED", (0, 6)),
    "TOLD": day("TOLD"),
}
HISTORY = {
    "MISSING": day("MISSING"),
    "CHANGED": changed(day("CHANGED"), 310),
    "REMOVED": without(day("REMOVED"), 310, 599),
    "EMPTIED": day("EMPTIED", (0, 6)),
    "EXTENDED": day("EXTENDED"),
    "TOLD": changed(day("TOLD"), 0),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform(
    postgres_engine: Postgres, clickhouse_engine: ClickHouse, valkey_engine: Valkey, nats_engine: Nats
) -> AsyncIterator[Platform]:
    await ensure_database(postgres_engine.dsn, DATABASE)
    async with open_bus(nats_engine.url, "test") as bus:
        for stream in (subjects.TICKS_STREAM, subjects.BACKFILL_STREAM):
            await delete_stream(nats_engine, bus, stream)
    settings = DatabaseSettings(
        instance="database-1",
        port=0,
        hubs=("127.0.0.1:1",),
        postgres_dsn=SecretStr(urlunsplit(urlsplit(postgres_engine.dsn)._replace(path=f"/{DATABASE}"))),
        clickhouse_url=f"{clickhouse_engine.url}/{DATABASE}",
        clickhouse_user=clickhouse_engine.user,
        clickhouse_password=SecretStr(clickhouse_engine.password),
        valkey_url=SecretStr(valkey_engine.url),
        nats_url=SecretStr(nats_engine.url),
        log_max_bytes=64 << 20,
        backfill_max_bytes=64 << 20,
    )
    terminal = Terminal(STREAMED, HISTORY)
    async with _database(settings) as channel, AsyncExitStack() as stack:
        bridges, ports = [], []
        for number in (1, 2):
            given = BridgeSettings(instance=f"bridge-{number}", port=0, nats_url=SecretStr(nats_engine.url), **PATIENT)
            server = await stack.enter_async_context(open_bridge(given, channel))
            to_bridge = await stack.enter_async_context(direct_channel([f"127.0.0.1:{server.port}"]))
            bridges.append(bridge_pb2_grpc.BridgeServiceStub(to_bridge))
            ports.append(server.port)
        await stack.enter_async_context(terminal.streaming(ports[0]))
        yield Platform(ports[0], bridges, tick_service_pb2_grpc.TickServiceStub(channel), terminal)


@asynccontextmanager
async def _database(settings: DatabaseSettings) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a database service whose sinks run."""
    async with open_engines(settings) as engines:
        for table in ("ticks", "tick_quarantine", "tick_corrections", "tick_incidents"):
            await engines.clickhouse.command(f"TRUNCATE TABLE {table}")
        incidents = Incidents(engines.clickhouse)
        followings = follow(settings, engines, incidents)
        outbox = Outbox(engines.postgres, Draining())
        served = database_services(engines, sinks_of(engines, followings), incidents, outbox)
        async with (
            open_server(settings, served) as server,
            direct_channel([f"127.0.0.1:{server.port}"]) as channel,
            asyncio.TaskGroup() as tasks,
        ):
            running = [tasks.create_task(one.sink.run()) for one in followings]
            yield channel
            for task in running:
                task.cancel()


async def test_an_audit_finds_what_differs(platform: Platform) -> None:
    """Every symbol that an agent streams, by hours, whichever bridge is asked; nothing is changed."""
    found = await platform.audit(heal=False, bridge=1)
    assert found.keys() == STREAMED.keys()
    matching = {symbol for symbol, answer in found.items() if answer.state == pb.AUDIT_STATE_MATCHES}
    assert matching == {"EQUAL", "EMPTY"}
    equal = found["EQUAL"]
    assert (equal.terminal_ticks, equal.log_ticks, equal.stored_ticks) == (900, 900, 900)
    hours = [(item.from_msc - START_MSC) // HOUR_MSC for item in found["MISSING"].differing]
    assert hours == [0, 5]
    assert found["CHANGED"].state == pb.AUDIT_STATE_DIFFERS


async def test_an_audit_heals_what_differs(platform: Platform) -> None:
    """Afterwards readers of the newest generation see what the terminal has, and the audit finds nothing."""
    symbols = [symbol for symbol in STREAMED if symbol != "TOLD"]
    healed = await platform.audit(*symbols, heal=True)
    states = {symbol: (answer.state, answer.healed_ticks, answer.generation) for symbol, answer in healed.items()}
    assert states == {
        "EQUAL": (pb.AUDIT_STATE_MATCHES, 0, 0),
        "EMPTY": (pb.AUDIT_STATE_MATCHES, 0, 0),
        "MISSING": (pb.AUDIT_STATE_HEALED, 4, 0),
        "CHANGED": (pb.AUDIT_STATE_CORRECTED, 300, 1),
        "REMOVED": (pb.AUDIT_STATE_CORRECTED, 298, 1),
        "EMPTIED": (pb.AUDIT_STATE_CORRECTED, 0, 1),
        "EXTENDED": (pb.AUDIT_STATE_HEALED, 300, 0),
    }
    for symbol in symbols:
        stored, terminal = await platform.stored(symbol), platform.terminal.history[symbol]
        for name, column in terminal.columns().items():
            assert np.array_equal(stored.columns()[name], column), (symbol, name)
    again = await platform.audit(*symbols, heal=False)
    assert {answer.state for answer in again.values()} == {pb.AUDIT_STATE_MATCHES}

    async def told() -> bool:
        return "CHANGED" in await platform.incidents("AUDIT_HEALED")

    await eventually(told)


async def test_a_changed_history_is_audited_at_once(platform: Platform) -> None:
    """The agent that streams it reports it, people are alerted, and its day is healed; of another's word nothing."""
    async with lane(platform.port, agent="pc-9") as other:
        said = pb.HistoryChanged(symbol=refs(["EQUAL"])[0], bid=1.0)
        await other.call.write(pb.StreamTicksRequestTwin(changed=[said]).SerializeToString())
        await other.open("ANOTHER")
    await platform.terminal.say_changed("TOLD", platform.terminal.history["TOLD"].first_id)

    async def healed() -> bool:
        return bool((await platform.stored("TOLD")).bid[0] == 0.5)

    await eventually(healed)
    assert await eventually(lambda: platform.incidents("HISTORY_CHANGED")) == {"TOLD"}


async def test_a_symbol_is_traced_from_terminal_to_log(platform: Platform) -> None:
    """Who streams it, where the agent stands, and what the log has; whichever bridge is asked."""
    for bridge in platform.bridges:
        trace = await bridge.TraceSymbol(pb.TraceSymbolRequest(symbol=refs(["EQUAL"])[0]), timeout=30)
        assert (trace.agent, trace.bridge) == ("pc-1", "bridge-1")
        last = tick_pb2.TickId(time_msc=STREAMED["EQUAL"].last_id.time_msc, ordinal=2)
        last.ordinal = STREAMED["EQUAL"].last_id.ordinal
        assert trace.position.terminal == trace.position.acknowledged == trace.cursor == trace.log_last == last
        assert trace.position.terminal_connected
        assert trace.log_seq > 0
        assert trace.logged_unix_ns > trace.read_unix_ns > 0
    nobody = await platform.bridges[0].TraceSymbol(pb.TraceSymbolRequest(symbol=refs(["NONE"])[0]), timeout=30)
    assert (nobody.agent, nobody.log_seq, nobody.HasField("position")) == ("", 0, False)


async def test_a_symbol_that_nobody_streams_is_unanswered(platform: Platform) -> None:
    """Named in full it is told so; a name that stands for nothing is refused."""
    assert (await platform.audit("NONE", heal=True))["NONE"].state == pb.AUDIT_STATE_UNANSWERED
    request = pb.AuditTicksRequest(symbols=[tick_pb2.SymbolRef(symbol="NONE")], from_msc=1, to_msc=2)
    with pytest.raises(grpc.aio.AioRpcError, match="no agent streams NONE"):
        _ = [answer async for answer in platform.bridges[0].AuditTicks(request, timeout=30)]


async def test_files_are_imported(platform: Platform) -> None:
    """Durable when answered, stored soon; flawed values are quarantined; sent twice they are stored once."""
    ticks = day("FILED")
    flawed = replace(ticks.slice(0, 5), symbol="FLAWED", bid=np.full(5, np.nan))
    requests = [
        pb.ImportTicksRequest.FromString(
            pb.ImportTicksRequestTwin(batches=[tick_pb2.TickBatchTwin(**codec.fields(batch))]).SerializeToString()
        )
        for batch in (ticks, ticks, flawed)
    ]
    answers = [answer async for answer in platform.bridges[0].ImportTicks(iter(requests), timeout=30)]
    assert [(answer.ticks, answer.quarantined) for answer in answers] == [(906, 0), (906, 0), (0, 5)]

    async def stored() -> list[tuple[str, int, int, int]]:
        request = db.GetTickStatsRequest(server=SERVER)
        stats = (await platform.ticks.GetTickStats(request, timeout=30)).stats
        found = [(s.symbol.symbol, s.stored, s.distinct, s.quarantined) for s in stats]
        return [item for item in found if item[0] in ("FILED", "FLAWED")]

    await eventually(lambda: _is(stored, [("FILED", 906, 906, 0), ("FLAWED", 0, 0, 5)]))


async def _is(ask: object, expected: object) -> bool:
    assert (found := await ask()) == expected, found  # type: ignore[operator]
    return True


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"symbol": ""}, "symbol"),
        ({"agent": ""}, "agent is not set"),
        ({"generation": 2}, "generation"),
        ({"count": 7}, "count says 7"),
    ],
)
async def test_what_breaks_the_contract_is_not_imported(
    platform: Platform, change: dict[str, object], wrong: str
) -> None:
    """The refusal says what is wrong."""
    batch = tick_pb2.TickBatchTwin(**{**codec.fields(history(3)), **change})
    request = pb.ImportTicksRequest.FromString(pb.ImportTicksRequestTwin(batches=[batch]).SerializeToString())
    with pytest.raises(grpc.aio.AioRpcError, match=wrong) as refused:
        _ = [answer async for answer in platform.bridges[0].ImportTicks(iter([request]), timeout=30)]
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_agent_that_goes_away_in_the_middle_is_told(platform: Platform) -> None:
    """The audit ends at once, with the day unanswered."""
    terminal = platform.terminal
    terminal.silent, asked = True, terminal.asked
    async with asyncio.TaskGroup() as tasks:
        audit = tasks.create_task(platform.audit("EQUAL", heal=True, bridge=1))
        await eventually(lambda: terminal.asked > asked)
        terminal.call.cancel()
    answer = audit.result()["EQUAL"]
    assert answer.state == pb.AUDIT_STATE_UNANSWERED
    assert "went away" in answer.detail
