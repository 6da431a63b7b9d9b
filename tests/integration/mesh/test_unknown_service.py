"""A program takes the hub's word that there is no such service."""

import asyncio
import sys

import pytest

from tests.support.hub import instance, registered, run_hub

pytestmark = pytest.mark.integration

# In a process of its own: gRPC reads its xDS bootstrap once.
CALLS = """
import asyncio, sys, time
import grpc
from mesh.channel import mesh_channel
from mesh.config import MeshSettings

async def main():
    settings = MeshSettings(instance="a-1", hubs=(sys.argv[1],))
    async with mesh_channel(settings, "a"), grpc.aio.insecure_channel("xds:///ehco") as channel:
        began = time.monotonic()
        try:
            await channel.unary_unary("/suho.test.v1.EchoService/Who")(b"", timeout=10)
        except grpc.aio.AioRpcError as error:
            print(f"{time.monotonic() - began:.3f} {error.code().name} {error.details()}")

asyncio.run(main())
"""


async def test_a_call_to_a_service_that_is_not_there_fails_at_once() -> None:
    """With the hub's sentence; without it gRPC waits 15 s and says nothing of use."""
    async with run_hub() as hub, registered(hub.address, instance("echo-1", port=4711)):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", CALLS, hub.address),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        out, _ = await process.communicate()
    took, code, said = out.decode().split(" ", 2)
    assert (float(took) < 8, code) == (True, "UNAVAILABLE"), out
    assert "did you mean 'echo'?" in said, out
