"""The agent's settings as a hub keeps them: followed, refused, remembered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from suho.agent.v1 import agent_pb2
from suho.hub.v1 import config_pb2 as pb
from suho.hub.v1 import config_pb2_grpc

from mesh.channel import direct_channel
from mesh.config import MeshSettings
from mesh.configuration import ConfigWatch
from mesh.session import open_session
from mesh.structs import struct_of
from pc_agent.config import AgentSettings
from pc_agent.settings.keeper import SettingsKeeper
from pc_agent.settings.status import SettingsStatus
from tests.support import eventually
from tests.support.hub import instance, run_hub

pytestmark = pytest.mark.integration


@asynccontextmanager
async def kept(folder: Path, hub: str) -> AsyncIterator[SettingsKeeper]:
    """As the agent does it."""
    keeper = SettingsKeeper(AgentSettings(instance="desk-1", state_dir=folder, hubs=(hub,)))
    keeper.start()
    made = instance("desk-1", "pc-agent")
    async with open_session(MeshSettings(instance="desk-1", hubs=(hub,)), made) as session:
        watch = ConfigWatch(session, "pc-agent", "desk-1")
        async with asyncio.TaskGroup() as tasks:
            works = (tasks.create_task(watch.run()), tasks.create_task(keeper.run(watch)))
            try:
                yield keeper
            finally:
                for work in works:
                    work.cancel()


async def test_settings_follow_the_hub_and_outlive_it(tmp_path: Path) -> None:
    """In force at once; a bad version is refused, and the hub's people see who refused it and why; a restart without
    any hub goes on with the last good one."""
    async with (
        run_hub() as hub,
        direct_channel([hub.address]) as channel,
        kept(tmp_path, hub.address) as keeper,
    ):
        stub = config_pb2_grpc.ConfigServiceStub(channel)

        async def put(**values: Any) -> None:
            target = pb.ConfigTarget(service="pc-agent", instance="desk-1")
            request = pb.PutConfigRequest(target=target, values=struct_of(values), reason="calmer", by="ann")
            await stub.PutConfig(request, timeout=5)

        async def report() -> pb.ConfigReport:
            reports = (await stub.ListConfigReports(pb.ListConfigReportsRequest(), timeout=5)).reports
            return reports[0] if reports else pb.ConfigReport()

        async def runs(version: int, refusal: str) -> bool:
            told = await report()
            return told.instance_version == version and refusal in told.refusal and bool(told.refusal) == bool(refusal)

        before = keeper.live.now
        async with asyncio.timeout(60):
            await put(max_spread_points=12, max_daily_loss="250.50", idle_ms=9)
            now = await keeper.live.changed(before)
            assert (now.max_spread_points, str(now.max_daily_loss)) == (12, "250.50")
            await eventually(lambda: runs(1, ""))
            assert dict((await report()).notes) == {"idle_ms": "at the next start"}
            await put(max_spread_points=-12)
            await eventually(lambda: runs(1, "'max_spread_points' of pc-agent (kept by the mesh)"))
            assert keeper.live.now == now
            shown = agent_pb2.AgentStatus()
            await SettingsStatus(keeper).fill(shown)
            assert (shown.config.instance_version, dict(shown.config.notes)) == (1, {"idle_ms": "at the next start"})
            assert "max_spread_points" in shown.config.refusal
    without = SettingsKeeper(AgentSettings(instance="desk-1", state_dir=tmp_path))
    assert without.start().idle_ms == 9
    assert without.live.now == now
