"""A session is a lease: what keeps it, what ends it, who may take it, and who hears of it."""

import asyncio
from typing import Any

import grpc
import pytest
from suho.hub.v1 import registry_pb2 as pb

from mesh.errors import MeshError, Reason
from tests.support import eventually
from tests.support.hub import QUICK, RunningHub, instance, register, registered, run_hub

pytestmark = pytest.mark.integration


async def _status(hub: RunningHub, instance_id: str) -> str:
    found = (await hub.instances()).get(instance_id)
    return pb.InstanceStatus.Name(found.status).removeprefix("INSTANCE_STATUS_") if found else "gone"


async def _statuses(watch: Any, number: int) -> list[str]:
    """What the watch tells next, change by change."""
    told: list[str] = []
    async with asyncio.timeout(30):
        while len(told) < number:
            for change in (await watch.read()).changes:
                status = pb.InstanceStatus.Name(change.instance.status).removeprefix("INSTANCE_STATUS_")
                told.append("gone" if change.kind == pb.CHANGE_KIND_REMOVED else status)
    return told


async def _refusal(call: object) -> MeshError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call  # type: ignore[misc]
    return MeshError.of(raised.value)


async def test_the_hub_states_its_terms_and_lists_who_came() -> None:
    """Registering is answered with the lease's terms; the hub itself is registered too."""
    async with run_hub(heartbeat_s=2, lease_ttl_s=7, grace_s=1) as hub, registered(hub.address, instance("echo-1")):
        session = await register(hub.stub, instance("echo-2"))
        assert await _status(hub, "echo-2") == "UP"
        instances = await hub.instances()
        assert set(instances) == {"hub-1", "echo-1", "echo-2"}
        assert "suho.hub.v1.RegistryService" in instances["hub-1"].grpc_services
        ack = await session.ask(status=pb.StatusUpdate(status=pb.INSTANCE_STATUS_DOWN, reason="no engine"))
        assert ack.status_ack.status == pb.INSTANCE_STATUS_DOWN
        assert (await hub.instances())["echo-2"].status_reason == "no engine"
        services = await hub.stub.ListServices(pb.ListServicesRequest())
        assert [(item.service, item.instances, item.up) for item in services.services] == [
            ("echo", 2, 1),
            ("hub", 1, 1),
        ]


async def test_a_silent_session_expires_and_revives_with_its_next_heartbeat() -> None:
    """Silent for the lease's length: EXPIRED. Its process speaks again on the same stream: as it was."""
    async with run_hub(**QUICK | {"sweep_interval_s": 0.3}) as hub:
        watch = hub.stub.Watch(pb.WatchRequest(service="echo"))
        session = await register(hub.stub, instance("echo-1"))
        assert await _statuses(watch, 2) == ["UP", "EXPIRED"]
        await session.ask(heartbeat=pb.Heartbeat())
        assert (await _statuses(watch, 1))[0] == "UP"
        watch.cancel()


async def test_a_broken_session_has_its_grace_and_may_come_back_within() -> None:
    """The same token within the grace: nobody notices. No return: EXPIRED, and forgotten in time."""
    async with run_hub(grace_s=30) as hub:
        first = await register(hub.stub, instance("echo-1"))
        before = (await hub.instances())["echo-1"]
        first.call.cancel()
        second = await register(hub.stub, instance("echo-1"))
        await second.ask(heartbeat=pb.Heartbeat())
        assert (await hub.instances())["echo-1"].revision == before.revision
    async with run_hub(**QUICK, remember_expired_s=0.1) as hub:
        watch = hub.stub.Watch(pb.WatchRequest(service="echo"))
        session = await register(hub.stub, instance("echo-1"))
        session.call.cancel()
        assert await _statuses(watch, 3) == ["UP", "EXPIRED", "gone"]
        watch.cancel()


async def test_a_grace_ends_when_it_is_over_not_with_the_next_sweep() -> None:
    """Who broke and did not come back is told of at once, however seldom leases are looked through."""
    async with run_hub(**QUICK | {"sweep_interval_s": 30}) as hub:
        session = await register(hub.stub, instance("echo-1"))
        await hub.stub.ListInstances(pb.ListInstancesRequest())
        session.call.cancel()

        async def expired() -> bool:
            return (await hub.instances())["echo-1"].status == pb.INSTANCE_STATUS_EXPIRED

        await eventually(expired, 20)


async def test_a_second_process_with_a_living_ones_id_is_refused() -> None:
    """Another token while the holder's stream stands: ALREADY_EXISTS. Once that broke, the successor is let in."""
    async with run_hub() as hub:
        holder = await register(hub.stub, instance("echo-1"), "token-of-the-first")
        refusal = await _refusal(register(hub.stub, instance("echo-1"), "token-of-another"))
        assert refusal.reason is Reason.INSTANCE_ID_TAKEN
        assert refusal.code is grpc.StatusCode.ALREADY_EXISTS
        holder.call.cancel()

        async def let_in() -> bool:
            try:
                await register(hub.stub, instance("echo-1"), "token-of-another")
            except grpc.aio.AioRpcError:
                return False
            return True

        await eventually(let_in)


