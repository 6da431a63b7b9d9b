"""Several hubs in one platform: who dies is not missed, and a service that people take out comes back."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from suho.hub.v1 import maintenance_pb2, maintenance_pb2_grpc, registry_pb2, registry_pb2_grpc
from suho.market.v1 import bridge_pb2, bridge_pb2_grpc

from mesh.channel import direct_channel
from tests.support import eventually
from tests.support.platform import RunningPlatform, lost, run_platform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

TARGET = registry_pb2.DrainTarget(service="data-bridge")


async def instances(address: str) -> dict[str, registry_pb2.Instance]:
    """As one hub sees them."""
    async with direct_channel([address]) as channel:
        stub = registry_pb2_grpc.RegistryServiceStub(channel)
        answer = await stub.ListInstances(registry_pb2.ListInstancesRequest(), timeout=30)
    return {one.id: one for one in answer.instances}


def sessions_at(platform: RunningPlatform, number: int, hub: str) -> Callable[[], object]:
    """Whether, as hub `number` sees it, every program is UP and at home with `hub`."""

    async def all_there() -> bool:
        found = [one for one in (await instances(platform.hubs[number])).values() if one.process_id]
        others = [one for one in found if one.service != "hub"]
        assert {registry_pb2.InstanceStatus.Name(one.status) for one in others} == {"INSTANCE_STATUS_UP"}
        return {one.hub for one in others} == {hub}

    return all_there


async def all_moved_from_the_first(platform: RunningPlatform) -> int:
    """Kill the first hub; how often. Who finds the second one slow may be back at the first when it is there again."""
    for deaths in (1, 2):
        platform.kill("hub")
        with contextlib.suppress(AssertionError):
            await eventually(sessions_at(platform, 1, "hub-2"), 20)
            return deaths
    platform.kill("hub")
    await eventually(sessions_at(platform, 1, "hub-2"), 20)
    return 3


async def test_a_hub_dies_and_the_bridge_is_drained_and_no_tick_is_lost(tmp_path: Path) -> None:
    """Sessions move while nobody leaves; the agent waits for its one bridge and goes on; the account is exact."""
    async with run_platform("--hubs", "2", state=tmp_path / "state") as platform:
        await platform.ready()
        assert len(platform.hubs) == 2
        assert set(await instances(platform.hubs[0])) == set(await instances(platform.hubs[1]))
        deaths = await all_moved_from_the_first(platform)

        bridge = f"127.0.0.1:{platform.mesh['ports']['data-bridge']}"
        async with direct_channel([platform.hubs[1]]) as to_hub, direct_channel([bridge]) as to_bridge:
            maintenance = maintenance_pb2_grpc.MaintenanceServiceStub(to_hub)
            asked = bridge_pb2_grpc.BridgeServiceStub(to_bridge)

            async def lanes() -> int:
                return len((await asked.GetBridgeStatus(bridge_pb2.GetBridgeStatusRequest(), timeout=30)).lanes)

            async def without_lanes() -> bool:
                return await lanes() == 0

            async def with_lanes() -> bool:
                return await lanes() == 4

            order = maintenance_pb2.DrainRequest(target=TARGET, reason="a test", by="test", force=True)
            assert (await maintenance.Drain(order, timeout=30)).instances == ["data-bridge-1"]
            await eventually(without_lanes, 30)
            back = maintenance_pb2.UndrainRequest(target=TARGET, by="test")
            assert (await maintenance.Undrain(back, timeout=30)).instances == ["data-bridge-1"]
            await eventually(with_lanes, 30)
        account = await platform.account()
        assert sum(program["restarts"] for program in platform.mesh["programs"].values()) == deaths
    assert platform.process.returncode == 0, platform.messages[-4000:]
    assert all(feed.sent > 0 for feed in account.feeds.values())
    assert not any(lost(account).values())
