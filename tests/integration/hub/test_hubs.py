"""Two hubs over one NATS: sessions move, hubs die, cut-off hubs and second processes say what they are."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest
import pytest_asyncio
from suho.hub.v1 import registry_pb2 as pb

from compose.embedded.alone import nats
from compose.embedded.nats import Nats
from mesh.environment import child_environment
from mesh.errors import MeshError, Reason
from tests.support import eventually, free_port
from tests.support.hub import RunningHub, connected, instance, register, run_hub
from tests.support.proxy import cuttable_proxy

pytestmark = pytest.mark.integration

QUICK: dict[str, Any] = {
    "heartbeat_s": 0.2,
    "lease_ttl_s": 1.5,
    "grace_s": 0.5,
    "sweep_interval_s": 0.1,
    "presence_s": 0.1,
    "detached_s": 0.5,
    "gone_s": 0.6,
}
PATIENT: dict[str, Any] = {"lease_ttl_s": 15, "detached_s": 30, "gone_s": 30}
"""Where nobody is to fall silent: a stall of the machine is no hub's end, nor an instance's."""
Hubs = tuple[RunningHub, RunningHub]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bus() -> AsyncIterator[Nats]:
    """A NATS of this module's own: hubs share everything that is in it."""
    async with nats() as engine:
        yield engine


@asynccontextmanager
async def two_hubs(bus: Nats, **settings: Any) -> AsyncIterator[Hubs]:
    async with AsyncExitStack() as stack:
        made = {**QUICK, "nats_url": bus.url, **settings}
        first = await stack.enter_async_context(run_hub(instance="hub-1", **made))
        second = await stack.enter_async_context(run_hub(instance="hub-2", **made))
        yield first, second


@asynccontextmanager
async def hub_process(bus: Nats, name: str, **settings: Any) -> AsyncIterator[tuple[Process, RunningHub]]:
    """A hub that can be killed."""
    port = free_port()
    options = [f"--{key.replace('_', '-')}={value}" for key, value in (QUICK | settings).items()]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hub", "--instance", name, "--port", str(port)),
        *options,
        stdout=DEVNULL,
        stderr=PIPE,
        env=child_environment({"SUHO_HUB_NATS_URL": bus.url}),
    )
    try:
        async with connected(f"127.0.0.1:{port}") as hub:
            yield process, hub
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def serving(service: str, port: int) -> pb.Instance:
    """The first instance of a service, with a gRPC service of its own; nobody listens there, and nobody asks."""
    made = instance(f"{service}-1", service, port, (f"suho.test.v1.{service.title()}Service",))
    made.probe.kind = pb.PROBE_KIND_NONE
    return made


async def found(hub: RunningHub, instance_id: str) -> pb.Instance | None:
    return (await hub.instances()).get(instance_id)


async def resolves(hub: RunningHub, service: str) -> bool:
    return bool((await hub.stub.Resolve(pb.ResolveRequest(service=service))).addresses)


async def refusal(call: Any) -> MeshError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return MeshError.of(raised.value)


async def test_a_session_moves_and_its_instance_never_leaves_resolve(bus: Nats) -> None:
    """The same token with the other hub: that one owns the lease, the older stream is ended, nobody saw it leave."""
    async with two_hubs(bus, **PATIENT) as (first, second):
        there = await register(first.stub, serving("moving", 4711))
        await eventually(lambda: found(second, "moving-1"))
        watch = second.stub.Watch(pb.WatchRequest(service="moving"))
        assert (await watch.read()).snapshot
        here = await register(second.stub, serving("moving", 4711))
        assert (await refusal(there.read())).reason is Reason.SESSION_REPLACED
        for _ in range(6):
            await here.ask(heartbeat=pb.Heartbeat())
            assert await resolves(first, "moving")
            await asyncio.sleep(0.2)
        moved = await found(first, "moving-1")
        assert moved is not None
        assert (moved.hub, moved.status) == ("hub-2", pb.INSTANCE_STATUS_UP)
        with pytest.raises(EOFError):
            await here.ask(deregister=pb.Deregister(reason="done"))
        told = [await watch.read(), await watch.read()]
        assert [change.kind for message in told for change in message.changes] == [
            pb.CHANGE_KIND_PUT,
            pb.CHANGE_KIND_REMOVED,
        ]
        watch.cancel()


