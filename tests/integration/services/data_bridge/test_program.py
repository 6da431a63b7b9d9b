"""The bridge as a process of its own."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from nats.aio.client import Client

from compose.embedded.nats import Nats
from mesh.environment import child_environment
from tests.integration.services.data_bridge.agent import status
from tests.support import eventually, free_port

pytestmark = pytest.mark.integration


@asynccontextmanager
async def program(nats_url: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "services.data_bridge", "--hubs", f"127.0.0.1:{free_port()}", *arguments),
        env=child_environment({"SUHO_DATA_BRIDGE_NATS_URL": nats_url}),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def end_of(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    async with asyncio.timeout(30):
        _, said = await process.communicate()
    return process.returncode, said.decode()


async def test_it_serves_without_a_hub_and_stops_when_told(nats_engine: Nats, bus: Client) -> None:
    """SIGTERM ends it with status 0, hub or no hub."""
    port = free_port()
    async with program(nats_engine.url, "--port", str(port), "--instance", "b-7") as process:
        answer = await eventually(lambda: reachable(port), 30)
        assert answer == "b-7"
        process.terminate()
        code, said = await end_of(process)
    assert code == 0, said


async def reachable(port: int) -> str:
    try:
        return (await status(port)).bridge
    except grpc.aio.AioRpcError as error:
        raise AssertionError("the bridge does not answer") from error


async def test_it_stops_while_it_waits_for_nats() -> None:
    """SIGTERM is heard before NATS is there; the log says what was waited for, without the password."""
    async with program(f"nats://suho:geheim@127.0.0.1:{free_port()}") as process:
        assert process.stderr is not None
        while b"trouble with the bus" not in await process.stderr.readline():
            pass
        process.terminate()
        code, said = await end_of(process)
    assert code == 0, said
    assert "geheim" not in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--message-ticks", "20000"), "'message_ticks'"),
        (("--lane-mesages", "9"), "lane_messages"),
        (("--host", "0.0.0.0"), "not loopback"),
    ],
)
async def test_a_wrong_setting_is_named(nats_engine: Nats, arguments: tuple[str, ...], sentence: str) -> None:
    """It can not start, and says which setting is why."""
    async with program(nats_engine.url, "--port", "0", *arguments) as process:
        code, said = await end_of(process)
    assert code != 0
    assert sentence in said