async def test_a_session_taken_up_on_another_stream_ends_the_older_stream() -> None:
    """One process, one stream: the older one hears SESSION_REPLACED and its end does not touch the newer."""
    async with run_hub(grace_s=0) as hub:
        older = await register(hub.stub, instance("echo-1"))
        newer = await register(hub.stub, instance("echo-1"))
        assert (await _refusal(older.ask(heartbeat=pb.Heartbeat()))).reason is Reason.SESSION_REPLACED
        await newer.ask(heartbeat=pb.Heartbeat())
        assert await _status(hub, "echo-1") == "UP"


async def test_a_deregistered_instance_is_gone_at_once_and_its_stream_ended() -> None:
    """Leaving has no grace."""
    async with run_hub() as hub:
        session = await register(hub.stub, instance("echo-1"))
        with pytest.raises(EOFError):
            await session.ask(deregister=pb.Deregister(reason="done"))
        assert await session.call.code() is grpc.StatusCode.OK
        assert await _status(hub, "echo-1") == "gone"


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (pb.Instance(id="", service="echo", status=pb.INSTANCE_STATUS_UP), "instance id"),
        (pb.Instance(id="echo-1", service="Echo!", status=pb.INSTANCE_STATUS_UP), "service"),
        (pb.Instance(id="echo-1", service="echo"), "UNSPECIFIED"),
        (
            pb.Instance(
                id="echo-1",
                service="echo",
                status=pb.INSTANCE_STATUS_UP,
                addresses=[pb.Address(name="grpc", host="no host", port=1)],
            ),
            "host name",
        ),
    ],
)
async def test_a_wrong_registration_is_refused_in_words(made: pb.Instance, says: str) -> None:
    """INVALID_ARGUMENT, naming what is wrong."""
    async with run_hub() as hub:
        refusal = await _refusal(register(hub.stub, made))
    assert refusal.reason is Reason.INVALID_ARGUMENT
    assert says in refusal.message


async def test_a_stream_that_does_not_begin_with_register_is_refused() -> None:
    """FAILED_PRECONDITION with what to do."""
    async with run_hub() as hub:
        call = hub.stub.Session()
        await call.write(pb.SessionRequest(heartbeat=pb.Heartbeat()))
        assert (await _refusal(call.read())).reason is Reason.NOT_REGISTERED


async def test_resolve_gives_the_addresses_of_live_instances() -> None:
    """UP ones only; a service that nobody knows is NOT_FOUND."""
    async with run_hub() as hub:
        session = await register(hub.stub, instance("echo-1", port=4711))
        resolved = await hub.stub.Resolve(pb.ResolveRequest(service="echo"))
        assert [(item.host, item.port) for item in resolved.addresses] == [("127.0.0.1", 4711)]
        await session.ask(status=pb.StatusUpdate(status=pb.INSTANCE_STATUS_DRAINING))
        assert not (await hub.stub.Resolve(pb.ResolveRequest(service="echo"))).addresses
        refusal = await _refusal(hub.stub.Resolve(pb.ResolveRequest(service="ghost")))
        assert refusal.reason is Reason.UNKNOWN_SERVICE


async def test_a_watch_is_a_snapshot_and_then_every_change() -> None:
    """From 0: all there is, then changes in the order of revisions; a watch resumes after any revision held."""
    async with run_hub() as hub:
        first = await register(hub.stub, instance("echo-1"))
        await register(hub.stub, instance("other-1", service="other"))
        watch = hub.stub.Watch(pb.WatchRequest(service="echo"))
        snapshot = await watch.read()
        assert snapshot.snapshot
        assert [change.instance.id for change in snapshot.changes] == ["echo-1"]
        await first.ask(status=pb.StatusUpdate(status=pb.INSTANCE_STATUS_DRAINING))
        with pytest.raises(EOFError):
            await first.ask(deregister=pb.Deregister())
        changes = [(await watch.read()).changes[0] for _ in range(2)]
        assert [change.kind for change in changes] == [pb.CHANGE_KIND_PUT, pb.CHANGE_KIND_REMOVED]
        again = hub.stub.Watch(pb.WatchRequest(service="echo", start_revision=snapshot.revision))
        resumed = await again.read()
        assert [change.kind for change in resumed.changes] == [change.kind for change in changes]
        watch.cancel()
        again.cancel()


@pytest.mark.parametrize("revision", [1, 2**62])
async def test_a_watch_from_a_revision_that_is_not_held_is_told_to_begin_anew(revision: int) -> None:
    """OUT_OF_RANGE: forgotten long ago, or never known to this hub."""
    async with run_hub() as hub:
        refusal = await _refusal(hub.stub.Watch(pb.WatchRequest(start_revision=revision)).read())
    assert (refusal.reason, refusal.code) == (Reason.REVISION_COMPACTED, grpc.StatusCode.OUT_OF_RANGE)


async def test_a_stopping_hub_ends_its_streams_with_a_word() -> None:
    """Sessions and watches end as UNAVAILABLE, so that their clients connect again at once."""
    async with run_hub() as hub:
        session = await register(hub.stub, instance("echo-1"))
        watch = hub.stub.Watch(pb.WatchRequest())
        await watch.read()
        hub.stop.set()
        for ended in (session.read(), _last(watch)):
            assert (await _refusal(ended)).code is grpc.StatusCode.UNAVAILABLE


async def _last(watch: object) -> None:
    while await watch.read() is not grpc.aio.EOF:  # type: ignore[attr-defined]
        pass
