"""A person's signal, from the command line to the twin's books and back."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from pc_agent.twin.control import deal_count
from tests.support import eventually, free_port
from tests.support.platform import RunningPlatform, run_platform
from tests.support.proxy import cuttable_proxy
from tests.support.suho import Answer, suho

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

LOGIN = "1000001"


@pytest.fixture
async def platform() -> AsyncIterator[RunningPlatform]:
    async with run_platform() as running:
        await running.ready()
        yield running


async def send(platform: RunningPlatform, *more: str, symbol: str = "EURUSD", volume: str = "0.10") -> Answer:
    words = ("signal", "send", "--account", LOGIN, "--symbol", symbol, "--side", "buy", "--volume", volume, "--json")
    return await suho(*words, *more, state=platform.state)


async def test_a_signal_is_filled_reported_and_stored(platform: RunningPlatform) -> None:
    """It comes back with ticket, price and what each part took; stored as FILLED; sent twice it is one deal."""
    first = await send(platform, "--id", "mine")
    assert first.status == 0, first.err
    report = first.json
    assert report["state"] == "FILLED"
    assert report["ticket"] > 0
    assert float(report["filled_price"]) > 0
    assert {"decide_and_commit", "order_send"} <= set(report["took_ms"])

    again = await send(platform, "--id", "mine")
    assert (again.status, again.json["duplicate"], again.json["ticket"]) == (0, True, report["ticket"])
    assert (await suho("orders", "--json", state=platform.state)).json["orders"][0]["state"] == "FILLED"
    assert await asyncio.to_thread(deal_count, platform.twin) == 1

    other = await send(platform, "--id", "mine", volume="0.20")
    assert other.status == 1
    assert "SIGNAL_ID_REUSED" in other.err


async def test_bad_signals_are_refused_in_words(platform: RunningPlatform) -> None:
    """Unknown symbol, volume 0, an unknown account: a reason, and nothing in the twin's books."""
    for answer, reason in (
        (await send(platform, symbol="NOSUCH"), "UNKNOWN_SYMBOL"),
        (await send(platform, volume="0"), "volume"),
        (await send(platform, volume="0.001"), "VOLUME"),
        (await send(platform, "--sl", "nan"), "stop_loss"),
    ):
        assert answer.status == 1
        assert reason in answer.out + answer.err
    nobody = await suho(
        *("signal", "send", "--account", "7", "--symbol", "EURUSD", "--side", "buy", "--volume", "1"),
        state=platform.state,
    )
    assert (nobody.status, "not known" in nobody.err) == (1, True)
    assert await asyncio.to_thread(deal_count, platform.twin) == 0


async def test_every_command_answers(platform: RunningPlatform) -> None:
    """The commands of the README speak JSON and tables of a running platform."""
    services = (await suho("services", "--json", state=platform.state)).json["instances"]
    assert {item["service"] for item in services} >= {"hub", "database", "data-bridge", "trading-engine", "pc-agent"}
    assert {item["status"] for item in services} == {"INSTANCE_STATUS_UP"}
    status = (await suho("status", "--json", state=platform.state)).json
    assert sorted(lane["lane"] for lane in status["bridge"]["lanes"]) == [1, 2, 3, 4]
    tail = await suho("ticks", "tail", "EURUSD", "-n", "2", "--json", state=platform.state)
    assert len(tail.out.splitlines()) == 2

    async def counted() -> bool:
        stats = await suho("ticks", "stats", "EURUSD", "--json", state=platform.state)
        return stats.status == 0 and stats.json["stats"][0]["stored"] > 0

    await eventually(counted, 20)
    for command in (["status"], ["services"], ["orders"], ["ticks", "stats", "EURUSD"], ["logs", "hub"]):
        answer = await suho(*command, state=platform.state)
        assert (answer.status, bool(answer.out)) == (0, True), answer.err
    unknown = await suho("ticks", "stats", "NOSUCH", state=platform.state)
    assert (unknown.status, "NOSUCH" in unknown.err) == (1, True)


async def test_the_agent_has_five_data_connections_and_a_cut_one_loses_nothing(tmp_path: Path) -> None:
    """Counted from outside: one to the engine, four to the bridge; ticks stay exact though each of the four is cut."""
    bridge, published = free_port(), free_port()
    environment = {"SUHO_DATA_BRIDGE_PORT": str(bridge), "SUHO_DATA_BRIDGE_PUBLISHED_PORT": str(published)}
    async with (
        cuttable_proxy(published, bridge) as proxy,
        run_platform("--for", "12", state=tmp_path / "state", environment=environment) as platform,
    ):
        await platform.ready()
        pid = platform.pid_of("pc-agent")
        assert pid is not None
        engine = platform.mesh["ports"]["trading-engine"]
        ports = [c.raddr.port for c in psutil.Process(pid).net_connections("tcp") if c.status == "ESTABLISHED"]
        assert (ports.count(published), ports.count(engine)) == (4, 1)
        for cut in range(4):
            proxy.cut_one()
            await eventually(lambda cut=cut: proxy.accepted == 5 + cut and proxy.connections == 4, 15)
        summary = await platform.summary()
        assert platform.process.returncode == 0, platform.messages[-4000:]
    assert all(facts["lost"] == 0 for facts in summary["symbols"].values())
    assert sum(facts["distinct"] for facts in summary["symbols"].values()) > 0
