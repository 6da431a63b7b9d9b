"""How calls of a stock gRPC client travel: by weight, zone and policy, without a line of this project in the client."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from suho.hub.v1 import traffic_pb2 as pb

from mesh.errors import MeshError, Reason
from tests.support import eventually
from tests.support.mesh import Mesh, run_mesh
from tests.support.plain_client import WHO, PlainClient, run_client

pytestmark = pytest.mark.integration


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    async with run_mesh() as running:
        yield running


@pytest.fixture
async def client(mesh: Mesh) -> AsyncIterator[PlainClient]:
    async with run_client(mesh.hub.address) as running:
        yield running


async def _is_answered_by(client: PlainClient, *names: str) -> bool:
    return set(await client.replies(2 * len(names))) == set(names)


async def test_calls_are_shared_by_weight(mesh: Mesh, client: PlainClient) -> None:
    """gRPC ignores the weights of endpoints; ours travel as localities."""
    await mesh.add("light", weight=1)
    await mesh.add("heavy", weight=3)
    await eventually(lambda: _is_answered_by(client, "light", "heavy"))
    replies = await client.replies(400)
    assert 0.15 < replies["light"] / 400 < 0.35


async def test_callers_stay_in_their_zone_while_anybody_is_there(mesh: Mesh) -> None:
    """Then they go to the others; a client without a zone goes anywhere."""
    near = await mesh.add("near", zone="a")
    await mesh.add("far", zone="b")
    async with run_client(mesh.hub.address, zone="a") as local, run_client(mesh.hub.address) as anywhere:
        await eventually(lambda: _is_answered_by(anywhere, "near", "far"))
        assert set(await local.replies(10)) == {"near"}
        await near.session.drain()
        await eventually(lambda: _is_answered_by(local, "far"))


async def test_a_canary_gets_the_calls_with_its_header_and_no_others(mesh: Mesh, client: PlainClient) -> None:
    """Once it leaves, they go where the others go."""
    await mesh.add("stable", version="1")
    canary = await mesh.add("canary", version="2")
    await mesh.put_policy(canary=pb.Canary(header="x-canary", value="yes", version="2"))
    await eventually(lambda: _goes_to(client, "canary", "yes"))
    assert set(await client.replies(5, x_canary="yes")) == {"canary"}
    assert set(await client.replies(5, x_canary="no")) == {"stable"}
    assert set(await client.replies(5)) == {"stable"}
    await client.ask("load", WHO, 2)
    await canary.session.drain()
    await eventually(lambda: _goes_to(client, "stable", "yes"))
    assert (await client.ask("stop"))["errors"] == []


async def _goes_to(client: PlainClient, name: str, x_canary: str) -> bool:
    return set(await client.replies(3, x_canary=x_canary)) == {name}


async def test_deadlines_of_a_policy_end_unary_calls_but_never_early(mesh: Mesh, client: PlainClient) -> None:
    """gRPC's core counts configured deadlines from a second or two before the call: that is made up for."""
    echo = await mesh.add("echo-1")
    await mesh.put_policy(timeout_ms=400)
    echo.backend.delay_s = 0.3
    await eventually(lambda: _is_answered_by(client, "echo-1"))
    echo.backend.delay_s = 5.0
    outcomes = []

    async def in_time() -> bool:
        outcomes.append(await client.call())
        return bool(outcomes[-1]["ms"] < 1900)

    await eventually(in_time, 30)
    assert {outcome["code"] for outcome in outcomes} == {"DEADLINE_EXCEEDED"}
    assert min(outcome["ms"] for outcome in outcomes) > 390


async def test_only_idempotent_methods_are_repeated(mesh: Mesh, client: PlainClient) -> None:
    """By default: three attempts on UNAVAILABLE, and a call that may not be repeated fails."""
    bad = await mesh.add("bad", idempotent=True)
    await mesh.add("good", idempotent=True)
    await eventually(lambda: _is_answered_by(client, "good", "bad"))
    bad.backend.fails = True
    assert set(await client.replies(20)) == {"good"}
    assert bad.backend.calls > 5
    await mesh.put_policy(retry=pb.RetryPolicy(max_attempts=1))
    await eventually(lambda: _fails_at_times(client))
    await mesh.traffic.DeletePolicy(pb.DeletePolicyRequest(service="echo"))
    await eventually(lambda: _is_answered_by(client, "good"))
    await mesh.add("careless", idempotent=False)
    await eventually(lambda: _fails_at_times(client))


async def _fails_at_times(client: PlainClient) -> bool:
    return "" in await client.replies(6)


async def test_a_full_circuit_refuses_at_once(mesh: Mesh, client: PlainClient) -> None:
    """Beyond `max_requests` under way in one client."""
    echo = await mesh.add("echo-1")
    await eventually(lambda: _is_answered_by(client, "echo-1"))
    await mesh.put_policy(max_requests=3)
    echo.backend.delay_s = 0.2

    async def three_of_ten() -> bool:
        replies = (await client.ask("burst", WHO, 10))["replies"]
        refused = [reply for reply in replies if not reply["ok"]]
        return len(refused) == 7 and all("circuit breaker" in reply["details"] for reply in refused)

    await eventually(three_of_ten)


