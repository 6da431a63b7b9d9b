"""One running platform, asked from outside: signals, commands, and a client that knows nothing of Suho."""

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from suho.common.v1 import account_pb2
from suho.hub.v1 import config_pb2, config_pb2_grpc
from suho.trading.v1 import order_pb2, trading_pb2, trading_pb2_grpc

from mesh.channel import direct_channel
from mesh.errors import MeshError, Reason
from mesh.structs import struct_of
from pc_agent.twin.control import deal_count
from tests.support import eventually
from tests.support.grpcurl import Told, grpcurl
from tests.support.hub import connected
from tests.support.platform import RunningPlatform, run_platform
from tests.support.suho import Answer, suho

# One platform for all: what they leave in it they count as a difference.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]

LOGIN = "1000001"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform() -> AsyncIterator[RunningPlatform]:
    async with run_platform() as running:
        await running.ready()
        yield running


async def send(platform: RunningPlatform, *more: str, symbol: str = "EURUSD", volume: str = "0.10") -> Answer:
    words = ("--account", LOGIN, "--symbol", symbol, "--side", "buy", "--volume", volume, "--valid-ms", "60000")
    return await suho("signal", "send", *words, "--json", *more, state=platform.state)


async def test_a_signal_is_filled_reported_and_stored(platform: RunningPlatform) -> None:
    """It comes back with ticket, price and what each part took; stored as FILLED; sent twice it is one deal."""
    before = await asyncio.to_thread(deal_count, platform.twin)
    first = await send(platform, "--id", "mine")
    assert first.status == 0, first.err
    report = first.json
    assert report["state"] == "FILLED"
    assert report["ticket"] > 0
    assert float(report["filled_price"]) > 0
    assert {"committed", "sent", "received", "called", "answered"} <= set(report["took_ms"])

    again = await send(platform, "--id", "mine")
    assert (again.status, again.json["duplicate"], again.json["ticket"]) == (0, True, report["ticket"])
    assert (await suho("orders", "--json", state=platform.state)).json["orders"][0]["state"] == "FILLED"
    assert await asyncio.to_thread(deal_count, platform.twin) == before + 1

    other = await send(platform, "--id", "mine", volume="0.20")
    assert other.status == 1
    assert "SIGNAL_ID_REUSED" in other.err


async def test_bad_signals_are_refused_in_words(platform: RunningPlatform) -> None:
    """Unknown symbol, volume 0, an unknown account: a reason, and nothing in the twin's books."""
    before = await asyncio.to_thread(deal_count, platform.twin)
    for answer, status, reason in (
        (await send(platform, symbol="NOSUCH"), 1, "UNKNOWN_SYMBOL"),
        (await send(platform, volume="0"), 2, "--volume"),
        (await send(platform, volume="0.001"), 1, "VOLUME"),
        (await send(platform, "--sl", "nan"), 2, "--sl"),
    ):
        assert answer.status == status
        assert reason in answer.out + answer.err
    empty = await send(platform, "--id", "")
    assert (empty.status, "--id" in empty.err) == (2, True)
    nobody = await suho(
        *("signal", "send", "--account", "7", "--symbol", "EURUSD", "--side", "buy", "--volume", "1"),
        state=platform.state,
    )
    assert (nobody.status, "not known" in nobody.err) == (1, True)
    assert await asyncio.to_thread(deal_count, platform.twin) == before


class Trader:
    """Asks the engine, as programs do."""

    def __init__(self, platform: RunningPlatform, channel: grpc.aio.Channel) -> None:
        self._account = account_pb2.AccountRef(server=platform.server, login=int(LOGIN))
        self._stub: trading_pb2_grpc.TradingServiceAsyncStub = trading_pb2_grpc.TradingServiceStub(channel)

    async def filled(self, **fields: object) -> order_pb2.Order:
        """The order, once it is filled."""
        request = trading_pb2.SubmitSignalRequest(
            signal_id=str(uuid.uuid4()), account=self._account, valid_for_ms=60_000, **fields
        )  # type: ignore[arg-type]
        order = (await self._stub.SubmitSignal(request, timeout=30)).order
        async for answer in self._stub.WatchOrder(trading_pb2.WatchOrderRequest(signal_id=order.signal_id), timeout=30):
            order = answer.order
        assert order.state == order_pb2.ORDER_STATE_FILLED, order
        return order


async def test_a_position_is_closed_by_its_ticket_right_behind_its_fill(platform: RunningPlatform) -> None:
    """The engine has heard by then what the terminal holds, and takes the rest from that."""
    assert (await suho("close", "--all", state=platform.state)).status == 0
    async with direct_channel([f"127.0.0.1:{platform.mesh['ports']['trading-engine']}"]) as channel:
        trader, buy, kind = Trader(platform, channel), order_pb2.ORDER_SIDE_BUY, order_pb2.OrderKind
        for _ in range(3):
            opened = await trader.filled(kind=kind.ORDER_KIND_MARKET, symbol="EURUSD", side=buy, volume="0.02")

            async def closed(ticket: int = opened.ticket) -> order_pb2.Order | None:
                try:
                    return await trader.filled(kind=kind.ORDER_KIND_CLOSE, position=ticket)
                except grpc.aio.AioRpcError as error:
                    if MeshError.of(error).reason is Reason.UNKNOWN_TICKET:
                        return None
                    raise

            assert float((await eventually(closed, 20)).filled_volume) == 0.02


