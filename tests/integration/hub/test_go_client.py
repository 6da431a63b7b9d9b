"""gRPC for Go, which shares no code with gRPC's core, finds its way through `xds:///mesh`."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from suho.hub.v1 import traffic_pb2 as pb

from tests.support import eventually
from tests.support.mesh import Member, Mesh, run_mesh
from tests.support.plain_client import WHO, PlainClient, run_client

pytestmark = pytest.mark.integration


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    async with run_mesh() as running:
        yield running


@pytest.fixture
async def client(mesh: Mesh, xds_client_binary: Path) -> AsyncIterator[PlainClient]:
    async with run_client(mesh.hub.address, go=xds_client_binary) as running:
        yield running


async def _is_answered_by(client: PlainClient, *names: str) -> bool:
    return set(await client.replies(2 * len(names))) == set(names)


async def test_no_call_fails_while_instances_die_drain_and_come(mesh: Mesh, client: PlainClient) -> None:
    """Killed: what is idempotent is repeated elsewhere, whether or not the hub knows. Drained: nobody notices."""
    doomed = await mesh.add_process("doomed")
    leaving = await mesh.add("leaving", idempotent=True)
    await eventually(lambda: _is_answered_by(client, "doomed", "leaving"))
    await client.ask("load", WHO, 8)
    await _serves(leaving)
    doomed.kill()
    await _serves(leaving)
    coming = await mesh.add("coming", idempotent=True)
    await _serves(coming)
    await leaving.session.drain()
    await _serves(coming)
    result = await client.ask("stop")
    assert result["errors"] == []
    assert set(result["by"]) == {"doomed", "leaving", "coming"}


async def _serves(member: Member) -> None:
    before = member.backend.calls
    await eventually(lambda: member.backend.calls > before + 200, 60)


async def test_zones_weights_and_canaries_hold_for_it_too(mesh: Mesh, xds_client_binary: Path) -> None:
    """Nothing that it is sent does it refuse."""
    await mesh.add("light", zone="a", weight=1, version="1")
    await mesh.add("heavy", zone="a", weight=3, version="1")
    await mesh.add("far", zone="b", version="1")
    await mesh.add("canary", zone="b", version="2")
    await mesh.put_policy(
        timeout_ms=5000,
        canary=pb.Canary(header="x-canary", value="yes", version="2"),
        outlier_detection=pb.OutlierDetection(
            interval_ms=1000,
            base_ejection_ms=1000,
            max_ejection_percent=50,
            failure_percent=50,
            minimum_hosts=2,
            request_volume=10,
        ),
    )
    async with run_client(mesh.hub.address, zone="a", go=xds_client_binary) as client:
        await eventually(lambda: _is_answered_by(client, "light", "heavy"))
        replies = await client.replies(200)
        assert 0.1 < replies["light"] / 200 < 0.4
        assert set(await client.replies(5, x_canary="yes")) == {"canary"}
        (seen,) = (await mesh.traffic.ListClients(pb.ListClientsRequest())).clients
        assert seen.user_agent.startswith("gRPC Go")
        assert [kind.refusal for kind in seen.resources] == [""] * 4


async def test_it_can_speak_to_one_service_alone(mesh: Mesh, client: PlainClient) -> None:
    """By that service's own listener."""
    await mesh.add("echo-1")
    await mesh.add("other-1", "other", "other.O")
    await eventually(lambda: _is_answered_by(client, "echo-1"))
    assert (await client.ask("to", "xds:///echo", WHO))["reply"] == "echo-1"
    assert (await client.ask("to", "xds:///other", WHO))["reply"] == "other-1"
