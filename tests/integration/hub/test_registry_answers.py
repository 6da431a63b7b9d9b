"""What the registry tells: notices on sessions, watches in pieces, lists in pages, how the hub stands."""

import asyncio
from typing import Any

import grpc
import pytest
from suho.hub.v1 import maintenance_pb2, maintenance_pb2_grpc
from suho.hub.v1 import registry_pb2 as pb

from mesh.channel import direct_channel
from mesh.errors import MeshError, Reason
from tests.support import eventually
from tests.support.hub import QUICK, RunningHub, instance, register, run_hub

pytestmark = pytest.mark.integration


async def test_a_session_hears_what_others_decide() -> None:
    """Drained and undrained: told at once, also who registers under an order; its own word brings no notice."""
    async with run_hub() as hub, direct_channel([hub.address]) as channel:
        people = maintenance_pb2_grpc.MaintenanceServiceStub(channel)
        target = pb.DrainTarget(service="echo")
        session = await register(hub.stub, instance("echo-1"))
        await people.Drain(maintenance_pb2.DrainRequest(target=target, reason="repair", by="me", force=True))
        notice = (await session.read()).notice
        assert notice.status == pb.INSTANCE_STATUS_DRAINING
        assert "repair" in notice.reason
        late = await register(hub.stub, instance("echo-2"))
        assert (await late.read()).notice.status == pb.INSTANCE_STATUS_DRAINING
        ack = await session.ask(status=pb.StatusUpdate(status=pb.INSTANCE_STATUS_DOWN, reason="no engine"))
        assert ack.status_ack.status == pb.INSTANCE_STATUS_DOWN
        assert (await session.read()).notice.status == pb.INSTANCE_STATUS_DRAINING
        await people.Undrain(maintenance_pb2.UndrainRequest(target=target, by="me"))
        assert (await session.read()).notice.status == pb.INSTANCE_STATUS_DOWN
        assert (await late.read()).notice.status == pb.INSTANCE_STATUS_UP
        assert (await late.ask(heartbeat=pb.Heartbeat())).HasField("heartbeat_ack")


async def test_more_than_a_message_holds_is_told_in_several() -> None:
    """A snapshot of 5 MB: every piece says `snapshot`, the last one completes it; lists go by pages."""
    async with run_hub() as hub:
        names = [f"echo-{number:03}" for number in range(160)]
        await asyncio.gather(*(_register_large(hub, name) for name in names))
        watch = hub.stub.Watch(pb.WatchRequest(service="echo"))
        pieces = [await watch.read()]
        while pieces[-1].more:
            pieces.append(await watch.read())
        assert [change.instance.id for piece in pieces for change in piece.changes] == names
        assert all(piece.snapshot for piece in pieces)
        assert [piece.revision == 0 for piece in pieces] == [True] * (len(pieces) - 1) + [False]
        assert sum(piece.ByteSize() for piece in pieces) > 4 << 20
        listed, token, pages = [], "", 0
        while token or not pages:
            request = pb.ListInstancesRequest(service="echo")
            request.page.token = token
            response = await hub.stub.ListInstances(request)
            listed += [one.id for one in response.instances]
            token, pages = response.page.next_token, pages + 1
        assert (listed, pages) == (names, 2)
        request = pb.ListInstancesRequest(service="echo")
        request.page.size = 3
        response = await hub.stub.ListInstances(request)
        assert ([one.id for one in response.instances], response.page.next_token) == (names[:3], names[2])
        request.page.size = 1_001
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await hub.stub.ListInstances(request)
        assert MeshError.of(refused.value).reason is Reason.INVALID_PAGE
        watch.cancel()


async def _register_large(hub: RunningHub, name: str) -> None:
    made = instance(name)
    made.metadata.update({str(number): "x" * 1_000 for number in range(32)})
    await hub.stub.Register(pb.RegisterRequest(instance=made, token=f"token-of-{name}"))


async def test_a_quiet_watch_hears_how_far_the_registry_is() -> None:
    """Where it asked for progress: messages without changes, from which it can be resumed."""
    async with run_hub(progress_s=0.1) as hub:
        watch = hub.stub.Watch(pb.WatchRequest(service="echo", progress=True))
        snapshot = await watch.read()
        await register(hub.stub, instance("other-1", "other"))

        async def ahead() -> bool:
            message = await watch.read()
            assert not message.changes
            return bool(message.revision > snapshot.revision)

        await eventually(ahead)
        watch.cancel()


async def test_a_watcher_that_does_not_read_is_told_to_begin_anew() -> None:
    """It costs the others nothing: they hear every change."""
    async with run_hub(history=50) as hub, asyncio.TaskGroup() as tasks:
        slow = hub.stub.Watch(pb.WatchRequest())
        await slow.read()
        quick = hub.stub.Watch(pb.WatchRequest(service="echo"))
        await quick.read()
        left: list[str] = []
        reading = tasks.create_task(_note_departures(quick, left))
        for number in range(200):
            await _register_large(hub, f"echo-{number}")
            await hub.stub.Deregister(
                pb.DeregisterRequest(instance_id=f"echo-{number}", token=f"token-of-echo-{number}")
            )
        await eventually(lambda: left == [f"echo-{number}" for number in range(200)])
        reading.cancel()
        with pytest.raises(grpc.aio.AioRpcError) as told:
            await _note_departures(slow, [])
        assert MeshError.of(told.value).reason is Reason.REVISION_COMPACTED


async def _note_departures(watch: Any, left: list[str]) -> None:
    while True:
        message = await watch.read()
        left += [change.instance.id for change in message.changes if change.kind == pb.CHANGE_KIND_REMOVED]


async def test_the_hub_says_how_it_stands() -> None:
    """Counts, its store, and what people should know; an alarm stands in the log when it begins."""
    terms = {"lease_ttl_s": 2.5, "sweep_interval_s": 0.5}
    async with run_hub(**QUICK | terms, protect_from_instances=3, protect_from_expiries=2) as hub:
        for number in range(3):
            await register(hub.stub, instance(f"echo-{number}"))
        watch = hub.stub.Watch(pb.WatchRequest())
        await watch.read()
        state = await hub.stub.GetRegistryState(pb.GetRegistryStateRequest())
        assert (state.hub_id, state.store, state.attached) == ("hub-1", "memory", True)
        assert (state.instances, state.leases, state.watchers) == (4, 4, 1)

        async def alarmed() -> bool:
            now = await hub.stub.GetRegistryState(pb.GetRegistryStateRequest())
            return now.self_preservation.protecting and [alarm.kind for alarm in now.alarms] == ["SELF_PRESERVATION"]

        await eventually(alarmed, 60, 0.1)
        watch.cancel()