async def test_the_agent_follows_what_the_mesh_keeps_for_it(platform: RunningPlatform) -> None:
    """A setting given from outside is in force in moments; one that is no good is refused, and everybody sees why."""
    async with direct_channel(platform.hubs) as channel:
        config = config_pb2_grpc.ConfigServiceStub(channel)

        async def put(**values: object) -> None:
            target = config_pb2.ConfigTarget(service="pc-agent")
            said = config_pb2.PutConfigRequest(target=target, values=struct_of(values), reason="e2e", by="a test")
            await config.PutConfig(said, timeout=30)

        async def tells(version: int, refusal: str) -> bool:
            answer = await config.ListConfigReports(config_pb2.ListConfigReportsRequest(), timeout=30)
            return [(told.service_version, refusal in told.refusal) for told in answer.reports] == [(version, True)]

        await put(max_order_volume="0.05")
        await eventually(lambda: tells(1, ""), 30)
        too_much = await send(platform, volume="0.10")
        assert too_much.status == 1
        assert "0.05" in too_much.out + too_much.err
        await put(state_dir="/elsewhere")
        await eventually(lambda: tells(1, "'state_dir' is this PC's alone"), 30)
        await put()
        await eventually(lambda: tells(3, ""), 30)


async def test_every_command_answers(platform: RunningPlatform) -> None:
    """The commands of the README speak JSON and tables of a running platform."""
    instances = (await suho("instances", "--json", state=platform.state)).json["instances"]
    services = [item for item in instances if item["process_id"]]
    assert {item["service"] for item in services} >= {"hub", "database", "data-bridge", "trading-engine", "pc-agent"}
    assert {item["status"] for item in services} == {"INSTANCE_STATUS_UP"}
    status = (await suho("status", "--json", state=platform.state)).json
    assert sorted(lane["lane"] for lane in status["bridge"]["lanes"]) == [1, 2, 3, 4]
    tail = await suho("ticks", "tail", "EURUSD", "-n", "2", "--json", state=platform.state)
    assert len(tail.out.splitlines()) == 2

    async def counted() -> bool:
        stats = await suho("ticks", "stats", "EURUSD", "--json", state=platform.state)
        return stats.status == 0 and stats.json["stats"][0]["stored"] > 0

    await eventually(counted, 40)
    commands = (
        *(["status"], ["services"], ["instances", "hub"], ["drains"], ["mesh", "state"], ["mesh", "clients"]),
        *(["mesh", "policy", "list"], ["orders"], ["ticks", "stats", "EURUSD"], ["logs", "hub"]),
    )
    for answer in await asyncio.gather(*(suho(*command, state=platform.state) for command in commands)):
        assert (answer.status, bool(answer.out)) == (0, True), answer.err
    unknown = await suho("ticks", "stats", "NOSUCH", state=platform.state)
    assert (unknown.status, "NOSUCH" in unknown.err) == (1, True)


async def test_ticks_are_served_audited_and_taken_out_and_in(platform: RunningPlatform, tmp_path: Path) -> None:
    """Recent ticks, bars, an audit that matches, a doctor that finds nothing; an export holds what an import has."""

    async def ask(*words: str) -> Answer:
        return await suho("ticks", *words, "--json", state=platform.state)

    assert len((await ask("recent", "EURUSD", "-n", "5")).out.splitlines()) >= 1
    bars = await ask("bars", "EURUSD", "--timeframe", "M1", "-n", "2")
    assert (bars.status, '"ticks"' in bars.out) == (0, True), bars.err
    audit = await ask("audit", "EURUSD")
    assert (audit.status, "MATCHES" in audit.out) == (0, True), audit.err + audit.out

    async def is_well() -> bool:
        """Who is busy for a moment is to be asked again."""
        doctor = await ask("doctor", "EURUSD")
        assert doctor.status == 0, doctor.err + doctor.out
        return True

    await eventually(is_well, 30)
    folder = str(tmp_path / "out")
    export = await ask("export", "EURUSD", "--out", folder)
    assert export.status == 0, export.err
    again = await ask("import", folder)
    assert (again.status, again.json["imported"]) == (0, 0), again.out + again.err
    unknown = await ask("recent", "eurusd")
    assert (unknown.status, "EURUSD" in unknown.err) == (1, True)


