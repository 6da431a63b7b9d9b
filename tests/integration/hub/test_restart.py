"""The hub dies and comes back without its state: the mesh goes on."""

import asyncio
import sys
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.support import eventually, free_port
from tests.support.hub import Backend, connected, instance, register, registered, run_backend, run_hub
from tests.support.plain_client import WHO, PlainClient, run_client

pytestmark = pytest.mark.integration


@asynccontextmanager
async def _hub_process(port: int) -> AsyncIterator[None]:
    """A hub that is killed at the end of the block, without a chance to say so."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hub", "--port", str(port), stdout=DEVNULL, stderr=DEVNULL
    )
    try:
        async with connected(f"127.0.0.1:{port}"):
            yield
    finally:
        process.kill()
        await process.wait()


async def _answers(client: PlainClient) -> bool:
    return bool((await client.call())["ok"])


async def _add(stack: AsyncExitStack, address: str, name: str) -> Backend:
    backend = await stack.enter_async_context(run_backend(name))
    await stack.enter_async_context(registered(address, instance(name, port=backend.port)))
    return backend


async def test_a_hub_killed_and_restarted_under_load_fails_no_call() -> None:
    """Calls go on while no hub is there, and when a new one knows nobody yet; afterwards discovery works again."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    async with AsyncExitStack() as stack:
        async with _hub_process(port):
            staying = await _add(stack, address, "echo-1")
            leaving = await _add(stack, address, "echo-2")
            client = await stack.enter_async_context(run_client(address, ("echo",)))
            await eventually(lambda: _answers(client))
            await client.ask("load", WHO, 4)
            await eventually(lambda: staying.calls > 50 and leaving.calls > 50)
        calls = staying.calls
        await eventually(lambda: staying.calls > calls + 100)
        async with _hub_process(port):
            async with connected(address) as hub:
                await eventually(lambda: _up(hub.instances, {"echo-1", "echo-2"}))
                newcomer = await _add(stack, address, "echo-3")
                await eventually(lambda: newcomer.calls > 20)
            result = await client.ask("stop")
    assert result["errors"] == []
    assert set(result["by"]) == {"echo-1", "echo-2", "echo-3"}


async def _up(instances: object, names: set[str]) -> bool:
    return names <= set(await instances())  # type: ignore[operator]


async def test_what_a_restarted_hub_can_not_confirm_stands_for_a_while_and_then_goes() -> None:
    """Endpoints outlive the hub's memory by the hold, then the client hears the truth; a newcomer hears it at once."""
    port, hold_s = free_port(), 2.0
    async with run_backend("echo-1") as backend, AsyncExitStack() as stack:
        async with run_hub(port=port) as hub:
            client = await stack.enter_async_context(run_client(hub.address))
            await register(hub.stub, instance("echo-1", port=backend.port))
            await eventually(lambda: _answers(client))
        started = time.monotonic()
        async with run_hub(port=port, hold_s=hold_s) as hub:
            newcomer = await stack.enter_async_context(run_client(hub.address))
            assert not await _answers(newcomer)
            while await _answers(client):
                assert time.monotonic() - started < hold_s + 30, "the hold never ended"
                await asyncio.sleep(0.01)
            assert time.monotonic() - started >= hold_s
            await register(hub.stub, instance("echo-1", port=backend.port))
            await eventually(lambda: _answers(client))
            await eventually(lambda: _answers(newcomer))
