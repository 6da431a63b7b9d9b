"""Anything that speaks gRPC can use the mesh, without a line of Suho."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.support.platform import run_platform
from tests.support.suho import suho

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

SCRIPT = """
import grpc, sys
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

with grpc.insecure_channel("xds:///mesh") as channel:
    for path in sys.argv[1].split(","):
        channel.unary_unary(path)(b"", timeout=10)
        print(path)
for address in sys.argv[2].split(","):
    with grpc.insecure_channel(address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        ask = reflection_pb2.ServerReflectionRequest(list_services="")
        for answer in stub.ServerReflectionInfo(iter([ask]), timeout=10):
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


async def test_a_plain_script_reaches_every_service(tmp_path: Path) -> None:
    """`suho bootstrap` in the environment is all it needs; reflection lists what each server offers."""
    async with run_platform(state=tmp_path / "state") as platform:
        await platform.ready()
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
