"""What a program can be asked about itself by Prometheus."""

import asyncio
import sys
import urllib.request

import grpc
import pytest
from suho.hub.v1 import registry_pb2, registry_pb2_grpc

from mesh.channel import direct_channel
from tests.support import eventually, free_port

pytestmark = pytest.mark.integration


async def test_calls_and_the_process_are_measured() -> None:
    """With `metrics_port` a program shows its calls by method and status, and its memory and processor time."""
    port, metrics = free_port(), free_port()
    hub = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hub", "--port", str(port), "--metrics-port", str(metrics)),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with direct_channel([f"127.0.0.1:{port}"]) as channel:
            stub = registry_pb2_grpc.RegistryServiceStub(channel)

            async def answered() -> bool:
                try:
                    await stub.ListServices(registry_pb2.ListServicesRequest(), timeout=2)
                    await stub.Resolve(registry_pb2.ResolveRequest(service="ghost"), timeout=2)
                except grpc.aio.AioRpcError as error:
                    return error.code() is grpc.StatusCode.NOT_FOUND
                return False

            await eventually(answered, 20)

        async def shown() -> bool:
            page = await asyncio.to_thread(read, metrics)
            calls = [line for line in page.splitlines() if line.startswith("rpc_server_call_duration_seconds_count")]
            assert any('rpc_method="ListServices"' in line and 'status_code="0"' in line for line in calls)
            assert any('rpc_method="Resolve"' in line and 'status_code="5"' in line for line in calls)
            assert "process_memory_usage_bytes" in page
            return "process_cpu_time_seconds_total" in page

        await eventually(shown)
    finally:
        hub.terminate()
        await hub.wait()


def read(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
        return str(answer.read().decode())