async def test_a_hub_is_killed(bus: Nats) -> None:
    """Who comes to the other hub keeps its place, who does not expires; watches go on there by revision."""
    async with run_hub(instance="hub-1", nats_url=bus.url, **QUICK | {"detached_s": 30}) as living:
        # Only the living one is to end anything.
        async with hub_process(bus, "hub-2", lease_ttl_s=15) as (process, dying):
            await register(dying.stub, serving("kept", 4711))
            await register(dying.stub, serving("lost", 4712))
            watch = dying.stub.Watch(pb.WatchRequest(service="kept"))
            seen = (await watch.read()).revision
            process.kill()
            await process.wait()
        again = living.stub.Watch(pb.WatchRequest(service="kept", start_revision=seen))
        back = await register(living.stub, serving("kept", 4711))

        async def expired() -> bool:
            await back.ask(heartbeat=pb.Heartbeat())
            lost, kept = await found(living, "lost-1"), await found(living, "kept-1")
            assert kept is not None
            assert kept.status == pb.INSTANCE_STATUS_UP
            return lost is not None and lost.status == pb.INSTANCE_STATUS_EXPIRED

        await eventually(expired, 20)
        change = (await again.read()).changes[0]
        assert (change.instance.hub, change.instance.status) == ("hub-1", pb.INSTANCE_STATUS_UP)
        again.cancel()
        state = await living.stub.GetRegistryState(pb.GetRegistryStateRequest())
        assert [(hub.hub_id, hub.heard) for hub in state.hubs] == [("hub-1", True), ("hub-2", False)]
        assert (state.store, state.attached) == ("nats", True)


async def test_a_client_without_a_stream_calls_any_hub(bus: Nats) -> None:
    """Registered at one, renewed at the other, gone from both when it leaves at either."""
    async with two_hubs(bus, detached_s=30, gone_s=30) as (first, second):
        token = "token-of-a-simple-client"
        made = pb.RegisterRequest(instance=serving("simple", 4711), token=token)
        terms = (await first.stub.Register(made)).terms
        assert (terms.hub_id, terms.lease_ttl_ms) == ("hub-1", 1_500)
        await eventually(lambda: found(second, "simple-1"))
        for hub in (second, first, second, second, first, second):
            await asyncio.sleep(0.3)
            renewed = await hub.stub.Renew(pb.RenewRequest(instance_id="simple-1", token=token))
            assert renewed.status == pb.INSTANCE_STATUS_UP
        stranger = pb.RegisterRequest(instance=made.instance, token="token-of-a-stranger")
        assert (await refusal(first.stub.Register(stranger))).reason is Reason.INSTANCE_ID_TAKEN
        said = pb.RenewRequest(
            instance_id="simple-1", token=token, status=pb.INSTANCE_STATUS_DRAINING, reason="stopping"
        )
        assert (await second.stub.Renew(said)).status == pb.INSTANCE_STATUS_DRAINING
        for hub in (first, second):
            await hub.stub.Deregister(pb.DeregisterRequest(instance_id="simple-1", token=token))
            assert await found(hub, "simple-1") is None
        late = pb.RenewRequest(instance_id="simple-1", token=token)
        assert (await refusal(second.stub.Renew(late))).reason is Reason.NOT_REGISTERED
        nameless = first.stub.Deregister(pb.DeregisterRequest(token=token))
        assert (await refusal(nameless)).reason is Reason.INVALID_ARGUMENT


