"""Health at the whole hub: programs are probed, infrastructure is held by one hub, names become IPs, a day is told."""

import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import pytest
import pytest_asyncio
from suho.hub.v1 import registry_pb2 as pb

from compose.embedded.alone import nats
from compose.embedded.nats import Nats
from mesh.errors import MeshError, Reason
from tests.support import eventually, free_port
from tests.support.hub import RunningHub, instance, register, registered, run_hub
from tests.support.misbehaving import saying, tcp_server

pytestmark = pytest.mark.integration

QUICK: dict[str, Any] = {
    "heartbeat_s": 0.1,
    "lease_ttl_s": 3.0,
    "grace_s": 0.3,
    "sweep_interval_s": 0.05,
    "presence_s": 0.1,
    "detached_s": 30,
    "gone_s": 0.6,
    "probe_interval_s": 0.2,
    "probe_retry_s": 0.05,
    "probe_timeout_s": 0.5,
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bus() -> AsyncIterator[Nats]:
    """A NATS of this module's own: hubs share everything that is in it."""
    async with nats() as engine:
        yield engine


async def found(hub: RunningHub, instance_id: str) -> pb.Instance:
    return (await hub.instances()).get(instance_id, pb.Instance())


async def stands(hub: RunningHub, instance_id: str, status: "pb.InstanceStatus.ValueType", owner: str = "") -> bool:
    shown = await found(hub, instance_id)
    return shown.status == status and owner in ("", shown.hub)


async def history(hub: RunningHub, instance_id: str) -> Sequence[pb.HealthEvent]:
    response = await hub.stub.GetHealthHistory(pb.GetHealthHistoryRequest(instance_id=instance_id))
    return response.events


async def test_a_program_whose_server_is_deaf_leaves_discovery_and_comes_back() -> None:
    """Its session stands all the time; it is doubted, the reason is said, and its day is told."""
    async with run_hub(**QUICK) as hub:
        port = free_port()
        async with registered(hub.address, instance("echo-1", port=port)):
            await eventually(lambda: stands(hub, "echo-1", pb.INSTANCE_STATUS_DOWN))
            shown = await found(hub, "echo-1")
            assert shown.doubted
            assert shown.reported_status == pb.INSTANCE_STATUS_UP
            assert shown.health.verdict == pb.HEALTH_VERDICT_FAILING
            assert shown.status_reason == f"its probes fail: nothing listens at 127.0.0.1:{port}"
            server = grpc.aio.server()
            server.add_insecure_port(f"127.0.0.1:{port}")
            await server.start()
            await eventually(lambda: stands(hub, "echo-1", pb.INSTANCE_STATUS_UP))
        # Not before: nothing but its farewell is to end it.
        await server.stop(0)

        async def told() -> bool:
            return (await history(hub, "echo-1"))[-1].reason == "it left"

        await eventually(told)
        events = await history(hub, "echo-1")
        statuses = [pb.InstanceStatus.Name(event.status).removeprefix("INSTANCE_STATUS_") for event in events]
        changes = [status for status, event in zip(statuses, events, strict=True) if not event.probes]
        assert changes == ["UP", "DOWN", "UP", "DOWN"]
        spans = [event for event in events if event.probes]
        assert spans[0].failed == spans[0].probes == 3
        assert spans[0].last_error == f"nothing listens at 127.0.0.1:{port}"
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await history(hub, "ghost")
        assert MeshError.of(refused.value).reason is Reason.UNKNOWN_INSTANCE


async def test_infrastructure_is_seen_and_another_hub_goes_on_when_its_holder_is_gone(bus: Nats) -> None:
    """STARTING until it works; the change of hands is no change of status; out of the setting, out of the registry."""
    cache = free_port()
    entries = (f"nats-1=nats://127.0.0.1:{bus.port}", f"cache-1=redis://127.0.0.1:{cache}")
    made = {**QUICK, "nats_url": bus.url, "infrastructure": entries}
    async with run_hub(instance="hub-2", **made) as second:
        async with run_hub(instance="hub-1", **made | {"infrastructure": ()}):
            await eventually(lambda: stands(second, "nats-1", pb.INSTANCE_STATUS_UP))
            starting = await found(second, "cache-1")
            assert starting.status == pb.INSTANCE_STATUS_STARTING
        await eventually(lambda: _reason(second, "cache-1", f"nothing listens at 127.0.0.1:{cache}"))
        shown = await found(second, "nats-1")
        assert (shown.service, shown.metadata["infrastructure"], shown.hub) == ("nats", "true", "hub-2")
        third_made = {**made, "instance": "hub-3"}
        async with run_hub(**third_made) as third:
            second.stop.set()
            await eventually(lambda: stands(third, "nats-1", pb.INSTANCE_STATUS_UP, "hub-3"))
            taken = await found(third, "nats-1")
            assert taken.registered_unix_ms == shown.registered_unix_ms
            assert taken.health == shown.health
    async with run_hub(**third_made | {"infrastructure": entries[1:]}) as third:

        async def told() -> bool:
            return (await history(third, "nats-1"))[-1].reason == "it left"

        await eventually(told)
        assert set(await third.instances()) == {"hub-3", "cache-1"}
        assert [event.status for event in await history(third, "nats-1") if not event.probes] == [
            pb.INSTANCE_STATUS_STARTING,
            pb.INSTANCE_STATUS_UP,
            pb.INSTANCE_STATUS_DOWN,
        ]


async def _reason(hub: RunningHub, instance_id: str, reason: str) -> bool:
    return (await found(hub, instance_id)).status_reason == reason


async def test_engines_that_stop_are_doubted_and_seen_again() -> None:
    """By the words of their own protocol."""
    port = free_port()
    async with run_hub(**QUICK, infrastructure=(f"cache=redis://127.0.0.1:{port}",)) as hub:
        await eventually(lambda: _reason(hub, "cache", f"nothing listens at 127.0.0.1:{port}"))
        async with tcp_server(saying(b"-NOAUTH Authentication required.\r\n"), port=port):
            await eventually(lambda: stands(hub, "cache", pb.INSTANCE_STATUS_UP))
        await eventually(lambda: stands(hub, "cache", pb.INSTANCE_STATUS_DOWN))


async def test_a_registered_host_name_is_followed_to_where_it_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers get IPs; a name that does not resolve is refused for now; one that stops resolving keeps its IP."""
    answers = {"echo.test": "127.0.0.1"}
    asked = 0
    real = socket.getaddrinfo

    def getaddrinfo(host: str, *how: Any, **options: Any) -> Any:
        nonlocal asked
        if not str(host).endswith(".test"):
            return real(host, *how, **options)
        asked += 1
        if host not in answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers[host], 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    async with run_hub(**QUICK, resolve_interval_s=0.05) as hub:
        named = instance("echo-1", port=free_port())
        named.probe.kind = pb.PROBE_KIND_NONE
        named.addresses[0].host = "ghost.test"
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await register(hub.stub, named)
        assert MeshError.of(refused.value).reason is Reason.UNREACHABLE
        assert "can not resolve 'ghost.test' (Name or service not known)" in MeshError.of(refused.value).message
        named.addresses[0].host = "echo.test"
        async with registered(hub.address, named):
            assert await _resolved(hub) == ["127.0.0.1"]
            answers["echo.test"] = "127.0.0.2"

            async def moved() -> bool:
                return await _resolved(hub) == ["127.0.0.2"]

            await eventually(moved)
            revision = (await found(hub, "echo-1")).revision
            answers.clear()
            until = asked + 3
            await eventually(lambda: asked >= until)
            assert await _resolved(hub) == ["127.0.0.2"]
            assert (await found(hub, "echo-1")).revision == revision


async def _resolved(hub: RunningHub) -> list[str]:
    response = await hub.stub.Resolve(pb.ResolveRequest(service="echo"))
    return [address.ip for address in response.addresses]
