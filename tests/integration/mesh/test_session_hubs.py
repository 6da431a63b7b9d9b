"""A program's session with real hubs over one NATS."""

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from suho.hub.v1 import maintenance_pb2, maintenance_pb2_grpc
from suho.hub.v1 import registry_pb2 as pb

from compose.embedded.alone import nats
from compose.embedded.nats import Nats
from mesh import session as session_module
from mesh.channel import direct_channel
from mesh.config import MeshSettings
from mesh.session import open_session
from tests.integration.hub.test_hubs import QUICK, found, hub_process
from tests.support import eventually
from tests.support.hub import RunningHub, instance, run_hub

pytestmark = pytest.mark.integration


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Nats]:
    async with nats() as engine:
        yield engine


@pytest.fixture(autouse=True)
def _in_this_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "in_own_order", lambda hubs: hubs)


async def at_home_with(hub: RunningHub, instance_id: str, owner: str) -> bool:
    one = await found(hub, instance_id)
    return one is not None and one.hub == owner


async def test_a_frozen_hub_is_left_and_nobody_leaves_discovery(shared: Nats) -> None:
    """Stopped by a signal, it answers nothing; awake, it finds that the session has moved on and lets it be."""
    async with (
        hub_process(shared, "hub-1") as (process, frozen),
        run_hub(instance="hub-2", nats_url=shared.url, **QUICK | {"lease_ttl_s": 5, "detached_s": 30}) as awake,
    ):
        settings = MeshSettings(instance="echo-1", hubs=(frozen.address, awake.address))
        made = instance("echo-1", port=4711)
        async with open_session(settings, made) as session:
            await session.set_status(made.status)
            await eventually(lambda: at_home_with(awake, "echo-1", "hub-1"))
            watch = awake.stub.Watch(pb.WatchRequest(service="echo"))
            await watch.read()
            process.send_signal(signal.SIGSTOP)
            await eventually(lambda: at_home_with(awake, "echo-1", "hub-2"))
            process.send_signal(signal.SIGCONT)
            await eventually(lambda: at_home_with(frozen, "echo-1", "hub-2"))
            await asyncio.sleep(2 * QUICK["lease_ttl_s"])
        seen: list[tuple[int, int]] = []
        while not seen or seen[-1][0] != pb.CHANGE_KIND_REMOVED:
            seen += [(one.kind, one.instance.status) for one in (await watch.read()).changes]
        assert {status for _, status in seen[:-1]} == {pb.INSTANCE_STATUS_UP}
        watch.cancel()


async def test_an_order_follows_the_session_to_another_hub(shared: Nats) -> None:
    """Given at one hub, told by the other too, and taken back there."""
    async with (
        run_hub(instance="hub-2", nats_url=shared.url, **QUICK) as second,
        run_hub(instance="hub-1", nats_url=shared.url, **QUICK) as first,
    ):
        settings = MeshSettings(instance="echo-2", hubs=(first.address, second.address))
        made = instance("echo-2", "echoes", port=4712)
        target = pb.DrainTarget(instance="echo-2")
        order = maintenance_pb2.DrainRequest(target=target, reason="a test", by="test", force=True)
        async with open_session(settings, made) as session, direct_channel([second.address]) as channel:
            maintenance = maintenance_pb2_grpc.MaintenanceServiceStub(channel)
            await session.set_status(made.status)
            await eventually(lambda: at_home_with(second, "echo-2", "hub-1"))
            await maintenance.Drain(order, timeout=5)
            await eventually(session.drained.is_set)
            over = asyncio.create_task(session.drained.over())
            first.stop.set()
            await eventually(lambda: at_home_with(second, "echo-2", "hub-2"))
            await asyncio.sleep(3 * QUICK["heartbeat_s"])
            assert not over.done()
            await maintenance.Undrain(maintenance_pb2.UndrainRequest(target=target, by="test"), timeout=5)
            await over