async def test_a_second_process_is_refused_at_another_hub(bus: Nats) -> None:
    """While the first one's stream stands; once it broke, the successor is let in there."""
    async with two_hubs(bus, **PATIENT) as (first, second):
        holder = await register(first.stub, instance("single-1", "single"), "token-of-the-first")
        await eventually(lambda: found(second, "single-1"))
        refused = await refusal(register(second.stub, instance("single-1", "single"), "token-of-another"))
        assert refused.reason is Reason.INSTANCE_ID_TAKEN
        assert str(os.getpid()) in refused.message
        holder.call.cancel()

        async def let_in() -> bool:
            try:
                await register(second.stub, instance("single-1", "single"), "token-of-another")
            except grpc.aio.AioRpcError:
                return False
            return True

        await eventually(let_in)


async def test_a_second_hub_under_one_id_ends_itself(bus: Nats) -> None:
    """It says which setting to change, and the first one stays."""
    async with run_hub(instance="hub-1", nats_url=bus.url, **QUICK) as hub:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "hub", "--instance", "hub-1", "--port", str(free_port())),
            stdout=DEVNULL,
            stderr=PIPE,
            env=child_environment({"SUHO_HUB_NATS_URL": bus.url}),
        )
        _, said = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 78
        assert b"a hub 'hub-1' runs already" in said
        assert bus.password.encode() not in said
        assert await found(hub, "hub-1") is not None


async def test_a_hub_that_slept_lets_go_of_what_moved(bus: Nats) -> None:
    """Paused beyond every lease: awake, it expires nobody that another hub took, and says where they are."""
    async with (
        run_hub(instance="hub-1", nats_url=bus.url, **QUICK | PATIENT) as awake,
        hub_process(bus, "hub-2") as (process, asleep),
    ):
        await register(asleep.stub, instance("sleepy-1", "sleepy"))
        await eventually(lambda: found(awake, "sleepy-1"))
        process.send_signal(signal.SIGSTOP)
        here = await register(awake.stub, instance("sleepy-1", "sleepy"))
        watch = awake.stub.Watch(pb.WatchRequest(service="sleepy"))
        before = (await watch.read()).changes[0].instance
        for _ in range(7):
            await asyncio.sleep(0.2)
            await here.ask(heartbeat=pb.Heartbeat())
        process.send_signal(signal.SIGCONT)

        async def agrees() -> bool:
            await here.ask(heartbeat=pb.Heartbeat())
            known = await found(asleep, "sleepy-1")
            return known is not None and known.hub == "hub-1"

        await eventually(agrees)
        for _ in range(5):
            await asyncio.sleep(0.1)
            await here.ask(heartbeat=pb.Heartbeat())
        after = await found(awake, "sleepy-1")
        assert after is not None
        assert (after.revision, after.status) == (before.revision, pb.INSTANCE_STATUS_UP)
        watch.cancel()


async def test_a_hub_that_lost_its_store_says_so_and_forgets_nothing() -> None:
    """`detached` in every answer, new instances are told why not; a status is confirmed when it is in force."""
    async with nats() as engine, AsyncExitStack() as stack:
        port = free_port()
        proxy = await stack.enter_async_context(cuttable_proxy(port, engine.port))
        url = engine.url.replace(f":{engine.port}", f":{port}")
        hub = await stack.enter_async_context(run_hub(instance="hub-1", nats_url=url, **QUICK))
        session = await register(hub.stub, instance("patient-1", "patient"))
        proxy.silent = True

        async def detached() -> bool:
            return (await session.ask(heartbeat=pb.Heartbeat())).heartbeat_ack.detached

        await eventually(detached)
        refused = await refusal(register(hub.stub, instance("newcomer-1", "newcomer")))
        assert refused.reason is Reason.STORE_AWAY
        state = await hub.stub.GetRegistryState(pb.GetRegistryStateRequest())
        assert not state.attached
        await session.call.write(
            pb.SessionRequest(status=pb.StatusUpdate(status=pb.INSTANCE_STATUS_DRAINING, reason="later"))
        )
        assert (await session.ask(heartbeat=pb.Heartbeat())).HasField("heartbeat_ack")
        proxy.silent = False
        while proxy.connections:
            proxy.cut_one()
        assert (await session.read()).status_ack.status == pb.INSTANCE_STATUS_DRAINING
        kept = await found(hub, "patient-1")
        assert kept is not None
        assert kept.status_reason == "later"