SCRIPT = """
import grpc, sys
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

with grpc.insecure_channel("xds:///mesh") as channel:
    for path in sys.argv[1].split(","):
        channel.unary_unary(path)(b"", timeout=30)
        print(path)
for address in sys.argv[2].split(","):
    with grpc.insecure_channel(address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        ask = reflection_pb2.ServerReflectionRequest(list_services="")
        for answer in stub.ServerReflectionInfo(iter([ask]), timeout=30):
            print(address, *(service.name for service in answer.list_services_response.service))
"""
METHODS = (
    "/suho.database.v1.TickService/GetSinkStatus",
    "/suho.market.v1.BridgeService/GetBridgeStatus",
    "/suho.trading.v1.TradingService/ListAccounts",
)
OFFERED = {
    "hub": {"suho.hub.v1.RegistryService", "envoy.service.discovery.v3.AggregatedDiscoveryService"},
    "database": {"suho.database.v1.TickService", "suho.database.v1.OrderService"},
    "data-bridge": {"suho.market.v1.BridgeService"},
    "trading-engine": {"suho.trading.v1.TradingService", "suho.trading.v1.AgentLinkService"},
}
EVERYWHERE = {"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.channelz.v1.Channelz"}


async def test_a_plain_script_reaches_every_service(platform: RunningPlatform, tmp_path: Path) -> None:
    """`suho bootstrap` in the environment is all it needs; reflection lists what each server offers."""
    bootstrap = await suho("bootstrap", state=platform.state)
    addresses = {name: f"127.0.0.1:{platform.mesh['ports'][name]}" for name in OFFERED}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-c", SCRIPT, ",".join(METHODS), ",".join(addresses.values())),
        stdout=asyncio.subprocess.PIPE,
        cwd=tmp_path,
        env={"PATH": os.defpath, "GRPC_XDS_BOOTSTRAP_CONFIG": bootstrap.out},
    )
    out, _ = await process.communicate()
    lines = out.decode().splitlines()
    assert lines[: len(METHODS)] == list(METHODS)
    offered = {address: set(names) for address, *names in (line.split() for line in lines[len(METHODS) :])}
    for name, address in addresses.items():
        assert OFFERED[name] | EVERYWHERE <= offered[address]


async def _servers(platform: RunningPlatform) -> dict[str, set[str]]:
    """What each instance with a gRPC address serves, by address."""
    async with connected(platform.hubs[0]) as hub:
        instances = await hub.instances()
    return {
        f"{at.host}:{at.port}": {*item.grpc_services, *EVERYWHERE}
        for item in instances.values()
        for at in item.addresses
        if at.name == "grpc"
    }


async def test_grpcurl_knows_every_server_by_reflection_alone(platform: RunningPlatform, grpcurl_binary: Path) -> None:
    """Each lists and describes what it serves and is healthy; methods take JSON, streams come, errors bear a reason."""
    servers = await _servers(platform)
    at = {service: address for address, services in servers.items() for service in services}
    assert set().union(*OFFERED.values()) <= at.keys()
    for address, services in servers.items():
        listed = await grpcurl(grpcurl_binary, address, "list")
        assert services <= set(listed.out.split()), listed.err
        described = await grpcurl(grpcurl_binary, address, "describe")
        assert services <= {line.split()[0] for line in described.out.splitlines() if line.endswith("is a service:")}
        assert described.status == 0, described.err
        health = await grpcurl(grpcurl_binary, address, "grpc.health.v1.Health/Check")
        assert health.messages == [{"status": "SERVING"}], health.err

    async def ask(path: str, data: str) -> Told:
        return await grpcurl(grpcurl_binary, at[path.partition("/")[0]], path, data=data)

    stats = await ask("suho.database.v1.TickService/GetTickStats", '{"symbol": "EURUSD", "counts_only": true}')
    assert stats.messages[0]["stats"][0]["symbol"]["symbol"] == "EURUSD", stats.err
    tail = await ask("suho.market.v1.BridgeService/TailTicks", '{"symbols": [{"symbol": "EURUSD"}], "limit": 2}')
    assert [message["tick"]["symbol"] for message in tail.messages] == ["EURUSD"] * 2, tail.err
    accounts = await ask("suho.trading.v1.TradingService/ListAccounts", "{}")
    assert accounts.messages[0]["accounts"][0]["account"]["login"] == LOGIN, accounts.err
    refused = await ask("suho.hub.v1.RegistryService/Resolve", '{"service": "ghost"}')
    assert refused.status == 64 + grpc.StatusCode.NOT_FOUND.value[0]
    assert ("ghost" in refused.err, '"reason":"UNKNOWN_SERVICE"' in refused.err.replace(" ", "")) == (True, True)


async def test_suho_call_goes_through_the_mesh(platform: RunningPlatform) -> None:
    """The hub routes it, an instance tells the contract; a refusal names its layer. Top shows the agent's lanes."""
    stats = await suho("call", "TickService/GetTickStats", '{"symbol": "EURUSD"}', state=platform.state)
    assert (stats.status, stats.json["stats"][0]["symbol"]["symbol"]) == (0, "EURUSD"), stats.err
    refused = await suho("call", "RegistryService/Resolve", '{"service": "ghost"}', "--json", state=platform.state)
    assert (refused.status, refused.json["layer"], refused.json["reason"]) == (1, "application", "UNKNOWN_SERVICE")
    top = (await suho("top", "--json", state=platform.state)).json
    assert (top["away"], sorted(lane["lane"] for lane in top["lanes"])) == ("", [1, 2, 3, 4])
