"""Whatever is killed while ticks flow: none is lost, none is doubled, no value changes."""

import os
import signal
from pathlib import Path

import grpc
import psutil
import pytest
from suho.database.v1 import tick_service_pb2, tick_service_pb2_grpc

from mesh.channel import direct_channel
from tests.support import eventually
from tests.support.platform import RunningPlatform, run_platform
from tests.support.replay_file import ReplayFile, assert_exact, generate, real

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

# The agent's worker is killed too, between these.
VICTIMS = ("data-bridge", "database", "hub", "pc-agent")
# Slow enough that all deaths fall among flowing ticks.
SPEED = "400"


async def killed_one_after_another(platform: RunningPlatform) -> None:
    """Kill each once, and wait each time until ticks are stored again."""
    await platform.ready()
    for name in VICTIMS:
        await flowing(platform)
        platform.kill(name)
        await eventually(lambda name=name: platform.restarts_of(name) == 1 and platform.pid_of(name), 30)
    await flowing(platform)
    os.kill(await worker_of(platform), signal.SIGKILL)
    await flowing(platform)


async def worker_of(platform: RunningPlatform) -> int:
    """The pid of the process that serves the terminal."""

    def found() -> int | None:
        agent = psutil.Process(platform.pid_of("pc-agent"))
        workers = [child.pid for child in agent.children() if "spawn_main" in " ".join(child.cmdline())]
        return workers[0] if workers else None

    pid = await eventually(found, 20)
    assert pid is not None
    return pid


async def flowing(platform: RunningPlatform) -> None:
    """Wait until more is stored than now."""
    before = await stored(platform)

    async def more() -> bool:
        return await stored(platform) > before

    await eventually(more, 60, 0.1)


async def stored(platform: RunningPlatform) -> int:
    """Rows in ClickHouse; -1 while the database does not answer."""
    address = f"127.0.0.1:{platform.mesh['ports']['database']}"
    async with direct_channel([address]) as channel:
        stub = tick_service_pb2_grpc.TickServiceStub(channel)
        try:
            answer = await stub.GetTickStats(tick_service_pb2.GetTickStatsRequest(), timeout=5)
        except grpc.aio.AioRpcError:
            return -1
    return sum(item.stored for item in answer.stats)


async def survive(speed: str, *files: ReplayFile) -> None:
    feeds = [word for file in files for word in ("--feed", file.feed)]
    async with run_platform(*feeds, "--speed", speed, "--until-fed") as platform:
        await killed_one_after_another(platform)
        summary = await platform.summary(timeout_s=240)
        assert platform.process.returncode == 0, platform.messages[-4000:]
    assert_exact(summary, *files)
    assert summary["restarts"] == len(VICTIMS)


async def test_generated_ticks_survive_every_kill(tmp_path: Path) -> None:
    """data-bridge, database, hub, agent and its worker each die once: still exact."""
    files = [generate(tmp_path, symbol, 300_000, seed) for seed, symbol in enumerate(("AAABBB", "CCCDDD"))]
    await survive(SPEED, *files)


async def test_real_ticks_survive_every_kill(data_dir: Path) -> None:
    """The real EURUSD, with the same deaths: still exact."""
    file = real(data_dir, "EURUSD")
    await survive("30000", file)