async def test_an_instance_that_fails_its_calls_is_left_out(mesh: Mesh, client: PlainClient) -> None:
    """Each client judges for itself, by the share of its failed calls."""
    bad = await mesh.add("bad")
    await mesh.add("good")
    await mesh.put_policy(
        outlier_detection=pb.OutlierDetection(
            interval_ms=200,
            base_ejection_ms=30_000,
            max_ejection_percent=50,
            failure_percent=50,
            minimum_hosts=2,
            request_volume=3,
        )
    )
    await eventually(lambda: _is_answered_by(client, "good", "bad"))
    bad.backend.fails = True
    await client.ask("load", WHO, 2)
    await eventually(lambda: _only_good(client))
    result = await client.ask("stop")
    assert result["errors"]


async def _only_good(client: PlainClient) -> bool:
    return set(await client.replies(10)) == {"good"}


async def test_an_unknown_service_is_said_in_words_and_works_once_it_is_there(mesh: Mesh) -> None:
    """To clients that heed errors, at once; a stream that was told so needs no new connection."""
    await mesh.add("echo-1")
    async with run_client(mesh.hub.address, heeds_errors=True) as client:
        await eventually(lambda: _is_answered_by(client, "echo-1"))
        outcome = await client.ask("to", "xds:///ecko", WHO)
        assert outcome["code"] == "UNAVAILABLE"
        assert outcome["ms"] < 10_000  # who is not told waits for 15 s
        assert "no service named ecko; did you mean 'echo'?" in outcome["details"]
        assert (await client.call())["ok"]
        await mesh.add("ecko-1", "ecko", "ecko.E")

        async def is_there() -> bool:
            return bool((await client.ask("to", "xds:///ecko", WHO)).get("reply") == "ecko-1")

        await eventually(is_there)


async def test_a_client_that_heeds_no_errors_is_not_disturbed_by_them(mesh: Mesh, client: PlainClient) -> None:
    """Its calls to what there is go on, and what it waits for is answered as soon as it comes."""
    await mesh.add("echo-1")
    await eventually(lambda: _is_answered_by(client, "echo-1"))
    waiting = asyncio.create_task(client.ask("both", "xds:///late", WHO))
    await eventually(lambda: _is_missing(mesh, "late"))
    await mesh.add("late-1", "late", "late.L")
    answer = await waiting
    assert answer["other"]["reply"] == "late-1"
    assert all(reply["ok"] for reply in answer["meanwhile"])
    assert answer["meanwhile"]


async def _is_missing(mesh: Mesh, name: str) -> str:
    return next((words for words in (await _missing(mesh)) if f"no service named {name}" in words), "")


async def _missing(mesh: Mesh) -> list[str]:
    response = await mesh.traffic.ListClients(pb.ListClientsRequest())
    return [why for client in response.clients for kind in client.resources for why in kind.missing.values()]


async def test_people_see_what_every_client_was_told_and_runs(mesh: Mesh) -> None:
    """Who and where it is, the version it confirmed, and the dependency that nobody offers."""
    await mesh.add("echo-1")
    async with run_client(mesh.hub.address, ("echo", "databse"), zone="a") as client:
        await eventually(lambda: _is_answered_by(client, "echo-1"))
        response = await eventually(lambda: _all_confirmed(mesh))
    (found,) = response.clients
    assert (response.hub_id, found.node_id, found.cluster, found.zone) == ("hub-1", "plain-1", "plain", "a")
    assert found.user_agent.startswith("gRPC C-core")
    assert found.peer.startswith("ipv4:127.0.0.1:")
    kinds = {kind.kind: kind for kind in found.resources}
    assert list(kinds["endpoints"].names) == ["echo"]
    assert not any(kind.refusal for kind in kinds.values())
    assert kinds["routes"].missing["databse"].startswith("no service named databse")


async def _all_confirmed(mesh: Mesh) -> pb.ListClientsResponse | None:
    response = await mesh.traffic.ListClients(pb.ListClientsRequest())
    kinds = [kind for client in response.clients for kind in client.resources]
    return response if all(kind.running_version == kind.sent_version for kind in kinds) else None


async def test_policies_are_listed_for_every_service_and_wrong_ones_refused(mesh: Mesh) -> None:
    """With who set them and why; the sentence names the field."""
    await mesh.add("echo-1")
    made = await mesh.put_policy(timeout_ms=700, by="ops", reason="slow disk")
    listed = {policy.service: policy for policy in (await mesh.traffic.ListPolicies(pb.ListPoliciesRequest())).policies}
    assert listed["echo"] == made
    assert (made.retry.max_attempts, made.max_requests, made.by) == (3, 100_000, "ops")
    assert listed["hub"].revision == 0
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await mesh.put_policy(retry=pb.RetryPolicy(max_attempts=6))
    error = MeshError.of(refused.value)
    assert (error.reason, error.message) == (
        Reason.INVALID_ARGUMENT,
        "retry.max_attempts 6 is not within 1 to 5",
    )
    assert (await mesh.put_policy(timeout_ms=700, by="ops", reason="slow disk")).revision == made.revision
