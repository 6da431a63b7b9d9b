"""The agent's five connections, counted and cut from outside."""

from pathlib import Path

import psutil
import pytest

from tests.support import eventually, free_port
from tests.support.platform import run_platform
from tests.support.proxy import cuttable_proxy

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


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
